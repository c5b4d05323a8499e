import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../dist/base/random.js'
import type { TextRange } from '../model/reference.js'
import { clear, del, Modelled, put } from './harness.js'

/** Keys that lie as close to each other as keys can, at both ends of what is possible. */
const keys = ['', '\0', '\0\0', 'a', 'a\0', 'a\0\0', 'aa', 'b', 'b\0', 'c', 'ÿ', 'ÿ\0', 'ÿÿ', 'ÿÿÿ']

/** Every form a range can have, with these bounds. */
function rangesOf(low: string, high: string): TextRange[] {
  return [
    { gte: low, lt: high },
    { gte: low, lte: high },
    { gt: low, lt: high },
    { gt: low, lte: high },
    { gte: low },
    { gt: low },
    { lt: high },
    { lte: high }
  ]
}

describe('removing a range', () => {
  it('takes exactly its keys, whatever its bounds, in memory and on the disk', async () => {
    const modelled = await Modelled.create()
    const random = new SeededRandom(5)
    const ranges = keys.flatMap((low) => keys.flatMap((high) => rangesOf(low, high)))
    for (let i = 0; i < 400; i++) {
      const range = i === 0 ? {} : random.pick(ranges)
      modelled.apply(...keys.map((key) => put(key, `${i}`)))
      if (i % 3 === 0) await modelled.persist()
      modelled.apply(clear(range))
      await modelled.expectContents(keys)
      if (i % 5 === 0) {
        await modelled.persist()
        await modelled.expectContents(keys)
      }
      if (i % 60 === 0) await modelled.compact()
    }
    const again = await modelled.reopened()
    await again.expectContents(keys)
    await again.close()
    await modelled.close()
  })

  it('keeps its place among the other operations of its batch', async () => {
    const modelled = await Modelled.create()
    modelled.apply(...keys.map((key) => put(key, 'old')))
    const batches = [
      [clear({}), put('a', '1'), put('b', '1')],
      [put('a', '2'), clear({ gte: 'a' }), put('c', '2')],
      [put('c', '3'), clear({ lt: 'c' }), del('c'), put('aa', '3')],
      [clear({ gt: 'a' }), put('b', '4'), clear({ gte: 'b', lte: 'b' }), put('b\0', '4')],
      [put('x', '5'), put('y', '5'), clear({ gte: 'x', lt: 'y' }), put('x', '6'), del('x')],
      [clear({ gte: 'b\0', lt: 'b\0' }), clear({ gt: 'b' })]
    ]
    for (const persisted of [false, true]) {
      for (const batch of batches) {
        modelled.apply(...batch)
        await modelled.expectContents([...keys, 'x', 'y'])
        if (!persisted) continue
        await modelled.persist()
        await modelled.expectContents([...keys, 'x', 'y'])
        const again = await modelled.reopened()
        await again.expectContents([...keys, 'x', 'y'])
        await again.close()
      }
    }
    await modelled.close()
  })

  it('works many hundred times over, with keys put in between', async () => {
    const modelled = await Modelled.create()
    const random = new SeededRandom(6)
    const keyOf = () => `key${String(random.below(300)).padStart(3, '0')}`
    for (let i = 0; i < 600; i++) {
      const width = random.pick([1, 3, 10, 100])
      const first = random.below(300)
      const [gte, lt] = [first, first + width].map((n) => `key${String(n).padStart(3, '0')}`)
      modelled.apply(clear({ gte: gte!, lt: lt! }), put(keyOf(), `${i}`), put(keyOf(), `${i}`))
      if (i % 50 === 49) await modelled.persist()
      if (i % 200 === 199) {
        await modelled.compact()
        await modelled.expectContents()
      }
    }
    await modelled.expectContents()
    const again = await modelled.reopened()
    await again.expectContents()
    await again.compact()
    await again.expectContents()
    await again.close()
    await modelled.close()
  })

  it('brings nothing back when what hid it is compacted away', async () => {
    const modelled = await Modelled.create()
    const many = Array.from({ length: 200 }, (_, i) => `k${String(i).padStart(4, '0')}`)
    const section = (from: number, to: number) => many.slice(from, to)
    modelled.apply(...many.map((key) => put(key, 'deep'.repeat(40))))
    await modelled.persist()
    await modelled.compact()
    modelled.apply(clear({ gte: 'k0050', lt: 'k0150' }))
    await modelled.persist()
    modelled.apply(...section(90, 110).map((key) => put(key, 'again')))
    await modelled.persist()
    modelled.apply(...section(0, 50).map((key) => del(key)))
    await modelled.persist()
    for (const range of [{ gte: 'k0100', lt: 'k0120' }, { lt: 'k0060' }, {}]) {
      await modelled.compact(range)
      await modelled.expectContents(many)
      const again = await modelled.reopened()
      await again.expectContents(many)
      await again.close()
    }
    expect(modelled.entries.size).toBe(70)
    await modelled.close()
  })
})
