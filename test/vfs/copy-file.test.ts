import { describe, expect, it } from 'vitest'
import { copyFile } from '../../dist/vfs/copy-file.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'

const MiB = 1024 * 1024
const bytes = Buffer.from(Uint32Array.from({ length: MiB }, (_, i) => i * 2_654_435_761).buffer)

function withFile(sizeBytes: number): MemVfs {
  const vfs = new MemVfs()
  const file = vfs.openSync('/from', 'create')
  file.writeSync(bytes.subarray(0, sizeBytes), 0)
  file.datasyncSync()
  file.closeSync()
  vfs.syncDirectorySync('/')
  return vfs
}

function isCopy(vfs: MemVfs, path: string, sizeBytes: number): boolean {
  return bytes.subarray(0, sizeBytes).equals(vfs.medium.read(path))
}

describe('copyFile', () => {
  it('copies a file, or its beginning', async () => {
    const vfs = withFile(2.5 * MiB)
    await copyFile(vfs, '/from', '/all')
    expect(isCopy(vfs, '/all', 2.5 * MiB)).toBe(true)
    for (const maxBytes of [0, 1, MiB, 1.5 * MiB, 4 * MiB]) {
      await copyFile(vfs, '/from', `/${maxBytes}`, { maxBytes })
      expect(isCopy(vfs, `/${maxBytes}`, Math.min(maxBytes, 2.5 * MiB)), `${maxBytes}`).toBe(true)
    }
  })

  it('leaves nothing for a crash to take but the name', async () => {
    const vfs = withFile(4 * MiB)
    await copyFile(vfs, '/from', '/to')
    await vfs.syncDirectory('/')
    expect(isCopy(vfs.crashClone('nothing'), '/to', 4 * MiB)).toBe(true)
  })

  it('stops when it is interrupted', async () => {
    const vfs = withFile(MiB)
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(copyFile(vfs, '/from', '/to', { signal })).rejects.toThrow('enough')
    expect(vfs.statSync('/to')?.sizeBytes).toBe(0)
  })
})
