import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../../dist/base/random.js'
import { open, type KintsugiError } from '../../../dist/index.js'
import { tinyOptions } from '../../helpers/backends.js'
import { useStores } from '../../helpers/store.js'

const stores = useStores()
const level = { ...tinyOptions, backend: 'level' } as const

/** Texts of every width, and bytes that are none. */
function samples(random: SeededRandom): Buffer {
  const texts = ['', 'a', 'größe', '日本語', '😀', '\ufeffmark', '\0', '\ufffd', 'x'.repeat(20_000)]
  if (random.chance(1, 4)) return Buffer.from([0xff, 0xc0, random.below(256), 0x80])
  if (random.chance(1, 9)) return Buffer.from('é').subarray(0, 1)
  return Buffer.from(random.pick(texts) + random.below(1000))
}

async function filled(path: string, seed: number) {
  const random = new SeededRandom(seed)
  const entries = new Map<string, [Buffer, Buffer]>()
  const store = await stores.disk(path, { ...level, durability: 'os' })
  for (let i = 0; i < 400; i++) {
    const key = Buffer.concat([Buffer.from(`${random.below(60)}`), samples(random)]).subarray(0, 99)
    const value = samples(random)
    entries.set(key.toString('latin1'), [key, value])
    void store.put(key, value)
  }
  await store.persist()
  return { store, entries: [...entries.values()].sort(([a], [b]) => Buffer.compare(a, b)), random }
}

describe('reading a level store as text', () => {
  it('reads the keys that were asked for, whatever becomes of their memory meanwhile', async () => {
    const store = await stores.disk(stores.directory(), level)
    const values = [Buffer.from('some text'), Buffer.from([0xff, 0xc0, 0x80])]
    for (const [i, value] of values.entries()) await store.put(`key ${i}`, value)
    await store.persist()
    for (const [i, value] of values.entries()) {
      for (const reads of [store, store.snapshot()]) {
        const key = Buffer.alloc(5)
        const begun = <T>(read: () => Promise<T>): Promise<T> => {
          key.write(`key ${i}`)
          const reading = read()
          key.write(`key ${1 - i}`)
          return reading
        }
        const found = await Promise.all([
          begun(() => reads.get(key)),
          begun(() => reads.getText(key)),
          begun(() => reads.getMany([key])),
          begun(() => reads.getManyTexts([key]))
        ])
        expect(found).toEqual([value, value.toString(), [value], [value.toString()]])
        if (reads !== store) await reads.close()
      }
    }
  })

  it.each([1, 2, 3])('shows what decoding the bytes shows (seed %i)', async (seed) => {
    const { store, entries, random } = await filled(stores.directory(), seed)
    for (const isInMemory of [false, true]) {
      // With something in front of LevelDB ranges take another way.
      if (isInMemory) await store.put(entries[7]![0], entries[7]![1], { durability: 'os' })
      for (const [key, value] of entries) {
        expect(store.getTextSync(key)).toBe(value.toString())
        if (random.chance(1, 4)) expect(await store.getText(key)).toBe(value.toString())
        if (random.chance(1, 4)) expect(await store.get(key)).toEqual(value)
      }
      expect(await store.getText('none')).toBeUndefined()
      const keys = entries.map(([key]) => key)
      const texts = entries.map(([, value]) => value.toString())
      expect(await store.getManyTexts([...keys, Buffer.from('none')])).toEqual([
        ...texts,
        undefined
      ])
      const snapshot = store.snapshot()
      expect(await snapshot.getManyTexts(keys)).toEqual(texts)
      expect(snapshot.getTextSync(keys[3]!)).toBe(texts[3])
      snapshot.close()
      for (const keyEncoding of ['utf8', 'buffer'] as const) {
        for (const valueEncoding of ['utf8', 'buffer'] as const) {
          for (const reverse of [false, true]) {
            const iterator = store.entries({ keyEncoding, valueEncoding, reverse })
            const expected = entries.map(([key, value]) => [
              keyEncoding === 'utf8' ? key.toString() : key,
              valueEncoding === 'utf8' ? value.toString() : value
            ])
            if (reverse) expected.reverse()
            const found: unknown[] = []
            for (;;) {
              const items = await iterator.nextv(1 + random.below(50))
              if (items.length === 0) break
              found.push(...items)
            }
            expect(found).toEqual(expected)
            // From anywhere once more, by a key that may be no text.
            const from = random.below(entries.length)
            iterator.seek(entries[from]![0])
            const [again] = await iterator.nextv(1)
            expect(again).toEqual(expected[reverse ? entries.length - 1 - from : from])
            iterator.close()
          }
        }
      }
    }
    await store.close()
  })

  it('within bounds, with a limit, and of keys or values alone', async () => {
    const { store, entries } = await filled(stores.directory(), 4)
    const texts = entries.map(([key, value]) => [key.toString(), value.toString()])
    const [gte, lt] = [entries[50]![0], entries[120]![0]]
    const asText = { keyEncoding: 'utf8', valueEncoding: 'utf8' } as const
    const keys: string[] = []
    for await (const key of store.keys({ ...asText, gte, lt })) keys.push(key)
    expect(keys).toEqual(texts.slice(50, 120).map(([key]) => key))
    const values: string[] = []
    for await (const value of store.values({
      ...asText,
      gt: gte,
      lte: lt,
      reverse: true,
      limit: 30
    })) {
      values.push(value)
    }
    expect(values).toEqual(
      texts
        .slice(91, 121)
        .reverse()
        .map(([, value]) => value)
    )
    await store.close()
  })

  it('within bounds that are no text, at each of them exactly', async () => {
    const store = await stores.disk(stores.directory(), level)
    const keys = ['a', 'é', 'ß', '日', '\ufffd', '\uffee', '😀', '😁'].map((key) =>
      Buffer.from(key)
    )
    keys.sort((a, b) => Buffer.compare(a, b))
    for (const key of keys) await store.put(key, key)
    await store.persist()
    const asText = { keyEncoding: 'utf8', valueEncoding: 'utf8' } as const
    const beginnings = keys.flatMap((key) => [...key].map((_, i) => key.subarray(0, i + 1)))
    const bounds = [...beginnings, ...[0x80, 0xef, 0xf0, 0xff].map((byte) => Buffer.from([byte]))]
    const isIn = {
      gte: (order: number) => order >= 0,
      gt: (order: number) => order > 0,
      lte: (order: number) => order <= 0,
      lt: (order: number) => order < 0
    }
    for (const bound of bounds) {
      for (const name of ['gte', 'gt', 'lte', 'lt'] as const) {
        for (const reverse of [false, true]) {
          const found: string[] = []
          const options = { [name]: bound, reverse, ...asText }
          for await (const key of store.keys(options)) found.push(key)
          if (reverse) found.reverse()
          const inside = keys.filter((key) => isIn[name](Buffer.compare(key, bound)))
          expect(found, `${name} ${bound.toString('hex')}`).toEqual(inside.map(String))
        }
      }
      const iterator = store.keys(asText)
      iterator.seek(bound)
      const [sought] = await iterator.nextv(1)
      expect(sought).toBe(keys.find((key) => Buffer.compare(key, bound) >= 0)?.toString())
      iterator.close()
    }
    await store.close()
  })

  it('hands out what comes before damage, then names the key', async () => {
    const path = stores.directory()
    const store = await stores.disk(path, level)
    for (let i = 100; i < 400; i++) await store.put(`k${i}`, `value ${i}`, { durability: 'os' })
    await store.close()
    const { ClassicLevel } = await import('classic-level')
    const raw = new ClassicLevel<Buffer, Buffer>(join(path, 'level-1/db'), {
      keyEncoding: 'buffer',
      valueEncoding: 'buffer'
    })
    const stored = (await raw.get(Buffer.from('\x01k250')))!
    stored[20]! ^= 1
    await raw.put(Buffer.from('\x01k250'), stored, { sync: true })
    await raw.close()
    const damaged = await open(path, level)
    for (const encoding of ['utf8', 'buffer'] as const) {
      const options = { keyEncoding: encoding, valueEncoding: encoding }
      const found: string[] = []
      let failed: KintsugiError | undefined
      try {
        for await (const [key] of damaged.entries(options)) found.push(String(key))
      } catch (error) {
        failed = error as KintsugiError
      }
      expect(found).toEqual(Array.from({ length: 150 }, (_, i) => `k${100 + i}`))
      expect(failed?.code).toBe('KINTSUGI_CORRUPTION')
      expect(failed?.facts.lowKey).toEqual(Buffer.from('k250'))
    }
    for (const read of [
      () => damaged.getTextSync('k250'),
      () => damaged.getText('k250'),
      () => damaged.getManyTexts(['k249', 'k250'])
    ]) {
      await expect((async () => read())()).rejects.toMatchObject({ code: 'KINTSUGI_CORRUPTION' })
    }
    expect(damaged.getTextSync('k251')).toBe('value 251')
    await damaged.close()
  })
})
