import fs from 'node:fs'
import { describe, expect, it } from 'vitest'
import { KintsugiLevel } from '../../dist/abstract-level/kintsugi-level.js'
import { failure, useDatabases } from './databases.js'

const databases = useDatabases()
const range = (count: number) => Array.from({ length: count }, (_, index) => index)
const key = (index: number) => String(index).padStart(5, '0')

describe('a database', () => {
  it('needs a location and says which it has', async () => {
    for (const location of [undefined, '', 5]) {
      const error = await failure(() => new KintsugiLevel(location as string))
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toContain("'location' must be a non-empty string")
    }
    const location = databases.directory()
    expect(databases.make({}, location).location).toBe(location)
  })

  it('can be closed and opened again, and has what was written', async () => {
    const db = databases.make()
    await db.put('a', '1')
    await db.close()
    expect((await failure(() => db.store)).code).toBe('LEVEL_DATABASE_NOT_OPEN')
    await db.open()
    expect(await db.get('a')).toBe('1')
    expect(db.store.getSync('a')?.toString()).toBe('1')
  })

  it('makes the directories above its own', async () => {
    const location = `${databases.directory()}/deep/er`
    await databases.make({}, location).open()
    expect(fs.existsSync(location)).toBe(true)
  })

  it('takes bytes of a chained batch at once, so that they can be used again', async () => {
    const db = databases.make<Buffer, Buffer>({ keyEncoding: 'buffer', valueEncoding: 'buffer' })
    await db.open()
    const bytes = Buffer.alloc(1)
    const batch = db.batch()
    for (const byte of [1, 2, 3]) {
      bytes[0] = byte
      batch.put(bytes, bytes)
    }
    bytes[0] = 3
    batch.del(bytes)
    bytes[0] = 9
    await batch.write()
    const expected = [1, 2].map((byte) => [Buffer.of(byte), Buffer.of(byte)])
    expect(await db.iterator().all()).toEqual(expected)
  })

  it('writes with the durability that was asked for', async () => {
    const db = databases.make()
    await db.open()
    const { store } = db
    await db.put('a', '1')
    expect(store.stats().syncedSeq).toBeLessThan(store.seq)
    await db.put('b', '1', { sync: true })
    expect(store.stats().syncedSeq).toBe(store.seq)
    await db.batch([{ type: 'put', key: 'c', value: '1' }], { sync: true })
    expect(store.stats().syncedSeq).toBe(store.seq)
    await db.batch().put('d', '1').write({ sync: true })
    expect(store.stats().syncedSeq).toBe(store.seq)
    await db.del('a', { sync: true })
    expect(store.stats().syncedSeq).toBe(store.seq)
    await db.put('e', '1', { durability: 'sync' })
    expect(store.stats().syncedSeq).toBe(store.seq)
    await db.clear({ lt: 'c', sync: true })
    expect(store.stats().syncedSeq).toBe(store.seq)
    await db.put('f', '1', { sync: true, durability: 'os' })
    expect(store.stats().syncedSeq).toBeLessThan(store.seq)
  })
})

describe('iterators', () => {
  it('read ahead no further than highWaterMarkBytes, and always one entry', async () => {
    const db = databases.make()
    await db.open()
    await db.batch().put('a', '0').put('b', '1').put('c', '2').put('d', '3').write()
    const first = async (highWaterMarkBytes: number) => {
      const iterator = db.iterator({ highWaterMarkBytes })
      const found = await iterator.nextv(1000)
      await iterator.close()
      return found.length
    }
    expect(await first(0)).toBe(1)
    expect(await first(Infinity)).toBe(1)
    expect(await first(1)).toBe(1)
    expect(await first(2)).toBe(2)
    expect(await first(1000)).toBe(4)
    const iterator = db.iterator({ highWaterMarkBytes: 2 })
    await iterator.next()
    expect(iterator.cached).toBe(1)
    await iterator.close()
    expect(await db.iterator({ highWaterMarkBytes: 1 }).all()).toHaveLength(4)
  })

  it('hand out by nextv and all what next has read ahead, then the rest', async () => {
    const db = databases.make()
    await db.batch(range(5000).map((at) => ({ type: 'put', key: key(at), value: `v${at}` })))
    const iterator = db.keys()
    expect(await iterator.next()).toBe(key(0))
    expect(iterator.cached).toBeGreaterThan(0)
    const some = await iterator.nextv(3)
    expect(some).toEqual([1, 2, 3].map(key))
    expect(await iterator.all()).toEqual(range(5000).slice(4).map(key))
    const limited = db.values({ limit: 100 })
    expect(await limited.next()).toBe('v0')
    expect(await limited.all()).toHaveLength(99)
    const short = db.keys({ gte: key(4999) })
    expect(await short.nextv(2)).toEqual([key(4999)])
    short.seek(key(9000))
    expect(await short.next()).toBeUndefined()
    expect(short.cached).toBe(0)
  })

  it('drop what was read ahead on a seek, even behind the end', async () => {
    const db = databases.make()
    await db.batch(range(50).map((at) => ({ type: 'put', key: key(at), value: '' })))
    const iterator = db.iterator()
    await iterator.next()
    iterator.seek(key(40))
    expect(iterator.cached).toBe(0)
    expect((await iterator.next())?.[0]).toBe(key(40))
    expect(await iterator.nextv(100)).toHaveLength(9)
    expect(await iterator.nextv(100)).toEqual([])
    iterator.seek(key(48))
    expect(await iterator.nextv(100)).toEqual([
      [key(48), ''],
      [key(49), '']
    ])
    await iterator.close()
  })

  it('are at their end when a key outside of their range is sought, until another is', async () => {
    const db = databases.make()
    await db.batch(range(10).map((at) => ({ type: 'put', key: String(at), value: '' })))
    const lower = { gt: [5, 6], gte: [5, 5] } as const
    const upper = { lt: [5, 4], lte: [5, 5] } as const
    for (const isPersisted of [false, true]) {
      if (isPersisted) await db.store.persist()
      for (const [name, [bound, edge]] of Object.entries({ ...lower, ...upper })) {
        for (const reverse of [false, true]) {
          const options = { [name]: String(bound), reverse }
          const iterators = [
            db.keys(options),
            db.iterator({ ...options, values: false }),
            db.iterator<Buffer, string>({
              keyEncoding: 'buffer',
              [name]: Buffer.from(String(bound)),
              reverse
            })
          ]
          for (const iterator of iterators) {
            for (const target of range(10)) {
              const sought = iterator as { seek(target: string, options: object): void }
              sought.seek(`${target}`, { keyEncoding: 'utf8' })
              const isInside = name in lower ? target >= edge : target <= edge
              const item: unknown = await iterator.next()
              const found = Array.isArray(item) ? (item as unknown[])[0] : item
              const what = `${name} ${bound}, reverse ${reverse}, seek ${target}`
              expect(found?.toString(), what).toBe(isInside ? String(target) : undefined)
              if (isInside) continue
              expect(iterator.cached).toBe(0)
              expect(await iterator.nextv(5)).toEqual([])
            }
            await iterator.close()
          }
        }
      }
    }
  })

  it('count a limit over seeks', async () => {
    const db = databases.make()
    await db.batch(range(50).map((at) => ({ type: 'put', key: key(at), value: '' })))
    const iterator = db.keys({ limit: 4 })
    await iterator.next()
    iterator.seek(key(20))
    expect(await iterator.nextv(2)).toEqual([key(20), key(21)])
    iterator.seek(key(0))
    expect(await iterator.all()).toEqual([key(0)])
  })

  it('let the event loop go on', async () => {
    const db = databases.make()
    await db.batch(range(10_000).map((at) => ({ type: 'put', key: key(at), value: '' })))
    let turns = 0
    let running = true
    const breathe = (): void => {
      turns++
      if (running) setImmediate(breathe)
    }
    setImmediate(breathe)
    for await (const _ of db.keys()) turns += 0
    running = false
    expect(turns).toBeGreaterThanOrEqual(5)
  })

  it('give only the half that was asked for', async () => {
    const db = databases.make()
    await db.put('a', '1')
    expect(await db.iterator({ values: false }).all()).toEqual([['a', undefined]])
    expect(await db.iterator({ keys: false }).all()).toEqual([[undefined, '1']])
    expect(await db.iterator({ keys: false, values: false }).all()).toEqual([
      [undefined, undefined]
    ])
  })
})

describe('clear', () => {
  it('removes the first keys of a range in either direction, or those of a snapshot', async () => {
    const db = databases.make()
    await db.batch(range(10).map((at) => ({ type: 'put', key: key(at), value: '' })))
    await db.clear({ gte: key(2), limit: 2 })
    await db.clear({ lt: key(9), reverse: true, limit: 2 })
    expect(await db.keys().all()).toEqual([0, 1, 4, 5, 6, 9].map(key))
    const snapshot = db.snapshot()
    await db.put(key(3), 'new')
    await db.put(key(4), 'newer')
    await db.clear({ snapshot })
    await snapshot.close()
    expect(await db.iterator().all()).toEqual([[key(3), 'new']])
  })

  it('removes more keys than one batch takes', async () => {
    const db = databases.make()
    await db.batch(range(25_000).map((at) => ({ type: 'put', key: key(at), value: '' })))
    await db.clear({ limit: 24_999 })
    expect(await db.keys().all()).toEqual([key(24_999)])
  })
})

describe('approximateSize and compactRange', () => {
  it('measure and repack a range, and wait for the opening', async () => {
    const db = databases.make()
    await db.batch(range(10).map((at) => ({ type: 'put', key: key(at), value: 'a'.repeat(1e5) })))
    await db.close()
    await db.open()
    const deferred = databases.make()
    expect(deferred.status).toBe('opening')
    expect(await deferred.approximateSize('a', 'b')).toBe(0)
    await databases.make().compactRange('a', 'b')
    // Compressed, it may be much less than was written.
    expect(await db.approximateSize('!', '~')).toBeGreaterThan(4000)
    await db.clear()
    await db.compactRange('!', '~')
    await db.compactRange('~', '!')
    expect(await db.approximateSize('!', '~')).toBeLessThan(100_000)
  })

  it('need both bounds and an open database', async () => {
    const db = databases.make()
    for (const name of ['approximateSize', 'compactRange'] as const) {
      const call = db[name].bind(db) as (...given: unknown[]) => Promise<unknown>
      for (const given of [[], ['foo']]) {
        const error = await failure(() => call(...given))
        expect(error).toBeInstanceOf(TypeError)
        expect(error.message).toBe("The arguments 'start' and 'end' are required")
      }
    }
    await db.close()
    for (const name of ['approximateSize', 'compactRange'] as const) {
      expect((await failure(() => db[name]('a', 'b'))).code).toBe('LEVEL_DATABASE_NOT_OPEN')
    }
  })

  it('encode their bounds as asked', async () => {
    const calls: string[] = []
    const keyEncoding = {
      name: 'recording',
      format: 'utf8' as const,
      encode: (given: string) => (calls.push(given), given),
      decode: (given: string) => given
    }
    const own = databases.make<string, string>({ keyEncoding })
    await own.open()
    await own.approximateSize('a', 'b')
    const other = databases.make()
    await other.compactRange('c', 'd', { keyEncoding })
    expect(calls).toEqual(['a', 'b', 'c', 'd'])
  })
})

describe('getProperty', () => {
  it('has what LevelDB has, and every figure of the store', async () => {
    const db = databases.make()
    await db.open()
    for (const level of range(7)) {
      expect(db.getProperty(`leveldb.num-files-at-level${level}`)).toBe('0')
    }
    const sstables = db.getProperty('leveldb.sstables')
    expect(sstables).toBe(
      range(7)
        .map((level) => `--- level ${level} ---\n`)
        .join('')
    )
    expect(db.getProperty('leveldb.stats').split('\n').length).toBeGreaterThan(3)
    expect(db.getProperty('leveldb.approximate-memory-usage')).toMatch(/^\d+$/)
    await db.put('a', '1')
    expect(db.getProperty('kintsugi.seq')).toBe(String(db.store.seq))
    for (const name of ['foo', 'leveldb.foo', 'kintsugi.foo', 'kintsugi.toString']) {
      expect(db.getProperty(name)).toBe('')
    }
  })

  it('needs a name and an open database', async () => {
    const db = databases.make()
    expect((await failure(() => db.getProperty('a'))).code).toBe('LEVEL_DATABASE_NOT_OPEN')
    await db.open()
    for (const name of [undefined, {}]) {
      const error = await failure(() => db.getProperty(name as string))
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toBe("The first argument 'property' must be a string")
    }
    await db.close()
    expect((await failure(() => db.getProperty('a'))).code).toBe('LEVEL_DATABASE_NOT_OPEN')
  })
})
