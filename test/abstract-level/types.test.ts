import type { AbstractSublevel } from 'abstract-level'
import { describe, expect, expectTypeOf, it } from 'vitest'
import type {
  BatchOperation,
  DatabaseOptions,
  KintsugiLevel,
  KintsugiSnapshot,
  RepairReport
} from '../../dist/abstract-level/kintsugi-level.js'
import { useDatabases } from './databases.js'

const databases = useDatabases()

interface Person {
  name: string
}

// What a compiler has to accept and to refuse; that it does is checked with the types of all tests.
describe('the types', () => {
  it('follow the encodings of the database and of a call', async () => {
    const db: KintsugiLevel = databases.make()
    expectTypeOf(db.get('a')).resolves.toEqualTypeOf<string | undefined>()
    expectTypeOf(db.getMany(['a'])).resolves.toEqualTypeOf<(string | undefined)[]>()
    expectTypeOf(db.has('a')).resolves.toEqualTypeOf<boolean>()
    const buffers = { valueEncoding: 'buffer', fillCache: false } as const
    expectTypeOf(db.get<string, Buffer>('a', buffers)).resolves.toEqualTypeOf<Buffer | undefined>()
    // @ts-expect-error keys are strings here
    await db.get(5)
    await db.put('a', '1', { sync: true, durability: 'os' })
    // @ts-expect-error there is no such durability
    await db.put('a', '1', { durability: 'maybe' }).catch(() => {})
    const operations: BatchOperation<typeof db, string, string>[] = [{ type: 'del', key: 'a' }]
    await db.batch(operations, { sync: false })
    await db.batch().put('a', '1').del('b').write({ sync: false })
    expect(await db.get('a')).toBe('1')
  })

  it('are those of objects with the encoding json', async () => {
    const options: DatabaseOptions<string, Person> = { valueEncoding: 'json', cacheSize: 1 << 20 }
    const db = databases.make<string, Person>(options)
    await db.put('a', { name: 'Ada' })
    expectTypeOf(db.get('a')).resolves.toEqualTypeOf<Person | undefined>()
    for await (const [key, value] of db.iterator({ gte: 'a', highWaterMarkBytes: 1000 })) {
      expectTypeOf(key).toEqualTypeOf<string>()
      expectTypeOf(value).toEqualTypeOf<Person>()
    }
    expectTypeOf(db.keys({ fillCache: true }).all()).resolves.toEqualTypeOf<string[]>()
    expectTypeOf(db.values().nextv(5)).resolves.toEqualTypeOf<Person[]>()
    const snapshot = db.snapshot()
    expectTypeOf(snapshot).toEqualTypeOf<KintsugiSnapshot>()
    expect(await db.get('a', { snapshot })).toEqual({ name: 'Ada' })
    await db.clear({ snapshot, sync: true })
    await snapshot.close()
    const sub = db.sublevel<Buffer, number>('sub', { keyEncoding: 'buffer', valueEncoding: 'json' })
    type Format = string | Buffer | Uint8Array
    expectTypeOf(sub).toEqualTypeOf<AbstractSublevel<typeof db, Format, Buffer, number>>()
    await sub.put(Buffer.of(1), 5)
  })

  it('know what is beyond Level', async () => {
    const db = databases.make()
    await db.open({ cacheSize: 1 << 20 })
    expectTypeOf(db.location).toEqualTypeOf<string>()
    expectTypeOf(db.approximateSize('a', 'b')).resolves.toEqualTypeOf<number>()
    expectTypeOf(db.getProperty('leveldb.stats')).toEqualTypeOf<string>()
    expectTypeOf<typeof KintsugiLevel.repair>().returns.resolves.toEqualTypeOf<RepairReport>()
    await db.store.transaction((tx) => tx.put('a', '1'))
    const iterator = db.store.keys({ keyEncoding: 'utf8' })
    expectTypeOf(iterator.nextv(1)).resolves.toEqualTypeOf<string[]>()
    const entries = await db.store.entries({ valueEncoding: 'utf8' }).nextv(1)
    expectTypeOf(entries).toEqualTypeOf<[Buffer, string][]>()
    expect(entries).toEqual([[Buffer.from('a'), '1']])
  })
})
