import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NodeVfs } from '../../dist/vfs/node-vfs.js'
import { vfsContract } from './vfs-contract.js'

for (const native of [true, false]) {
  vfsContract(native ? 'node, native addon' : 'node, JavaScript only', () => {
    const root = mkdtempSync(join(tmpdir(), 'kintsugi-vfs-'))
    const cleanup = () => rmSync(root, { recursive: true })
    return { vfs: new NodeVfs({ native }), root, cleanup }
  })
}
