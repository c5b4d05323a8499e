import { describe, expect, test } from 'vitest'

import { BtreeBackend } from '../../../dist/backends/btree/btree-backend.js'
import { SeededRandom } from '../../../dist/base/random.js'
import { encodeBatch } from '../../../dist/batch/batch.js'
import type { BatchOperation } from '../../../dist/batch/batch.js'
import { KintsugiError } from '../../../dist/errors.js'
import type { MemVfs } from '../../../dist/vfs/mem-vfs.js'
import { Pair, contextOf, entriesOf, everything, expectEntries, readAll } from './tree-harness.js'

const progress = { report() {}, signal: undefined }
const pageBytes = 4096

function put(key: string | Buffer, value: Buffer | string): BatchOperation {
  return { type: 'put', key: Buffer.from(key), value: Buffer.from(value) }
}

function keyOf(i: number): string {
  return `key${String(i).padStart(9, '0')}`
}

async function fill(pair: Pair, count: number, valueBytes = 100): Promise<void> {
  for (let i = 0; i < count; i += 500) {
    const operations = []
    for (let k = i; k < Math.min(count, i + 500); k++) {
      operations.push(put(keyOf(k), Buffer.alloc(valueBytes, k)))
    }
    await pair.apply(operations)
  }
}

/** Share of the tree's pages that entries of 16-byte keys and 100-byte values take up. */
function fillOf(pair: Pair): number {
  return (pair.model.entries.length * 128) / (usedPagesOf(pair) * pageBytes)
}

function usedPagesOf(pair: Pair): number {
  const { usedPages, availablePages, pendingPages } = pair.backend.stats()
  return usedPages - availablePages - pendingPages
}

describe('sizes', () => {
  test('keys from 0 to 65,535 bytes and values around every threshold come back', async () => {
    const pair = await Pair.create()
    const lengths = [0, 1, 3, 4, 7, 8, 64, 418, 419, 420, 421, 422, 850, 4055, 4056, 8000, 65_535]
    for (const keyBytes of lengths) {
      for (const valueBytes of [0, 1, 5, 400, 410, 440, 830, 850, 870, 4056, 4057, 20_000]) {
        await pair.apply([put(Buffer.alloc(keyBytes, 'k'), Buffer.alloc(valueBytes, keyBytes))])
        expect(pair.backend.getSync(Buffer.alloc(keyBytes, 'k'))).toEqual(
          Buffer.alloc(valueBytes, keyBytes)
        )
      }
    }
    await pair.reopen()
    await pair.check()
    for (const keyBytes of lengths) {
      await pair.apply([{ type: 'del', key: Buffer.alloc(keyBytes, 'k') }])
    }
    await pair.check()
    expect(pair.backend.tree.height).toBe(0)
  })

  test('values of some MiB survive reopening, and their space is given back', async () => {
    const pair = await Pair.create()
    const big = Buffer.alloc(5 * 2 ** 20)
    new SeededRandom(5).fill(big)
    await pair.apply([put('big', big), put('small', 'x')])
    await pair.reopen()
    expect(pair.backend.getSync(Buffer.from('big'))?.equals(big)).toBe(true)
    await pair.apply([put('big', 'now small')])
    await pair.check()
    expect(usedPagesOf(pair)).toBeLessThan(10)
  })

  test('long keys that differ only in their last byte are told apart, in every order', async () => {
    const pair = await Pair.create()
    const random = new SeededRandom(11)
    for (let i = 0; i < 300; i++) {
      const key = Buffer.concat([Buffer.alloc(3000, 'q'), Buffer.from([random.below(256)])])
      await pair.apply([random.below(4) === 0 ? { type: 'del', key } : put(key, `${i}`)])
    }
    await pair.check()
    await pair.reopen()
    await pair.check()
    for (const { key } of [...pair.model.entries]) {
      await pair.apply([{ type: 'del', key }])
      if (pair.model.entries.length % 40 === 0) await pair.check()
    }
    expect(usedPagesOf(pair)).toBeLessThan(5)
  })
})

describe('shape', () => {
  test('keys in ascending and in descending order fill pages', async () => {
    for (const descending of [false, true]) {
      const pair = await Pair.create()
      const count = 5000
      for (let i = 0; i < count; i++) {
        const key = keyOf(descending ? count - i : i).padEnd(16, '.')
        await pair.apply([put(key, Buffer.alloc(100))])
      }
      expect(fillOf(pair)).toBeGreaterThan(0.9)
      await pair.check()
    }
  })

  test('keys in random order fill most of the pages', async () => {
    const pair = await Pair.create()
    const random = new SeededRandom(3)
    for (let i = 0; i < 8000; i++) {
      const key = Buffer.alloc(16)
      random.fill(key)
      await pair.apply([put(key, Buffer.alloc(100))])
    }
    expect(fillOf(pair)).toBeGreaterThan(0.77)
    await pair.check()
  })

  test('deleting everything in any order leaves an empty tree', async () => {
    for (const step of [1, -1, 7]) {
      const pair = await Pair.create()
      await fill(pair, 3000)
      for (let i = 0; i < 3000; i++) {
        const at = (((i * step) % 3000) + 3000) % 3000
        await pair.apply([{ type: 'del', key: Buffer.from(keyOf(at)) }])
        if (i % 1000 === 999) await pair.check()
      }
      expect(pair.model.entries).toEqual([])
      expect(pair.backend.tree.entries).toBe(0)
      await pair.check()
    }
  })

  test('compacting repacks a tree that deletions have thinned out, while commits go on', async () => {
    const pair = await Pair.create()
    await fill(pair, 6000)
    await pair.apply(
      Array.from({ length: 6000 }, (_, i) => i)
        .filter((i) => i % 5 > 1)
        .map((i) => ({ type: 'del', key: Buffer.from(keyOf(i)) }))
    )
    await pair.persist()
    const view = pair.backend.readView()
    const seen = [...pair.model.entries]
    const before = usedPagesOf(pair)
    const compacting = pair.backend.compact({}, progress)
    for (let i = 0; i < 50; i++) await pair.put(keyOf(i * 100), `during ${i}`)
    await compacting
    expectEntries(readAll(view.cursor(everything(false))), seen)
    view.close()
    await pair.check()
    expect(usedPagesOf(pair)).toBeLessThan(before * 0.75)
    await pair.check()
  })

  test('clearing a wide range costs a few pages, and the rest is reclaimed later', async () => {
    const pair = await Pair.create()
    await fill(pair, 20_000)
    await pair.persist()
    const dirtyBefore = pair.backend.stats().dirtyPages
    const range = { gt: Buffer.from(keyOf(10)), lte: Buffer.from(keyOf(19_990)) }
    await pair.apply([{ type: 'clear', range }])
    expect(pair.backend.stats().dirtyPages - dirtyBefore).toBeLessThan(12)
    await pair.check()
    expect(pair.model.entries).toHaveLength(20)
    expect(usedPagesOf(pair)).toBeLessThan(12)
  })

  test('the size of a range is judged about right', async () => {
    const pair = await Pair.create()
    await fill(pair, 10_000)
    await pair.persist()
    const size = (from: number, to: number) =>
      pair.backend.approximateSize({ gte: Buffer.from(keyOf(from)), lt: Buffer.from(keyOf(to)) })
    const all = await pair.backend.approximateSize({})
    expect((await size(2500, 7500)) / all).toBeCloseTo(0.5, 1)
    expect((await size(0, 1000)) / all).toBeCloseTo(0.1, 1)
    expect(await size(5, 5)).toBe(0)
  })
})

/** The file page whose bytes contain the text. */
function pageWith(vfs: MemVfs, text: string): number {
  const file = vfs.openSync('/tree/tree.pages', 'read')
  const bytes = Buffer.alloc(file.sizeSync())
  file.readSync(bytes, 0)
  file.closeSync()
  return Math.floor(bytes.indexOf(text) / pageBytes)
}

function flip(vfs: MemVfs, page: number): void {
  const file = vfs.openSync('/tree/tree.pages', 'readwrite')
  const byte = Buffer.alloc(1)
  file.readSync(byte, page * pageBytes + 2000)
  byte[0] ^= 1
  file.writeSync(byte, page * pageBytes + 2000)
  file.closeSync()
}

function errorOf(action: () => unknown): KintsugiError {
  try {
    action()
  } catch (error) {
    if (error instanceof KintsugiError) return error
    throw error
  }
  throw new Error('did not fail')
}

/** A persisted tree with one leaf damaged, that of key 1500. */
async function damagedPair(): Promise<{ pair: Pair; error: KintsugiError }> {
  const pair = await Pair.create()
  await fill(pair, 3000)
  await pair.persist()
  await pair.backend.close()
  flip(pair.vfs, pageWith(pair.vfs, keyOf(1500)))
  pair.backend = await BtreeBackend.open(contextOf(pair.vfs))
  return { pair, error: errorOf(() => pair.backend.getSync(Buffer.from(keyOf(1500)))) }
}

describe('a damaged leaf', () => {
  test('is a typed error for exactly its range of keys; everything else is served', async () => {
    const { pair, error } = await damagedPair()
    expect(error.code).toBe('KINTSUGI_CORRUPTION')
    const low = Buffer.from(error.facts.lowKey!)
    const high = Buffer.from(error.facts.highKey!)
    let damaged = 0
    for (const { key, value } of pair.model.entries) {
      if (low.compare(key) <= 0 && key.compare(high) < 0) {
        damaged++
        expect(errorOf(() => pair.backend.getSync(key)).code).toBe('KINTSUGI_CORRUPTION')
      } else expect(pair.backend.getSync(key)).toEqual(value)
    }
    expect(damaged).toBeGreaterThan(10)
    expect(damaged).toBeLessThan(40)
    expect(pair.backend.damagedRanges()).toHaveLength(1)
    const view = pair.backend.readView()
    expectEntries(
      readAll(view.cursor({ ...everything(false), range: { lt: low } })),
      pair.model.entries.filter(({ key }) => key.compare(low) < 0)
    )
    expectEntries(
      readAll(view.cursor({ ...everything(true), range: { gte: high } })),
      pair.model.entries.filter(({ key }) => key.compare(high) >= 0).toReversed()
    )
    const scan = errorOf(() => readAll(view.cursor(everything(false))))
    expect(scan.facts.lowKey).toEqual(error.facts.lowKey)
    expect(scan.facts.highKey).toEqual(error.facts.highKey)
    view.close()
    await pair.backend.close()
  })

  test('refuses commits that need it before they are logged, and takes others', async () => {
    const { pair } = await damagedPair()
    const bad = encodeBatch([put(keyOf(1), 'never'), put(keyOf(1500), 'x')])
    await expect(
      (async () => {
        await pair.backend.prepare(bad, 0, bad.length)
      })()
    ).rejects.toMatchObject({ code: 'KINTSUGI_CORRUPTION' })
    expect(errorOf(() => pair.backend.prepareSync(bad, 0, bad.length)).facts.lowKey).toBeDefined()
    await pair.put(keyOf(1), 'taken')
    await pair.put(keyOf(2999), 'taken')
    expect(pair.backend.getSync(Buffer.from(keyOf(1)))).toEqual(Buffer.from('taken'))
    expect(await pair.persist()).toBe(pair.seq)
    await pair.backend.close()
  })

  test('parks what a replay brings for it, and durableSeq does not pass that', async () => {
    const { pair, error } = await damagedPair()
    const parkedFrom = pair.seq + 2
    await pair.put(keyOf(3), 'before')
    const batch = encodeBatch([put(keyOf(4), 'same batch'), put(keyOf(1500), 'parked')])
    pair.backend.apply(batch, 0, batch.length, ++pair.seq)
    await pair.put(keyOf(5), 'after')
    expect(pair.backend.getSync(Buffer.from(keyOf(4)))).toEqual(Buffer.from('same batch'))
    expect(pair.backend.getSync(Buffer.from(keyOf(5)))).toEqual(Buffer.from('after'))
    expect(pair.backend.stats().parkedOperations).toBe(1)
    expect(await pair.persist()).toBe(parkedFrom - 1)
    expect(pair.backend.durableSeq).toBe(parkedFrom - 1)
    expect(pair.backend.appliedSeq).toBe(pair.seq)
    expect(error.facts.page).toBeDefined()
    await pair.backend.close()
  })

  test('is cut off by a clear that covers it, after which its keys work again', async () => {
    const { pair, error } = await damagedPair()
    const range = { gte: Buffer.from(keyOf(1000)), lt: Buffer.from(keyOf(2000)) }
    await pair.apply([{ type: 'clear', range }])
    await pair.persist()
    expect(pair.backend.getSync(Buffer.from(keyOf(1500)))).toBeUndefined()
    await pair.put(keyOf(1500), 'again')
    expect(pair.backend.getSync(Buffer.from(keyOf(1500)))).toEqual(Buffer.from('again'))
    expect(pair.backend.damagedRanges()).toEqual([])
    expect(pair.backend.stats().unreadablePages).toBe(1)
    expect(error.code).toBe('KINTSUGI_CORRUPTION')
    await pair.backend.close()
  })
})

describe('a damaged extent', () => {
  test('is an error for its key alone', async () => {
    const pair = await Pair.create()
    await fill(pair, 200)
    await pair.put('key000000100big', Buffer.alloc(9000, 'EXTENT'))
    await pair.persist()
    await pair.backend.close()
    flip(pair.vfs, pageWith(pair.vfs, 'EXTENTEXTENT'))
    pair.backend = await BtreeBackend.open(contextOf(pair.vfs))
    const error = errorOf(() => pair.backend.getSync(Buffer.from('key000000100big')))
    expect(error.facts.lowKey).toEqual(Buffer.from('key000000100big'))
    expect(error.facts.highKey).toEqual(Buffer.from('key000000100big\0'))
    expect(pair.backend.getSync(Buffer.from(keyOf(100)))).toBeDefined()
    expect(pair.backend.getSync(Buffer.from(keyOf(101)))).toBeDefined()
    await pair.backend.close()
  })
})

describe('reading without waiting', () => {
  test('answers null until what it needs is loaded, key by key and chunk by chunk', async () => {
    const pair = await Pair.create({ cachedReads: 'none' })
    await fill(pair, 3000)
    await pair.put('key000001500', Buffer.alloc(9000, 1))
    await pair.reopen()
    const { backend } = pair
    let loads = 0
    for (const { key, value } of pair.model.entries.filter((_, i) => i % 250 === 0)) {
      let got = backend.tryGet(key)
      while (got === null) {
        await backend.load(key)
        loads++
        got = backend.tryGet(key)
      }
      expect(got).toEqual(value)
    }
    expect(loads).toBeGreaterThan(10)
    await pair.reopen()
    const view = pair.backend.readView()
    for (const reverse of [false, true]) {
      const cursor = view.cursor(everything(reverse))
      const keys: Buffer[] = []
      for (;;) {
        const chunk = cursor.tryNextChunk(100)
        if (chunk === undefined) break
        if (chunk === null) await cursor.load()
        else keys.push(...entriesOf(chunk).map(({ key }) => key))
      }
      const expected = pair.model.entries.map(({ key }) => key)
      expect(keys).toEqual(reverse ? expected.toReversed() : expected)
    }
    view.close()
    await pair.backend.close()
  })

  test('what is prepared stays in memory until it is applied, however small the cache', async () => {
    const pair = await Pair.create({ cacheBytes: 2 ** 18, cachedReads: 'none' })
    await fill(pair, 6000, 400)
    await pair.reopen()
    const { backend } = pair
    const isResident = (key: string) => backend.tryGet(Buffer.from(key)) !== null
    // First a batch all of whose pages are in memory already, then one for which they come in.
    for (const count of [20, 150]) {
      const keys = Array.from({ length: count }, (_, i) => keyOf(i * 40))
      if (count === 20) for (const key of keys) backend.getSync(Buffer.from(key))
      const operations = keys.map((key) => put(key, `new ${count}`))
      const bytes = encodeBatch(operations)
      const ready = backend.tryPrepare(bytes, 0, bytes.length)
      expect(ready).toBe(count === 20)
      if (!ready) await backend.prepare(bytes, 0, bytes.length)
      // Leaves that the batch does not touch.
      for (let i = 20; i < 6000; i += 40) backend.getSync(Buffer.from(keyOf(i)))
      expect(keys.filter((key) => !isResident(key))).toEqual([])
      backend.apply(bytes, 0, bytes.length, ++pair.seq)
      for (const operation of operations) pair.model.apply(operation)
    }
    await pair.check()
    for (let i = 0; i < 6000; i += 7) backend.getSync(Buffer.from(keyOf(i)))
    expect(backend.stats().residentPages - backend.stats().dirtyPages).toBeLessThanOrEqual(80)
    await backend.close()
  })
})
