import { describe, expect, it } from 'vitest'
import type { Backend } from '../../dist/backend/backend.js'
import { limits } from '../../dist/options.js'
import { bytesOf } from '../model/reference.js'
import { del, expectValue, Modelled, put } from './harness.js'

const longest = limits.keyBytes
const keySizes = [0, 1, 2, 100, 255, 256, 257, 1000, 1024, 4000, 4096, 8192, 32_768, longest]
const valueSizes = [0, 1, 200, 255, 256, 257, 1000, 1023, 1024, 1025, 4096, 16_384, 70_000, 300_000]

describe('keys and values', () => {
  it('of every size are kept, from memory to where they end', async () => {
    const modelled = await Modelled.create()
    for (const size of keySizes) {
      for (const last of ['', 'a', 'b']) {
        const key = 'k'.repeat(Math.max(0, size - last.length)) + last
        modelled.apply(put(key.slice(0, longest), Buffer.alloc(size % 3000, `${size};`)))
      }
    }
    for (const size of valueSizes)
      modelled.apply(put(`value${size}`, Buffer.alloc(size, `${size}`)))
    const absent = keySizes.slice(1).map((size) => 'k'.repeat(size - 1) + 'z')
    await modelled.expectContents(absent)
    await modelled.persist()
    await modelled.expectContents(absent)
    const again = await modelled.reopened()
    await again.expectContents(absent)
    // New versions of some on top of the old ones.
    for (const size of keySizes) again.apply(put('k'.repeat(size), `again ${size}`))
    for (const size of valueSizes) {
      again.apply(size % 2 === 0 ? del(`value${size}`) : put(`value${size}`, 'small now'))
    }
    await again.expectContents(absent)
    await again.persist()
    await again.compact()
    await again.expectContents(absent)
    const last = await again.reopened()
    await last.expectContents(absent)
    for (const made of [modelled, again, last]) await made.close()
  })

  it('that are long and alike but for their end are told apart', async () => {
    const modelled = await Modelled.create()
    const long = (n: number, size: number) => `${'p'.repeat(size)}${String(n).padStart(3, '0')}`
    for (let i = 0; i < 40; i++) {
      modelled.apply(put(long(i, 5000), `${i}`), put(long(i, longest - 3), `${i}`))
      if (i % 8 === 7) await modelled.persist()
    }
    for (let i = 0; i < 40; i += 3)
      modelled.apply(del(long(i, 5000)), del(long(i + 1, longest - 3)))
    await modelled.expectContents()
    await modelled.persist()
    await modelled.compact()
    const again = await modelled.reopened()
    await again.expectContents()
    await again.close()
    await modelled.close()
  })

  it('in one batch may be more than memory is set aside for', async () => {
    const modelled = await Modelled.create()
    modelled.apply(...Array.from({ length: 300 }, (_, i) => put(`k${i}`, Buffer.alloc(900, i))))
    modelled.apply(
      put('large', Buffer.alloc(500_000, 1)),
      put('larger', Buffer.alloc(2_000_000, 2))
    )
    modelled.apply(...Array.from({ length: 300 }, (_, i) => put(`k${i * 2}`, Buffer.alloc(90, i))))
    await modelled.expectContents()
    const again = await modelled.reopened()
    await again.expectContents()
    await again.close()
    await modelled.close()
  })
})

describe('reads that do not wait', () => {
  const keys = Array.from({ length: 400 }, (_, i) => `key${String(i).padStart(4, '0')}`)

  async function cold(): Promise<Modelled> {
    const modelled = await Modelled.create({ cachedReads: 'none' })
    for (const [i, key] of keys.entries()) {
      if (i % 3 !== 2) modelled.apply(put(key, Buffer.alloc(i % 50 === 0 ? 9000 : 150, i)))
      if (i % 100 === 99) await modelled.persist()
    }
    const again = await modelled.reopened()
    await modelled.close()
    return again
  }

  /** Tries, loads and tries again, a bounded number of times. */
  async function loaded(backend: Backend, key: Buffer): Promise<Buffer | undefined> {
    for (let attempt = 0; attempt < 20; attempt++) {
      const value = backend.tryGet(key)
      if (value !== null) return value
      const loaded = await backend.load(key)
      if (loaded !== null) return loaded
    }
    throw new Error('loading does not make it resident')
  }

  it('say what is not in memory, and find it once it was loaded', async () => {
    const modelled = await cold()
    const { backend, entries } = modelled
    expect(backend.tryGet(bytesOf('key0201'))).toBeNull()
    for (const key of keys) {
      expectValue(key, await loaded(backend, bytesOf(key)), entries.get(key))
    }
    await modelled.close()
  })

  it('take many keys at once, those that are not there included', async () => {
    const modelled = await cold()
    const { backend, entries } = modelled
    const wanted = keys.map(bytesOf)
    const found = backend.tryGetMany(wanted)
    expect(found).toHaveLength(keys.length)
    for (const [i, key] of keys.entries()) {
      const value = found[i] === null ? await loaded(backend, wanted[i]!) : found[i]
      expectValue(key, value ?? undefined, entries.get(key))
    }
    expect(backend.tryGetMany([])).toEqual([])
    const twice = backend.tryGetMany([wanted[3]!, wanted[3]!, bytesOf('none')])
    expect(twice[0]).toEqual(twice[1])
    await modelled.close()
  })

  it('walk a range, loading what is missing', async () => {
    const modelled = await cold()
    const view = modelled.backend.readView()
    for (const reverse of [false, true]) {
      const options = { range: {}, reverse, keys: true, values: false }
      const cursor = view.cursor(options)
      const found: string[] = []
      let waits = 0
      for (;;) {
        const chunk = cursor.tryNextChunk(20)
        if (chunk === undefined) break
        if (chunk === null) {
          expect(++waits).toBeLessThan(5000)
          await cursor.load()
          continue
        }
        for (let i = 0; i < chunk.count; i++) {
          const bound = chunk.firstBound + 4 * i
          const { bytes, bounds } = chunk
          found.push(bytes.toString('latin1', bounds[bound], bounds[bound + 1]))
          expect(bounds[bound + 3]! - bounds[bound + 2]!).toBe(0)
        }
      }
      cursor.close()
      const expected = [...modelled.entries.keys()].sort()
      expect(found).toEqual(reverse ? expected.reverse() : expected)
      if (!reverse) expect(waits).toBeGreaterThan(0)
    }
    view.close()
    await modelled.close()
  })
})
