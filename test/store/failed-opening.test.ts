import { describe, expect, it } from 'vitest'
import { open } from '../../dist/index.js'
import { FaultVfs } from '../../dist/vfs/fault-vfs.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { countingOpenFiles } from '../helpers/open-files.js'
import { deterministic, storePath, tiny } from '../helpers/store.js'

/**
 * Openings that fail at each operation that changes something, one after the other, alone or with
 * all that follow, until an opening meets none any more. Returns how many operations that were.
 */
async function failEachOperation(make: () => MemVfs, times: number): Promise<number> {
  for (let nth = 1; ; nth++) {
    const faulty = new FaultVfs(make(), [
      { operation: 'mutation', nth, times, fault: { kind: 'error', errno: 'EIO' } }
    ])
    const files = countingOpenFiles(faulty)
    const options = { ...deterministic(new MemVfs()), ...tiny, vfs: files.vfs }
    try {
      const store = await open(storePath, options)
      const isDone = faulty.faults.fired.length === 0
      await store.close().catch(() => undefined) // what fails at closing is not the matter here
      if (isDone) return nth - 1
    } catch {
      const left = [...files.open].map(({ path }) => path)
      expect(left, `after operation ${nth} failed`).toEqual([])
    }
  }
}

describe('an opening that fails', () => {
  it.each([0, 1])('leaves no file open where it was to create the store (%i)', async (times) => {
    expect(await failEachOperation(() => new MemVfs(), times)).toBeGreaterThan(10)
  })

  it.each([0, 1])('leaves no file open where it had to recover (%i)', async (times) => {
    const vfs = new MemVfs()
    const store = await open(storePath, { ...deterministic(vfs), ...tiny })
    for (let i = 0; i < 100; i++) await store.put(`key ${i}`, Buffer.alloc(100))
    const crashed = vfs.crashClone('everything')
    await store.close()
    expect(await failEachOperation(() => crashed.killClone(), times)).toBeGreaterThan(5)
  })
})
