import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../dist/base/random.js'
import { open, repair } from '../../dist/index.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { zeroBlock } from '../helpers/damage.js'
import { deterministic, storePath, tiny } from '../helpers/store.js'
import { testedBackend } from '../helpers/tested-backend.js'

/** A store without its log's help: everything is persisted, and some of the data damaged. */
async function damagedStore(): Promise<MemVfs> {
  const vfs = new MemVfs()
  const store = await open(storePath, { ...tiny, ...deterministic(vfs) })
  const random = new SeededRandom(2)
  for (let i = 0; i < 400; i++) await store.put(`key${i}`, random.fill(Buffer.alloc(100)))
  await store.persist()
  await store.persist()
  await store.close()
  const sizeOf = (path: string) => vfs.medium.read(path).length
  const data = vfs.medium.paths().filter((path) => /tree\.pages|\.sst$/.test(path))
  const [largest] = data.sort((a, b) => sizeOf(b) - sizeOf(a))
  // Behind the tree's meta pages.
  const first = largest!.endsWith('.sst') ? 0 : 2 * 4096
  for (let at = first; at < sizeOf(largest!); at += 3 * 4096) zeroBlock(vfs, largest!, at, 4096)
  return vfs
}

function directories(vfs: MemVfs): string[] {
  return vfs.readdirSync(storePath).filter((name) => name.startsWith(`${testedBackend}-`))
}

describe('a repair that fails', () => {
  it('leaves nothing behind of what it was building, in a dry run or not', async () => {
    for (const dryRun of [true, false]) {
      const units = new Set<string>()
      await repair(storePath, {
        ...deterministic(await damagedStore()),
        dryRun: true,
        onProgress: (_done, _total, unit) => void units.add(unit)
      })
      for (const unit of units) {
        const vfs = await damagedStore()
        const abort = new AbortController()
        let built = false
        const onProgress = (_done: number, _total: number, of: string) => {
          built ||= directories(vfs).length === 2
          if (built && of === unit) abort.abort()
        }
        const options = { ...deterministic(vfs), dryRun, onProgress, signal: abort.signal }
        await expect(repair(storePath, options)).rejects.toThrow(/abort/)
        expect(built).toBe(true)
        expect(directories(vfs)).toEqual([`${testedBackend}-1`])
        const report = await repair(storePath, deterministic(vfs))
        expect(report.rebuilt).toBe(true)
        expect(directories(vfs)).toEqual([`${testedBackend}-2`])
      }
    }
  })
})

describe('a repaired store', () => {
  it('does not ask again for a first segment that was missing', async () => {
    const vfs = new MemVfs()
    const store = await open(storePath, { ...tiny, ...deterministic(vfs) })
    for (let i = 0; i < 400; i++) await store.put(`key${i}`, Buffer.alloc(100, i))
    const clone = vfs.crashClone('everything')
    const [first] = clone.medium.paths().filter((name) => name.includes('/wal/'))
    clone.medium.remove(first!)
    const options = { ...tiny, ...deterministic(clone) }
    await expect(open(storePath, options)).rejects.toMatchObject({
      code: 'KINTSUGI_WAL_CORRUPTION'
    })
    const report = await repair(storePath, deterministic(clone))
    expect(report.lostCommits).not.toEqual([])
    const reopened = await open(storePath, options)
    expect(reopened.recovery.droppedBytes).toBe(0)
    await reopened.put('key', 'value')
    await reopened.close()
    await store.close()
  })

  it.each(['STORE-A', 'STORE-B'])('opens without %s', async (slot) => {
    const vfs = await damagedStore()
    const report = await repair(storePath, deterministic(vfs))
    vfs.medium.remove(`${storePath}/${slot}`)
    const store = await open(storePath, { ...tiny, ...deterministic(vfs) })
    expect([...store.keys()]).toHaveLength(report.entries)
    await store.close()
  })
})

describe('options of a repair', () => {
  it('are its own, and a misspelled one is told', async () => {
    const vfs = await damagedStore()
    for (const [wrong, text] of [
      [{ dryrun: true }, "did you mean 'dryRun'"],
      [{ readOnly: true }, 'known are dryRun'],
      [{ dryRun: 'yes' }, 'true or false'],
      [{ rebuildManifest: 1 }, 'true or false']
    ] as const) {
      const options = { ...deterministic(vfs), ...wrong } as never
      await expect(repair(storePath, options)).rejects.toMatchObject({
        code: 'KINTSUGI_INVALID_OPTION',
        message: expect.stringContaining(text)
      })
    }
    expect(directories(vfs)).toEqual([`${testedBackend}-1`])
  })
})
