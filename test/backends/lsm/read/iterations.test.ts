import { expect, it } from 'vitest'
import { open } from '../../../../dist/index.js'
import { FaultVfs } from '../../../../dist/vfs/fault-vfs.js'
import { MemVfs } from '../../../../dist/vfs/mem-vfs.js'

const path = '/data/store'
const options = {
  backend: 'lsm',
  keyEncoding: 'utf8',
  memtableBytes: 16 * 1024,
  blockBytes: 1024,
  compactionThreshold: 50,
  maxBackgroundJobs: 0
} as const

function volume(): MemVfs {
  const vfs = new MemVfs()
  vfs.mkdirSync('/data')
  return vfs
}

// An iteration without waiting opens the tables with removed ranges one after the other. While it
// waited for the first, a compaction replaced them all, and it looked into the second, which was
// closed: the iteration failed with an internal error.
it('goes on when the tables that it is opening are replaced', async () => {
  const memory = volume()
  const first = await open(path, { ...options, vfs: memory })
  for (const key of ['a', 'b', 'c', 'd']) await first.put(key, 'old')
  await first.compact()
  for (const key of ['a', 'b']) {
    await first.clear({ gte: key, lte: key })
    await first.put(`${key}1`, 'new')
    await first.persist()
  }
  expect(first.stats().level0Files).toBe(2)
  await first.close()

  const names = (await memory.readdir(`${path}/lsm-1`)).filter((name) => name.endsWith('.sst'))
  const newest = names.toSorted().at(-1)!
  const delayed = { kind: 'delay', turns: 5000 } as const
  const vfs = new FaultVfs(memory, [{ operation: 'read', path: `*${newest}`, fault: delayed }])
  const store = await open(path, { ...options, vfs })
  const seen: string[] = []
  const iteration = (async () => {
    for await (const key of store.keys()) seen.push(key)
  })()
  await store.compact()
  expect(seen).toEqual([])
  await iteration
  expect(seen).toEqual(['a1', 'b1', 'c', 'd'])
  await store.close()
})

// An iteration that waits threw away what it had read in the same step when it came to a damaged
// block: up to a thousand entries before the damage could not be had this way.
it('yields every entry before a damaged block, then the error, and goes on behind it', async () => {
  const vfs = volume()
  const first = await open(path, { ...options, compression: 'none', vfs })
  const keys = Array.from({ length: 3000 }, (_, i) => `k${String(i).padStart(5, '0')}`)
  await first.batch(keys.map((key) => ({ type: 'put', key, value: `value of ${key}` })))
  await first.compact()
  await first.close()

  const directory = `${path}/lsm-1`
  const table = (await vfs.readdir(directory)).filter((name) => name.endsWith('.sst')).at(0)!
  const file = vfs.openSync(`${directory}/${table}`, 'readwrite')
  const bytes = Buffer.alloc(file.sizeSync())
  file.readSync(bytes, 0)
  const at = bytes.length >>> 1
  file.writeSync(Buffer.from([bytes[at] ^ 1]), at)
  file.closeSync()

  const store = await open(path, { ...options, vfs })
  const seen: string[] = []
  const iterator = store.keys()
  let lowKey = ''
  let highKey = ''
  try {
    for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
      seen.push(next.value)
    }
  } catch (error) {
    expect(error).toMatchObject({ code: 'KINTSUGI_CORRUPTION' })
    const { facts } = error as { facts: { lowKey: Uint8Array; highKey: Uint8Array } }
    lowKey = Buffer.from(facts.lowKey).toString()
    highKey = Buffer.from(facts.highKey).toString()
  }
  expect(lowKey > keys[16]).toBe(true)
  expect(seen).toEqual(keys.filter((key) => key < lowKey))
  expect(() => iterator.next()).toThrow(expect.objectContaining({ code: 'KINTSUGI_CORRUPTION' }))
  iterator.seek(highKey)
  expect([...iterator]).toEqual(keys.filter((key) => key >= highKey))
  await store.close()
})
