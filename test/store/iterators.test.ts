import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { contains, sortedEntries, type TextRange } from '../model/reference.js'
import { failure, failureCode, useStores } from '../helpers/store.js'

const stores = useStores()

async function filled(count = 100) {
  const made = await stores.memory({ keyEncoding: 'utf8', valueEncoding: 'utf8' })
  await made.store.batch(
    Array.from({ length: count }, (_, i) => ({
      type: 'put' as const,
      key: String(i).padStart(5, '0'),
      value: `v${i}`
    }))
  )
  return made
}

const numbered = (i: number): string => String(i).padStart(5, '0')

describe('an iterator', () => {
  it('goes through everything in order, both ways', async () => {
    const { store } = await filled(3000)
    const forward = [...store.keys()]
    expect(forward).toEqual(Array.from({ length: 3000 }, (_, i) => numbered(i)))
    expect([...store.keys({ reverse: true })]).toEqual(forward.toReversed())
    expect([...store.values()].slice(0, 2)).toEqual(['v0', 'v1'])
    expect([...store.entries({ reverse: true, limit: 1 })]).toEqual([['02999', 'v2999']])
  })

  it('of an empty store ends at once', async () => {
    const { store } = await stores.memory()
    expect([...store.entries()]).toEqual([])
    expect([...store.entries({ reverse: true })]).toEqual([])
    for await (const _ of store.entries()) expect.fail('nothing is there')
  })

  it('orders keys by unsigned bytes, shorter ones first', async () => {
    const { store } = await stores.memory()
    const keys = [[], [0], [0, 0], [0, 1], [1], [0x7f], [0x80], [0xff], [0xff, 0], [0xff, 0xff]]
    for (const key of keys.toReversed()) await store.put(Buffer.from(key), 'v')
    expect([...store.keys()].map((key) => [...key])).toEqual(keys)
  })

  it('keeps to its bounds, whatever they are', async () => {
    const { store } = await stores.memory()
    const key = fc.uint8Array({ maxLength: 2 }).map((b) => Buffer.from(b).toString('latin1'))
    const entries = new Map<string, Buffer>()
    for (const sample of fc.sample(key, { numRuns: 300, seed: 1 })) {
      entries.set(sample, Buffer.from(sample, 'latin1'))
      await store.put(Buffer.from(sample, 'latin1'), Buffer.from(sample, 'latin1'))
    }
    const bound = fc.option(key, { nil: undefined })
    const names = fc.tuple(fc.constantFrom('gt', 'gte'), fc.constantFrom('lt', 'lte'))
    fc.assert(
      fc.property(
        bound,
        bound,
        names,
        fc.boolean(),
        fc.nat(30),
        (low, high, by, reverse, limit) => {
          const range: Record<string, string> = {}
          if (low !== undefined) range[by[0]] = low
          if (high !== undefined) range[by[1]] = high
          const bounds = Object.fromEntries(
            Object.entries(range).map(([name, text]) => [name, Buffer.from(text, 'latin1')])
          )
          const expected = sortedEntries(entries, range as TextRange, reverse).map(([text]) => text)
          const read = (options: object) =>
            [...store.keys({ ...bounds, reverse, ...options })].map((k) => k.toString('latin1'))
          expect(read({})).toEqual(expected)
          expect(read({ limit })).toEqual(expected.slice(0, limit))
          expect(expected.every((text) => contains(range as TextRange, text))).toBe(true)
        }
      ),
      { numRuns: 500 }
    )
  })

  it('takes gte before gt and lte before lt when both are given', async () => {
    const { store } = await filled(5)
    expect([
      ...store.keys({ gte: numbered(1), gt: numbered(3), lte: numbered(2), lt: '' })
    ]).toEqual([numbered(1), numbered(2)])
  })

  it('yields at most its limit', async () => {
    const { store } = await filled(100)
    for (const limit of [0, 1, 15, 16, 17, 99, 100, 101]) {
      expect([...store.keys({ limit })]).toHaveLength(Math.min(limit, 100))
      const found: string[] = []
      for await (const key of store.keys({ limit, reverse: true })) found.push(key)
      expect(found).toHaveLength(Math.min(limit, 100))
    }
    for (const limit of [-1, Infinity, undefined]) {
      expect([...store.keys({ limit })]).toHaveLength(100)
    }
  })

  it('shows the moment it was made, whatever is written meanwhile', async () => {
    const { store } = await filled(500)
    const before = [...store.entries()]
    const forward = store.entries()
    const backward = store.entries({ reverse: true })
    const found = [forward.next().value!, forward.next().value!]
    const foundBackward = [backward.next().value!]
    await store.clear({ gte: numbered(1), lt: numbered(400) })
    for (let i = 0; i < 600; i += 3) await store.put(numbered(i), 'new')
    await store.persist()
    await store.persist()
    await store.compact()
    await store.clear()
    found.push(...forward)
    foundBackward.push(...backward)
    expect(found).toEqual(before)
    expect(foundBackward).toEqual(before.toReversed())
    expect([...store.keys()]).toEqual([])
  })

  it('seeks forward and back', async () => {
    const { store } = await filled(100)
    const iterator = store.keys()
    iterator.seek(numbered(50))
    expect(iterator.next().value).toBe(numbered(50))
    iterator.seek('00010x')
    expect(iterator.next().value).toBe(numbered(11))
    iterator.seek(numbered(98))
    expect([...iterator]).toEqual([numbered(98), numbered(99)])
    const backward = store.keys({ reverse: true })
    backward.seek(numbered(50))
    expect(backward.next().value).toBe(numbered(50))
    backward.seek('00010x')
    expect(backward.next().value).toBe(numbered(10))
    backward.close()
  })

  it('seeks within its range and its limit', async () => {
    const { store } = await filled(100)
    const iterator = store.keys({ gte: numbered(20), lt: numbered(30), limit: 4 })
    iterator.seek('')
    expect(iterator.next().value).toBe(numbered(20))
    iterator.seek(numbered(28))
    expect([...iterator]).toEqual([numbered(28), numbered(29)])
    const limited = store.keys({ limit: 3 })
    limited.next()
    limited.seek(numbered(50))
    expect([...limited]).toEqual([numbered(50), numbered(51)])
    const beyond = store.keys({ lt: numbered(30) })
    beyond.seek(numbered(70))
    expect([...beyond]).toEqual([])
  })

  it('can be left early in either kind of loop', async () => {
    const { store } = await filled(100)
    for (const key of store.keys()) if (key === numbered(3)) break
    for await (const key of store.keys()) if (key === numbered(3)) break
    expect(store.stats().openIterators).toBe(0)
  })

  it('does not work once it is closed; closing twice is fine', async () => {
    const { store } = await filled(100)
    const iterator = store.keys()
    iterator.next()
    iterator.close()
    iterator.close()
    expect(await failureCode(() => iterator.next())).toBe('KINTSUGI_ITERATOR_NOT_OPEN')
    expect(await failureCode(() => iterator.seek('a'))).toBe('KINTSUGI_ITERATOR_NOT_OPEN')
  })

  it('that has ended stays at its end', async () => {
    const { store } = await filled(3)
    const iterator = store.keys()
    expect([...iterator]).toHaveLength(3)
    expect(iterator.next()).toEqual({ value: undefined, done: true })
    iterator.close()
    expect(iterator.next()).toEqual({ value: undefined, done: true })
  })

  it('ends with its store', async () => {
    const { store } = await filled(100)
    const iterator = store.keys()
    iterator.next()
    await store.close()
    expect(await failureCode(() => iterator.next())).toBe('KINTSUGI_ITERATOR_NOT_OPEN')
    const { store: other } = await filled(100)
    const asynchronous = other.keys()[Symbol.asyncIterator]()
    await asynchronous.next()
    await other.close()
    expect(await failureCode(() => asynchronous.next())).toBe('KINTSUGI_ITERATOR_NOT_OPEN')
  })

  it('stops with the reason of its AbortSignal', async () => {
    const { store } = await filled(100)
    const controller = new AbortController()
    const found: string[] = []
    const error = await failure(async () => {
      for await (const key of store.keys({ signal: controller.signal })) {
        found.push(key)
        if (found.length === 5) controller.abort(new Error('enough'))
      }
    })
    expect(found).toHaveLength(5)
    expect(error.code).toBe('KINTSUGI_ABORTED')
    expect((error.cause as Error).message).toBe('enough')
    expect(store.stats().openIterators).toBe(0)
    const aborted = AbortSignal.abort()
    const before = await failure(async () => {
      for await (const _ of store.keys({ signal: aborted })) expect.fail('already aborted')
    })
    expect(before.code).toBe('KINTSUGI_ABORTED')
  })

  it('yields entries that other reads do not change', async () => {
    const { store } = await stores.memory()
    for (let i = 0; i < 50; i++) await store.put(numbered(i), Buffer.alloc(2000, i))
    const entries = [...store.entries()]
    for (const [key, value] of entries.slice(0, 25)) {
      key.fill(0)
      value.fill(0)
    }
    entries.slice(25).forEach(([key, value], i) => {
      expect(key.toString()).toBe(numbered(i + 25))
      expect(value).toEqual(Buffer.alloc(2000, i + 25))
    })
  })
})
