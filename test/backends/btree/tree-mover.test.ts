import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../../dist/base/random.js'
import { Pair, type Settings } from './tree-harness.js'

const logSynced = () => Promise.resolve()
const silent = { report: () => undefined, signal: undefined }

/** Persists as a store does that is being closed. */
async function finish(pair: Pair): Promise<void> {
  await pair.backend.persist(logSynced)
  for (let i = 0; i < 12 && pair.backend.persistPays; i++) await pair.backend.persist(logSynced)
}

function keyOf(index: number): Buffer {
  const key = Buffer.alloc(index % 50 === 0 ? 3000 : 16, 7)
  key.writeUInt32BE(index, key.length - 4)
  key.writeUInt32BE(index)
  return key
}

async function shrinks(seed: number, settings: Settings): Promise<void> {
  const random = new SeededRandom(seed)
  const pair = await Pair.create(settings)
  const count = 3000
  const put = (index: number, sizeBytes: number) =>
    pair.apply([{ type: 'put', key: keyOf(index), value: Buffer.alloc(sizeBytes, index) }])
  for (let i = 0; i < count; i++) await put(i, i % 40 === 0 ? 9000 : 100)
  await finish(pair)
  for (let round = 0; round < 4; round++) {
    for (let i = 0; i < 600; i++)
      await put(random.below(count), random.below(30) === 0 ? 6000 : 100)
    await pair.backend.persist(logSynced)
  }
  const del = (index: number) => pair.apply([{ type: 'del', key: keyOf(index) }])
  for (let i = 0; i < count; i++) if (i % 4 !== 0) await del(i)
  await finish(pair)
  const { usedPages, availablePages, pendingPages } = pair.backend.stats()
  const live = usedPages - availablePages - pendingPages
  expect(usedPages).toBeLessThan(live * 1.1 + 80)
  expect(await pair.backend.verify('comprehensive', silent)).toEqual([])
  await pair.check()
  await pair.reopen()
  await pair.check()
  expect(pair.vfs.statSync('/tree/tree.pages')!.sizeBytes).toBeLessThan((live * 1.1 + 80) * 4096)
  expect(await pair.backend.verify('comprehensive', silent)).toEqual([])
  await pair.backend.close()
}

describe('the end of the file', () => {
  it('is moved to free places and given back, extents and long keys included', () => shrinks(1, {}))

  it('is moved with a cache of few pages', () => shrinks(2, { cacheBytes: 1 }))
})
