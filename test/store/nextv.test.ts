import { describe, expect, it } from 'vitest'
import { failureCode, useStores } from '../helpers/store.js'

const stores = useStores()
const keyOf = (index: number) => String(index).padStart(5, '0')

async function filled(count: number) {
  const { store } = await stores.memory({ keyEncoding: 'utf8', valueEncoding: 'utf8' })
  const keys = Array.from({ length: count }, (_, index) => keyOf(index))
  await store.batch(keys.map((key) => ({ type: 'put', key, value: `v${key}` })))
  return { store, keys }
}

describe('nextv', () => {
  it('hands out entries in arrays of the size asked for, then empty ones', async () => {
    const { store, keys } = await filled(2500)
    for (const size of [1, 7, 1000, 2500, 9999, Infinity]) {
      const iterator = store.keys()
      const found: string[] = []
      for (;;) {
        const items = await iterator.nextv(size)
        if (items.length === 0) break
        expect(items).toHaveLength(Math.min(size, keys.length - found.length))
        found.push(...items)
      }
      expect(found).toEqual(keys)
      iterator.close()
    }
  })

  it.each(['in memory', 'persisted', 'both'])(
    'hands out everything once to calls that do not wait for one another (%s)',
    async (where) => {
      const { store, keys } = await filled(3000)
      if (where !== 'in memory') await store.persist()
      if (where === 'both') await store.put(keys[7]!, 'new')
      for (const size of [1, 16, 400, Infinity]) {
        for (const reverse of [false, true]) {
          const iterator = store.keys({ reverse })
          const found: string[] = []
          for (let calls = 2; found.length < (size === 1 ? 50 : keys.length); calls = 3) {
            const reading: Promise<string[]>[] = []
            for (let i = 0; i < calls; i++) {
              reading.push(iterator.nextv(size))
              // Between what a reader is told and what it makes of that.
              for (let turns = 0; turns < found.length % 5; turns++) await Promise.resolve()
            }
            const items = (await Promise.all(reading)).flat()
            expect(items).toHaveLength(Math.min(calls * size, keys.length - found.length))
            found.push(...items)
          }
          iterator.close()
          found.sort()
          if (reverse) found.reverse()
          const expected = reverse ? [...keys].reverse() : keys
          expect(found).toEqual(expected.slice(0, found.length))
        }
      }
    }
  )

  it('hands out keys and values of no bytes, the first that are read at all', async () => {
    for (const selection of ['keys', 'values'] as const) {
      for (const encoding of ['utf8', 'buffer'] as const) {
        const { store } = await stores.memory({ keyEncoding: encoding, valueEncoding: encoding })
        await store.put('', '')
        const iterator = store[selection]()
        expect((await iterator.nextv(5)).map(String)).toEqual([''])
        iterator.close()
      }
    }
  })

  it('keeps to limit, range and direction', async () => {
    const { store, keys } = await filled(100)
    const iterator = store.entries({ gte: keyOf(10), lt: keyOf(90), reverse: true, limit: 30 })
    expect(await iterator.nextv(20)).toHaveLength(20)
    const rest = await iterator.nextv(20)
    expect(rest).toEqual(
      keys
        .slice(60, 70)
        .reverse()
        .map((key) => [key, `v${key}`])
    )
    expect(await iterator.nextv(20)).toEqual([])
    iterator.close()
  })

  it('ends with the entry that exceeds maxBytes, and goes on behind it', async () => {
    const { store, keys } = await filled(100)
    // Each key has 5 bytes, each value 6.
    const entries = store.entries()
    for (const [maxBytes, count] of [
      [0, 1],
      [10, 1],
      [11, 2],
      [110, 11]
    ] as const) {
      expect(await entries.nextv(1000, maxBytes)).toHaveLength(count)
    }
    expect((await entries.nextv(1))[0]?.[0]).toBe(keys[15])
    entries.close()
    const onlyKeys = store.keys()
    expect(await onlyKeys.nextv(1000, 10)).toHaveLength(3)
    onlyKeys.close()
    const onlyValues = store.values()
    expect(await onlyValues.nextv(1000, 11)).toHaveLength(2)
    onlyValues.close()
  })

  it('stays open at the end, so that seek leads back into the range', async () => {
    const { store, keys } = await filled(50)
    const iterator = store.keys()
    expect(await iterator.nextv(Infinity)).toEqual(keys)
    expect(await iterator.nextv(1)).toEqual([])
    iterator.seek(keyOf(48))
    expect(await iterator.nextv(10)).toEqual(keys.slice(48))
    expect(store.stats().openIterators).toBe(1)
    iterator.close()
    expect(store.stats().openIterators).toBe(0)
    expect(await failureCode(() => iterator.nextv(1))).toBe('KINTSUGI_ITERATOR_NOT_OPEN')
  })

  it('goes on where a loop has stopped', async () => {
    const { store, keys } = await filled(50)
    const iterator = store.keys()
    for (let i = 0; i < 20; i++) await iterator.nextv(1)
    expect(await iterator.nextv(5)).toEqual(keys.slice(20, 25))
    iterator.close()
  })

  it('lets the event loop go on', async () => {
    const { store } = await filled(20_000)
    let turns = 0
    const timer = setInterval(() => {}, 1000)
    const breathe = (): void => {
      turns++
      next = setImmediate(breathe)
    }
    let next = setImmediate(breathe)
    const iterator = store.keys()
    expect(await iterator.nextv(Infinity)).toHaveLength(20_000)
    iterator.close()
    clearImmediate(next)
    clearInterval(timer)
    expect(turns).toBeGreaterThanOrEqual(10)
  })

  it('is ended by its signal and by its store, and refuses sizes that are none', async () => {
    const { store } = await filled(10)
    const controller = new AbortController()
    const iterator = store.keys({ signal: controller.signal })
    expect(await iterator.nextv(3)).toHaveLength(3)
    for (const size of [0, -1, 1.5, NaN, '5']) {
      const code = await failureCode(() => iterator.nextv(size as number))
      expect(code).toBe('KINTSUGI_INVALID_ARGUMENT')
    }
    expect(await failureCode(() => iterator.nextv(1, -1))).toBe('KINTSUGI_INVALID_ARGUMENT')
    controller.abort()
    expect(await failureCode(() => iterator.nextv(3))).toBe('KINTSUGI_ABORTED')
    iterator.close()
    const other = store.keys()
    await store.close()
    expect(await failureCode(() => other.nextv(3))).toBe('KINTSUGI_ITERATOR_NOT_OPEN')
  })
})

describe('an encoding of one iteration', () => {
  it('wins over that of the store, in a snapshot as well', async () => {
    const { store } = await stores.memory({ keyEncoding: 'utf8' })
    await store.put('ä', 'ö')
    const [key, value] = [Buffer.from('ä'), Buffer.from('ö')]
    const first = async <T>(iterator: { nextv(size: number): Promise<T[]>; close(): void }) => {
      const [item] = await iterator.nextv(1)
      iterator.close()
      return item
    }
    expect(await first(store.entries())).toEqual(['ä', value])
    expect(await first(store.entries({ keyEncoding: 'buffer' }))).toEqual([key, value])
    expect(await first(store.entries({ valueEncoding: 'utf8' }))).toEqual(['ä', 'ö'])
    using snapshot = store.snapshot()
    expect(await first(snapshot.keys({ keyEncoding: 'buffer' }))).toEqual(key)
    expect(await first(snapshot.values({ valueEncoding: 'utf8' }))).toBe('ö')
    for (const name of ['keyEncoding', 'valueEncoding']) {
      const code = await failureCode(() => store.entries({ [name]: 'json' }))
      expect(code).toBe('KINTSUGI_INVALID_OPTION')
    }
    await store.transaction(async (tx) => {
      const options = { keyEncoding: 'buffer' } as object
      expect(await failureCode(() => tx.entries(options))).toBe('KINTSUGI_INVALID_OPTION')
    })
  })
})

describe('tryGet', () => {
  it('answers without waiting, or with null where only get can', async () => {
    const { store } = await stores.memory({ valueEncoding: 'utf8' })
    await store.put('a', 'b')
    expect(store.tryGet('a')).toBe('b')
    expect(store.tryGet('b') ?? undefined).toBeUndefined()
    using snapshot = store.snapshot()
    await store.del('a')
    expect(snapshot.tryGet('a')).toBe('b')
    expect(store.tryGet('a')).toBeUndefined()
    await store.close()
    expect(await failureCode(() => store.tryGet('a'))).toBe('KINTSUGI_NOT_OPEN')
  })

  it('is null until the disk was asked', async () => {
    const { store, vfs } = await stores.memory()
    await store.put('a', Buffer.alloc(100_000, 1))
    await store.close()
    const { store: again } = await stores.memory({ vfs })
    expect(again.tryGet('a')).toBeNull()
    expect(await again.get('a')).toHaveLength(100_000)
  })
})
