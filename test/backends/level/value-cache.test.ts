import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { DamageList } from '../../../dist/backend/damage-list.js'
import { StoredValue } from '../../../dist/backends/level/format.js'
import { LevelDb } from '../../../dist/backends/level/level-db.js'
import { LevelReader, type InMemory } from '../../../dist/backends/level/level-reader.js'
import type { SharedSnapshot } from '../../../dist/backends/level/level-snapshots.js'
import { storedKey } from '../../../dist/backends/level/stored-key.js'
import { StoredValues } from '../../../dist/backends/level/stored-value.js'
import { ValueCache, valueCacheBytes } from '../../../dist/backends/level/value-cache.js'
import { SeededRandom } from '../../../dist/base/random.js'
import { Checksum } from '../../../dist/codec/checksum.js'
import { KeyHash } from '../../../dist/memtable/key-hash.js'
import { apply, clear, create, del, emptyDisk, persist, put } from './level-harness.js'

const storeId = Buffer.alloc(16, 7)
const checksum = await Checksum.create()
const values = new StoredValues(storeId, checksum)
const key = Buffer.from('key')

function stored(value: string | Buffer, of: Uint8Array = key, seq = 1): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(StoredValue.value), Buffer.from(value)])
  values.seal(bytes, storedKey(of), seq)
  return bytes
}

function cacheOf(sizeBytes: number): ValueCache {
  return new ValueCache(sizeBytes, new KeyHash(storeId))
}

/** A value is kept when its key is read for the second time. */
function keepAt(cache: ValueCache, of: Uint8Array, value: string | Buffer): void {
  for (let i = 0; i < 2; i++) cache.keep(storedKey(of), stored(value, of), cache.epoch)
}

const KiB = 1024
const MiB = 1024 * KiB

describe('values that were read', () => {
  it.each([1, 2, 3])('are those read last, or not known (seed %i)', (seed) => {
    const random = new SeededRandom(seed)
    const cache = cacheOf(256 * KiB)
    const last = new Map<string, Buffer>()
    let found = 0
    for (let i = 0; i < 60_000; i++) {
      const name = `${random.below(3000)}`.padEnd(random.below(9), '\0')
      const bytes = Buffer.from(name)
      if (random.chance(1, 2)) {
        const size = random.below(random.chance(1, 20) ? 5000 : random.chance(1, 2) ? 300 : 20)
        const value = Buffer.alloc(size, random.below(256))
        cache.keep(storedKey(bytes), stored(value, bytes), cache.epoch)
        // One without room leaves what was there, as it does not take its place within an epoch.
        if (2 + ((bytes.length + 3) >> 2) + ((size + 3) >> 2) <= 1024) last.set(name, value)
      }
      const value = cache.get(bytes)
      if (value !== null) {
        expect(value.equals(last.get(name)!), `${i} ${name}`).toBe(true)
        found++
      }
      if (random.chance(1, 9000)) {
        cache.renew()
        for (const one of last.keys()) expect(cache.get(Buffer.from(one))).toBeNull()
        last.clear()
      }
    }
    expect(found).toBeGreaterThan(2000)
    expect(cache.hits).toBe(found)
    expect(cache.allocatedBytes).toBeLessThanOrEqual(256 * KiB)
  })

  it('are the own of whoever reads them', () => {
    const cache = cacheOf(64 * KiB)
    const bytes = stored('value')
    for (let i = 0; i < 2; i++) cache.keep(storedKey(key), bytes, cache.epoch)
    bytes.fill(0)
    cache.get(key)!.fill(0)
    expect(cache.get(key)!.toString()).toBe('value')
  })

  it('are not kept of keys that are read once', () => {
    const cache = cacheOf(64 * KiB)
    cache.keep(storedKey(key), stored('value'), cache.epoch)
    expect(cache.get(key)).toBeNull()
    cache.keep(storedKey(key), stored('value'), cache.epoch)
    expect(cache.get(key)!.toString()).toBe('value')
  })

  it('are all there while there is room, and go from the oldest on', () => {
    const cache = cacheOf(MiB)
    const keys = Array.from({ length: 20_000 }, (_, i) => Buffer.from(`key ${i}`))
    const count = (some: Buffer[]) => some.filter((one) => cache.get(one) !== null).length
    for (const one of keys.slice(0, 2000)) keepAt(cache, one, Buffer.alloc(100, 'x'))
    expect(count(keys.slice(0, 2000))).toBeGreaterThan(1850)
    for (const one of keys.slice(2000)) keepAt(cache, one, Buffer.alloc(100, 'x'))
    expect(count(keys.slice(0, 2000))).toBe(0)
    expect(count(keys.slice(-2000))).toBeGreaterThan(1850)
  })

  it('are not there for a key that was read once and took the place of another', () => {
    const hash = { low: 0, high: 0, hash: (of: Uint8Array, at: number) => (hash.high = of[at]!) }
    const cache = new ValueCache(64 * KiB, hash as unknown as KeyHash)
    // The first entry has, from its sixth word on, what looks like one of `z`, read as the fifth.
    const like = Buffer.alloc(12)
    like.writeUInt32LE(1, 0)
    like.writeUInt32LE(4, 4)
    like.write('z', 8)
    keepAt(cache, Buffer.from('a'), Buffer.concat([Buffer.alloc(8), like, Buffer.from('fake')]))
    for (const one of ['b', 'c', 'd']) keepAt(cache, Buffer.from(one), 'value')
    const key = Buffer.from('z')
    cache.keep(storedKey(key), stored('value', key), cache.epoch)
    expect(cache.get(key)).toBeNull()
    expect(cache.get(Buffer.from('a'))).toBeNull()
    expect(cache.get(Buffer.from('b'))?.toString()).toBe('value')
  })

  it('are told apart by their keys, whatever the hash', () => {
    const hash = { low: 0, high: 7, hash: () => undefined } as unknown as KeyHash
    for (const [one, other] of [
      ['a', 'b'],
      ['a', 'a\0'],
      ['a\0', 'a'],
      ['', '\0'],
      ['long key 1', 'long key 2']
    ] as const) {
      const cache = new ValueCache(64 * KiB, hash)
      keepAt(cache, Buffer.from(one), 'value')
      expect(cache.get(Buffer.from(one))?.toString()).toBe('value')
      expect(cache.get(Buffer.from(other))).toBeNull()
    }
  })

  it('are not taken from a value that looks like them and was written over them', () => {
    const cache = cacheOf(64 * KiB)
    // One key in the first three words, then the key that is looked for.
    keepAt(cache, Buffer.from('y'), '')
    keepAt(cache, key, 'true')
    expect(cache.get(key)?.toString()).toBe('true')
    const alike = Buffer.concat([
      Buffer.from(Uint32Array.of(3, 4).buffer),
      Buffer.from('key\0lies')
    ])
    for (let i = 0; cache.get(Buffer.from('y')) !== null; i++) {
      keepAt(cache, Buffer.from('x'), alike)
      expect(cache.get(key)?.toString()).toBe(
        cache.get(Buffer.from('y')) === null ? undefined : 'true'
      )
      expect(i).toBeLessThan(10_000)
    }
  })

  it('are not kept where there is no memory for them', () => {
    for (const allowed of [0, 1]) {
      const cache = cacheOf(64 * KiB)
      let left = allowed
      const constructor = vi.spyOn(globalThis, 'ArrayBuffer').mockImplementation(function (
        bytes: number
      ) {
        if (left-- > 0) return Buffer.allocUnsafeSlow(bytes).fill(0).buffer
        throw new RangeError('Array buffer allocation failed')
      } as never)
      try {
        keepAt(cache, key, 'value')
        expect(left).toBeLessThan(0)
        expect(cache.get(key)).toBeNull()
      } finally {
        constructor.mockRestore()
      }
      keepAt(cache, key, 'value')
      expect(cache.get(key)?.toString()).toBe('value')
    }
  })

  it('take memory as they come, up to a quarter of what caches have', () => {
    expect(valueCacheBytes(MiB)).toBe(MiB / 4)
    expect(valueCacheBytes(256 * MiB)).toBe(64 * MiB)
    expect(valueCacheBytes(2 ** 40)).toBe(1024 * MiB)
    const cache = cacheOf(valueCacheBytes(40 * MiB))
    expect(cache.allocatedBytes).toBe(0)
    const sizes: number[] = []
    for (let i = 0; i < 200_000; i++) {
      keepAt(cache, Buffer.from(`key ${i}`), 'value')
      if (cache.allocatedBytes !== sizes.at(-1)) sizes.push(cache.allocatedBytes)
    }
    expect(sizes.length).toBeGreaterThan(50)
    expect(sizes.at(-1)).toBeLessThanOrEqual(10 * MiB)
  })
})

/** LevelDB that answers when it is told to. */
class SlowDb {
  readonly path = '/db'
  #answer: (value: unknown) => void = () => undefined
  asked = 0

  readonly get = () => this.#asked()
  readonly getText = () => this.#asked()
  readonly getMany = () => this.#asked()
  readonly getManyTexts = () => this.#asked()

  #asked(): Promise<unknown> {
    this.asked++
    return new Promise((resolve) => (this.#answer = resolve))
  }

  answer(value: unknown): void {
    this.#answer(value)
  }
}

const turns = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const reads = {
  get: { of: (reader: LevelReader, shared?: SharedSnapshot) => reader.get(key, shared) },
  getText: {
    of: (reader: LevelReader, shared?: SharedSnapshot) => reader.getText(key, shared),
    asText: true
  },
  fillIn: {
    of: async (reader: LevelReader, shared?: SharedSnapshot) => {
      const found: (Buffer | undefined | null)[] = [null]
      await reader.fillIn([key], found, shared)
      return found[0]
    },
    many: true
  },
  fillInTexts: {
    of: async (reader: LevelReader, shared?: SharedSnapshot) => {
      const found: (Buffer | string | undefined | null)[] = [null]
      await reader.fillInTexts([key], found, shared)
      return found[0]
    },
    many: true,
    asText: true
  }
}

describe.each(Object.entries(reads))('a value read by %s', (_, read) => {
  const { many = false, asText = false } = read as { many?: boolean; asText?: boolean }
  const answer = (value: string) => {
    const one = asText ? stored(value).toString() : stored(value)
    return many ? [one] : one
  }

  function reading(inMemory: InMemory = () => null) {
    const db = new SlowDb()
    const cache = cacheOf(64 * 1024)
    const leveldb = db as unknown as LevelDb
    const reader = new LevelReader(leveldb, values, new DamageList(), cache, inMemory)
    return { db, cache, reader }
  }

  const shared = (isCurrent: boolean) => ({ isCurrent, users: 1 }) as unknown as SharedSnapshot

  it('is kept, for all that see the same state', async () => {
    for (const by of [undefined, shared(true)]) {
      const { db, reader } = reading()
      for (let i = 0; i < 2; i++) {
        expect(reader.cached(key)).toBeNull()
        const value = read.of(reader, by)
        db.answer(answer('one'))
        expect(String(await value)).toBe('one')
      }
      expect(reader.cached(key)?.toString()).toBe('one')
      expect(reader.cached(key, shared(true))?.toString()).toBe('one')
      expect(reader.cached(key, shared(false))).toBeNull()
    }
  })

  it('is not kept where a persist has begun or ended meanwhile', async () => {
    for (const change of ['beginPersist', 'renew'] as const) {
      const { db, cache, reader } = reading()
      cache.keep(storedKey(key), stored('one'), cache.epoch)
      const value = read.of(reader, shared(true))
      cache[change]()
      db.answer(answer('one'))
      expect(String(await value)).toBe('one')
      expect(reader.cached(key)).toBeNull()
    }
  })

  it('is not believed where a persist has begun or ended meanwhile and no snapshot was read', async () => {
    for (const change of ['beginPersist', 'renew'] as const) {
      for (const wrong of ['one', undefined]) {
        let written: Buffer | undefined | null = null
        const { db, cache, reader } = reading(() => written)
        cache.keep(storedKey(key), stored('one'), cache.epoch)
        const value = read.of(reader)
        cache[change]()
        const nothing = many ? [undefined] : undefined
        db.answer(wrong === undefined ? nothing : answer(wrong))
        await turns()
        expect(db.asked).toBe(2)
        cache[change]()
        written = Buffer.from('two')
        db.answer(stored('one'))
        expect(String(await value)).toBe('two')
        expect(reader.cached(key)).toBeNull()
      }
    }
  })

  it('is not kept where it is of a state that has passed', async () => {
    const { db, cache, reader } = reading()
    cache.keep(storedKey(key), stored('one'), cache.epoch)
    const value = read.of(reader, shared(false))
    db.answer(answer('one'))
    expect(String(await value)).toBe('one')
    expect(reader.cached(key)).toBeNull()
  })
})

describe('a level store that keeps values', () => {
  it('reads again what a persist has changed, and only that from the passed', async () => {
    const backend = await create(emptyDisk().vfs)
    const current = async () => {
      const value = backend.tryGet(key)
      return (value === null ? await backend.load(key) : value)?.toString()
    }
    apply(backend, 1, put('key', 'one'))
    await persist(backend)
    const first = backend.readView()
    for (let i = 0; i < 3; i++) expect(await current()).toBe('one')
    expect(backend.tryGet(key)?.toString()).toBe('one')
    expect(first.tryGet(key)?.toString()).toBe('one')

    for (const [seq, change, expected] of [
      [2, put('key', 'two'), 'two'],
      [3, del('key'), undefined],
      [4, put('key', 'four'), 'four'],
      [5, clear('a', 'z'), undefined],
      [6, put('key', 'six'), 'six']
    ] as const) {
      apply(backend, seq, change)
      expect(await current()).toBe(expected)
      expect(first.getSync(key)?.toString()).toBe('one')
      const persisting = persist(backend)
      expect(await current()).toBe(expected)
      expect(first.getSync(key)?.toString()).toBe('one')
      await persisting
      const view = backend.readView()
      expect(first.getSync(key)?.toString()).toBe('one')
      for (let i = 0; i < 3; i++) expect(await current()).toBe(expected)
      expect(view.getSync(key)?.toString()).toBe(expected)
      expect(first.getSync(key)?.toString()).toBe('one')
      expect(view.getSync(key)?.toString()).toBe(expected)
      view.close()
    }
    const { cacheHits = 0, cacheMisses = 0 } = backend.stats()
    expect(cacheHits).toBeGreaterThan(5)
    expect(cacheMisses).toBeGreaterThan(3)
    first.close()
  })

  it('keeps nothing that a persist has written while it was read', async () => {
    const backend = await create(emptyDisk().vfs)
    apply(backend, 1, put('key', 'one'))
    await persist(backend)
    const before = backend.readView()
    // LevelDB takes its time, and reads when the persist has written but not ended.
    let go: () => void = () => undefined
    const written = new Promise<void>((resolve) => (go = resolve))
    const { get, write } = Object.getOwnPropertyDescriptors(LevelDb.prototype)
    const getting = vi.spyOn(LevelDb.prototype, 'get').mockImplementation(async function (
      this: LevelDb,
      ...args
    ) {
      await written
      return get.value!.apply(this, args)
    })
    backend.getSync(key) // The next one is kept.
    const reading = backend.load(key)
    let seen: string | undefined
    const writing = vi.spyOn(LevelDb.prototype, 'write').mockImplementation(async function (
      this: LevelDb,
      ...args
    ) {
      await write.value!.apply(this, args)
      go()
      await reading
      seen = before.getSync(key)?.toString()
    })
    onTestFinished(() => {
      getting.mockRestore()
      writing.mockRestore()
    })
    apply(backend, 2, put('key', 'two'))
    await persist(backend)
    expect(String(await reading)).toBe('two')
    expect(seen).toBe('one')
    before.close()
  })

  it('keeps nothing of a persist that has begun before bytes are read that are no text', async () => {
    const backend = await create(emptyDisk().vfs)
    apply(backend, 1, put('key', Buffer.from([0xff])))
    await persist(backend)
    backend.getSync(key) // The next one is kept.
    const before = backend.readView()
    let begin: () => void = () => undefined
    const begun = new Promise<void>((resolve) => (begin = resolve))
    let go: () => void = () => undefined
    const written = new Promise<void>((resolve) => (go = resolve))
    const { get, getText, write } = Object.getOwnPropertyDescriptors(LevelDb.prototype)
    const mocks: { mockRestore(): void }[] = [
      vi.spyOn(LevelDb.prototype, 'getText').mockImplementation(async function (
        this: LevelDb,
        ...args
      ) {
        const text = await getText.value!.apply(this, args)
        await begun
        return text
      }),
      vi.spyOn(LevelDb.prototype, 'get').mockImplementation(async function (
        this: LevelDb,
        ...args
      ) {
        await written
        return get.value!.apply(this, args)
      })
    ]
    const reading = backend.texts!.load(key)
    let seen: Buffer | undefined
    mocks.push(
      vi.spyOn(LevelDb.prototype, 'write').mockImplementation(async function (
        this: LevelDb,
        ...args
      ) {
        begin()
        await turns()
        await write.value!.apply(this, args)
        go()
        await reading
        seen = before.getSync(key)
      })
    )
    onTestFinished(() => {
      for (const mock of mocks) mock.mockRestore()
    })
    apply(backend, 2, put('key', 'two'))
    await persist(backend)
    expect(await reading).toBe('two')
    expect(seen).toEqual(Buffer.from([0xff]))
    before.close()
  })

  it.each(['bytes', 'text'])(
    'answers with no state between the commits that a persist writes (%s)',
    async (form) => {
      const backend = await create(emptyDisk().vfs)
      const noText = Buffer.from([0xff])
      apply(backend, 1, put('key', noText))
      await persist(backend)
      const load = (): Promise<Buffer | string | undefined> =>
        form === 'text'
          ? backend.texts!.load(key)
          : (backend.load(key) as Promise<Buffer | undefined>)
      // LevelDB reads when the persist has emptied the range that the commit cleared.
      let go: () => void = () => undefined
      const cleared = new Promise<void>((resolve) => (go = resolve))
      const method = form === 'text' ? 'getText' : 'get'
      const read = Object.getOwnPropertyDescriptor(LevelDb.prototype, method)!.value
      const empty = Object.getOwnPropertyDescriptor(LevelDb.prototype, 'clear')!.value
      const getting = vi.spyOn(LevelDb.prototype, method).mockImplementationOnce(async function (
        this: LevelDb,
        ...args: never[]
      ) {
        await cleared
        return read.apply(this, args)
      } as never)
      const reading = load()
      const clearing = vi.spyOn(LevelDb.prototype, 'clear').mockImplementation(async function (
        this: LevelDb,
        ...args
      ) {
        await empty.apply(this, args)
        go()
        await reading
      })
      onTestFinished(() => {
        getting.mockRestore()
        clearing.mockRestore()
      })
      apply(backend, 2, clear('a', 'z'), put('key', 'two'))
      await persist(backend)
      expect(String(await reading)).toBe('two')
    }
  )
})
