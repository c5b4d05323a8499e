import { describe, expect, test } from 'vitest'

import { BtreeBackend } from '../../../dist/backends/btree/btree-backend.js'
import { SeededRandom } from '../../../dist/base/random.js'
import { encodeBatch } from '../../../dist/batch/batch.js'
import type { FaultPlan } from '../../../dist/vfs/fault-plan.js'
import { FaultVfs } from '../../../dist/vfs/fault-vfs.js'
import type { MemVfs } from '../../../dist/vfs/mem-vfs.js'
import { contextOf, everything, Pair } from './tree-harness.js'

const keyOf = (i: number) => Buffer.from(`key${String(i).padStart(9, '0')}`)
const entryCount = 6000
const dataFile = '/tree/tree.pages'

/** A tree that was just opened, all of whose pages the operating system has in memory. */
async function coldPair(cacheBytes = 64 * 2 ** 20, longKey = true): Promise<Pair> {
  const pair = await Pair.create({ cachedReads: 'all', cacheBytes })
  const puts = Array.from({ length: entryCount }, (_, i) => {
    return {
      type: 'put',
      key: keyOf(i),
      value: Buffer.alloc(i % 100 === 0 ? 9000 : 100, i)
    } as const
  })
  await pair.apply(puts)
  if (longKey) await pair.put(Buffer.alloc(3000, 'a long key '), 'its value')
  await pair.reopen()
  return pair
}

describe('pages that the operating system has in memory', () => {
  test('answer lookups at once, until so many in a row that the event loop has to turn', async () => {
    const pair = await coldPair()
    const { backend } = pair
    const answers = pair.model.entries.map(({ key }) => backend.tryGet(key))
    const missing = answers.indexOf(null)
    expect(missing).toBeGreaterThan(100)
    for (const [i, { value }] of pair.model.entries.entries()) {
      if (answers[i] !== null) expect(answers[i]).toEqual(value)
    }
    // One read the other way, and as many again go without.
    const { key, value } = pair.model.entries[missing]
    while (backend.tryGet(key) === null) await backend.load(key)
    expect(backend.tryGet(key)).toEqual(value)
    const next = pair.model.entries.slice(missing).map((entry) => backend.tryGet(entry.key))
    expect(next.indexOf(null) === -1 || next.indexOf(null) > 100).toBe(true)
    await pair.check()
    await backend.close()
  })

  test('answer lookups of many keys, and walks in both directions', async () => {
    const pair = await coldPair()
    const some = pair.model.entries.filter((_, i) => i % 100 === 20)
    const got = pair.backend.tryGetMany(some.map(({ key }) => key))
    expect(got).toEqual(some.map(({ value }) => value))
    for (const reverse of [false, true]) {
      await pair.reopen()
      const view = pair.backend.readView()
      const cursor = view.cursor(everything(reverse))
      let count = 0
      let loads = 0
      for (;;) {
        const chunk = cursor.tryNextChunk(1000)
        if (chunk === undefined) break
        if (chunk === null) {
          loads++
          await cursor.load()
        } else count += chunk.count
      }
      expect(count).toBe(pair.model.entries.length)
      expect(loads).toBeLessThan(6)
      view.close()
    }
    await pair.backend.close()
  })

  test('answer lookups of many keys while they push each other out of a small cache', async () => {
    const pair = await coldPair(2 ** 18, false)
    const { backend, model } = pair
    const random = new SeededRandom(7)
    for (let round = 0; round < 60; round++) {
      // Of those that go down side by side, the first half is loaded over leaves of the second.
      const keys = Array.from({ length: 64 }, () => keyOf(random.below(entryCount)))
      for (const key of keys.slice(32)) backend.getSync(key)
      const got = backend.tryGetMany(keys)
      got.forEach((value, i) => {
        if (value !== null) expect(value).toEqual(model.get(keys[i]))
      })
      await new Promise((resolve) => setImmediate(resolve))
    }
    await pair.check()
    await backend.close()
  })

  test('let a batch be prepared at once, and stay until it is applied', async () => {
    const pair = await coldPair(2 ** 18)
    const { backend } = pair
    const puts = Array.from({ length: 40 }, (_, i) => {
      return { type: 'put', key: keyOf(i * 50), value: Buffer.from('new') } as const
    })
    const bytes = encodeBatch(puts)
    expect(backend.tryPrepare(bytes, 0, bytes.length)).toBe(true)
    for (let i = 0; i < entryCount; i += 3) backend.getSync(keyOf(i))
    backend.apply(bytes, 0, bytes.length, ++pair.seq)
    expect(backend.stats().parkedOperations).toBe(0)
    for (const put of puts) pair.model.apply(put)
    await pair.check()
    await backend.close()
  })

  test('are installed once when a load of the same page is under way', async () => {
    const pair = await coldPair()
    const { backend } = pair
    const keys = Array.from({ length: entryCount }, (_, i) => keyOf(i))
    while (!backend.tryGetMany(keys).includes(null)) await pair.reopen()
    const loads = keys.flatMap((key) => [backend.load(key), backend.load(key)])
    keys.forEach((key) => backend.getSync(key))
    await Promise.all(loads)
    expect(backend.tryGetMany(keys)).not.toContain(null)
    await pair.check()
    await backend.close()
  })

  test('cost no memory while they are not there', async () => {
    const pair = await Pair.create({ cachedReads: 'none' })
    await pair.put(keyOf(1), 'x')
    await pair.reopen()
    const before = pair.backend.stats().residentPages
    for (let i = 0; i < 50; i++) expect(pair.backend.tryGet(keyOf(1))).toBeNull()
    expect(pair.backend.stats().residentPages).toBe(before)
    await pair.backend.close()
  })

  test('do not make the cache grow beyond its budget', async () => {
    const pair = await coldPair(2 ** 18)
    const { backend } = pair
    for (const { key, value } of pair.model.entries) {
      let got = backend.tryGet(key)
      for (; got === null; got = backend.tryGet(key)) await backend.load(key)
      expect(got).toEqual(value)
    }
    expect(backend.stats().residentPages).toBeLessThanOrEqual(66)
    await backend.close()
  })

  test('are told with the keys concerned when they are damaged, and nothing of them is served', async () => {
    const pair = await coldPair()
    const { backend, vfs } = pair
    const leaf = vfs.medium.read(dataFile).indexOf(keyOf(1051))
    flip(vfs, leaf)
    expect(backend.tryGet(keyOf(1051))).toBeNull()
    const facts = { lowKey: expect.any(Buffer), highKey: expect.any(Buffer) }
    const expected = { code: 'KINTSUGI_CORRUPTION', facts: expect.objectContaining(facts) }
    await expect(backend.load(keyOf(1051))).rejects.toMatchObject(expected)
    const bytes = encodeBatch([{ type: 'put', key: keyOf(1051), value: Buffer.from('x') }])
    expect(backend.tryPrepare(bytes, 0, bytes.length)).toBe(false)
    await expect(backend.prepare(bytes, 0, bytes.length)).rejects.toMatchObject(expected)
    const cursor = backend.readView().cursor({ ...everything(false), range: { gte: keyOf(1051) } })
    expect(cursor.tryNextChunk(10)).toBeNull()
    await expect(cursor.load()).rejects.toMatchObject(expected)
    expect(backend.damagedRanges()).toHaveLength(1)
    expect(backend.tryGet(keyOf(1))).toEqual(pair.model.get(keyOf(1)))
    await backend.close()
  })

  test('of a value that is damaged are told with its key', async () => {
    const pair = await coldPair()
    const { backend, vfs } = pair
    const extent = vfs.medium.read(dataFile).indexOf(Buffer.alloc(8000, 1100))
    expect(extent).toBeGreaterThan(0)
    flip(vfs, extent + 5000)
    expect(backend.tryGet(keyOf(1100))).toBeNull()
    await expect(backend.load(keyOf(1100))).rejects.toMatchObject({
      code: 'KINTSUGI_CORRUPTION',
      facts: { lowKey: keyOf(1100) }
    })
    await backend.close()
  })

  test.each([
    ['a failed read', { kind: 'error', errno: 'EIO' }, 'KINTSUGI_IO'],
    ['a wrong bit', { kind: 'bit-flip', bit: 5555 }, 'KINTSUGI_CORRUPTION']
  ] as const)('read with %s are read again, and that read decides', async (_, fault, code) => {
    const pair = await coldPair()
    await pair.backend.close()
    const reopen = async (plan: FaultPlan) => {
      const faulty = new FaultVfs(pair.vfs.killClone(), plan)
      return { faulty, backend: await BtreeBackend.open({ ...contextOf(pair.vfs), vfs: faulty }) }
    }
    const probe = { operation: 'read', times: 0, fault: { kind: 'delay', turns: 0 } } as const
    const probed = await reopen([probe])
    const nth = probed.faulty.faults.fired.length + 1
    await probed.backend.close()
    // The lookup, the lookup of the load, and the read that waits.
    for (const times of [1, 2, 3]) {
      const { backend, faulty } = await reopen([{ operation: 'read', nth, times, fault }])
      expect(backend.tryGet(keyOf(777))).toBeNull()
      const load = backend.load(keyOf(777))
      if (times < 3) await load
      else await expect(load).rejects.toMatchObject({ code })
      expect(faulty.faults.fired).toHaveLength(times)
      while (backend.tryGet(keyOf(777)) === null) await backend.load(keyOf(777))
      expect(backend.tryGet(keyOf(777))).toEqual(pair.model.get(keyOf(777)))
      await backend.close()
    }
  })
})

function flip(vfs: MemVfs, position: number): void {
  vfs.medium.overwrite(dataFile, Buffer.of(vfs.medium.read(dataFile)[position] ^ 1), position)
}
