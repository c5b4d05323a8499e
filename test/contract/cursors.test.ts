import { describe, expect, it } from 'vitest'
import type { Cursor, EntryChunk } from '../../dist/backend/backend.js'
import { SeededRandom } from '../../dist/base/random.js'
import {
  bytesOf,
  rangeBytes,
  sortedEntries,
  type KeyText,
  type TextRange
} from '../model/reference.js'
import { clear, del, Modelled, nextChunk, put } from './harness.js'

const keyOf = (i: number): KeyText => `key${String(i).padStart(4, '0')}`

function keysOf(chunk: EntryChunk): KeyText[] {
  const { bytes, bounds, count, firstBound } = chunk
  return Array.from({ length: count }, (_, i) =>
    bytes.toString('latin1', bounds[firstBound + 4 * i], bounds[firstBound + 4 * i + 1])
  )
}

async function next(cursor: Cursor, count: number): Promise<KeyText[]> {
  const found: KeyText[] = []
  while (found.length < count) {
    const chunk = await nextChunk(cursor, count - found.length)
    if (chunk === undefined) break
    found.push(...keysOf(chunk))
  }
  return found
}

/** Five hundred keys, some gone again, in memory and on the disk alike. */
async function filled(): Promise<Modelled> {
  const modelled = await Modelled.create()
  for (let i = 0; i < 500; i++) {
    modelled.apply(put(keyOf(i), Buffer.alloc((i * 37) % 300, i)))
    if (i % 90 === 89) await modelled.persist()
    if (i % 11 === 10) modelled.apply(del(keyOf(i - 5)))
  }
  modelled.apply(clear({ gte: keyOf(200), lt: keyOf(220) }))
  return modelled
}

const whole = { range: {}, keys: true, values: true }

describe('a cursor', () => {
  it('gives no more entries than were asked for, and at least one', async () => {
    const modelled = await filled()
    const view = modelled.backend.readView()
    const cursor = view.cursor({ ...whole, reverse: false })
    for (let most = 1; most < 20; most++) {
      const chunk = (await nextChunk(cursor, most))!
      expect(chunk.count).toBeGreaterThan(0)
      expect(chunk.count).toBeLessThanOrEqual(most)
    }
    const rest = await next(cursor, 10_000)
    expect(rest.at(-1)).toBe(keyOf(499))
    expect(await nextChunk(cursor, 5)).toBeUndefined()
    expect(await nextChunk(cursor, 5)).toBeUndefined()
    cursor.close()
    view.close()
    await modelled.close()
  })

  it('carries keys or values alone where it is asked to', async () => {
    const modelled = await filled()
    const view = modelled.backend.readView()
    const expected = sortedEntries(modelled.entries)
    for (const [keys, values] of [
      [true, false],
      [false, true]
    ] as const) {
      const cursor = view.cursor({ range: {}, reverse: false, keys, values })
      let at = 0
      for (;;) {
        const chunk = await nextChunk(cursor, 40)
        if (chunk === undefined) break
        const { bytes, bounds, count, firstBound } = chunk
        for (let b = firstBound; b < firstBound + 4 * count; b += 4) {
          const [key, value] = expected[at++]!
          const found = [
            bytes.toString('latin1', bounds[b], bounds[b + 1]),
            bytes.subarray(bounds[b + 2], bounds[b + 3])
          ]
          expect(found).toEqual([keys ? key : '', values ? value : Buffer.alloc(0)])
        }
      }
      expect(at).toBe(expected.length)
      cursor.close()
    }
    view.close()
    await modelled.close()
  })

  it('goes on where it was, whatever is persisted, compacted and written between its chunks', async () => {
    const modelled = await filled()
    const random = new SeededRandom(8)
    const walks = [false, true].flatMap((reverse) =>
      [{}, { gte: keyOf(100), lt: keyOf(400) }, { gt: keyOf(205), lte: keyOf(215) }].map(
        (range) => {
          const view = modelled.backend.readView()
          const cursor = view.cursor({ ...whole, range: rangeBytes(range), reverse })
          const expected = sortedEntries(modelled.entries, range, reverse).map(([key]) => key)
          return { view, cursor, expected, found: [] as KeyText[] }
        }
      )
    )
    for (let round = 0; round < 120; round++) {
      for (const { cursor, found } of walks)
        found.push(...(await next(cursor, 1 + random.below(8))))
      const i = random.below(500)
      modelled.apply(put(keyOf(i), `${round}`.repeat(200)), del(keyOf((i * 7) % 500)))
      if (round % 40 === 20) modelled.apply(clear({ gte: keyOf(i), lt: keyOf(i + 60) }))
      if (round % 10 === 5) await modelled.persist()
      if (round % 50 === 30) await modelled.compact()
    }
    for (const { view, cursor, expected, found } of walks) {
      expect([...found, ...(await next(cursor, 1000))]).toEqual(expected)
      cursor.close()
      view.close()
    }
    await modelled.close()
  })

  it.each([false, true])('seeks to any key and back (reverse: %s)', async (reverse) => {
    const modelled = await filled()
    const random = new SeededRandom(9)
    for (const range of [{}, { gt: keyOf(50), lt: keyOf(450) }] as TextRange[]) {
      const view = modelled.backend.readView()
      const cursor = view.cursor({ ...whole, range: rangeBytes(range), reverse })
      const expected = sortedEntries(modelled.entries, range, reverse).map(([key]) => key)
      for (let i = 0; i < 300; i++) {
        const target = random.pick(['', 'a', 'z', 'key', `${keyOf(random.below(500))}x`])
        const key = random.chance(2, 3) ? keyOf(random.below(500)) : target
        cursor.seek(bytesOf(key))
        const from = expected.findIndex((found) => (reverse ? found <= key : found >= key))
        const count = random.below(6)
        expect(await next(cursor, count), key).toEqual(
          from < 0 ? [] : expected.slice(from, from + count)
        )
        if (i % 50 === 20) await modelled.persist()
        if (i % 150 === 70) await modelled.compact()
        if (i % 20 === 3) modelled.apply(put(keyOf(random.below(500)), `${i}`))
      }
      // Behind the end there is nothing, and a seek leads back.
      expect((await next(cursor, 1000)).length).toBeGreaterThanOrEqual(0)
      expect(await nextChunk(cursor, 1)).toBeUndefined()
      cursor.seek(bytesOf(expected[7]!))
      expect(await next(cursor, 2)).toEqual(expected.slice(7, 9))
      cursor.close()
      view.close()
    }
    await modelled.close()
  })
})

describe('replaying', () => {
  it('the same commits once more, alone or in parts, leads to the same', async () => {
    const modelled = await filled()
    const durable = await modelled.persist()
    const { backend, entries } = await modelled.reopened()
    expect(backend.durableSeq).toBe(durable)
    const replayed = new Modelled({ ...modelled.made, backend })
    for (const [key, value] of entries) replayed.entries.set(key, value)
    // Parts of merged commits have the last one's number.
    for (let i = 0; i < 10; i++) {
      replayed.apply(put(keyOf(i), `${i}`), del(keyOf(i + 100)))
      replayed.seq--
    }
    replayed.seq++
    await replayed.expectContents([keyOf(104)])
    await replayed.persist()
    await replayed.expectContents([keyOf(104)])
    await replayed.close()
    await modelled.close()
  })
})
