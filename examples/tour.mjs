// A tour of the programming interface; run it with `node examples/tour.mjs` after `npm run build`.
import assert from 'node:assert/strict'
import { subscribe } from 'node:diagnostics_channel'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KintsugiError, open, repair } from 'kintsugi-db'

const directory = mkdtempSync(join(tmpdir(), 'kintsugi-tour-'))
const path = join(directory, 'store')

subscribe('kintsugi:recovery', ({ path, durationMs }) => {
  console.log(`opened ${path} in ${durationMs} ms`)
})

// Open, write, read. `put` resolves when the write survives power loss.
const db = await open(path, { backend: 'btree', cacheBytes: 64 * 1024 * 1024 })
await db.put('greeting', 'hello')
assert.equal(String(db.getSync('greeting')), 'hello')
assert.equal(String(await db.get('greeting')), 'hello')
assert.equal(await db.get('nothing'), undefined)
assert.equal(await db.has('greeting'), true)
assert.equal(db.hasSync('nothing'), false)

// A batch is carried out as a whole or not at all, in order.
await db.batch([
  { type: 'put', key: 'city:1', value: 'Oslo' },
  { type: 'put', key: 'city:2', value: 'Lima' },
  { type: 'put', key: 'city:3', value: 'Kyoto' },
  { type: 'del', key: 'greeting' }
])
assert.deepEqual((await db.getMany(['city:2', 'city:9'])).map(String), ['Lima', 'undefined'])
assert.deepEqual(db.getManySync(['city:1']).map(String), ['Oslo'])

// Durability is a choice per write.
await db.put('log:1', 'survives a crash of the process', { durability: 'os' })
await db.put('log:2', 'acknowledged at once', { durability: 'memory' })
await db.flush() // now both survive power loss

// Synchronous forms block the event loop until they are done.
db.putSync('counter', '1')
db.batchSync([{ type: 'put', key: 'counter', value: '2' }])
db.delSync('log:2')

// Ranges, in both directions, synchronously or without ever blocking on the disk.
const cities = []
for (const [key, value] of db.entries({ gte: 'city:', lt: 'city;' })) cities.push(`${key}=${value}`)
assert.deepEqual(cities, ['city:1=Oslo', 'city:2=Lima', 'city:3=Kyoto'])
const lastFirst = []
for await (const value of db.values({ gte: 'city:', lt: 'city;', reverse: true, limit: 2 })) {
  lastFirst.push(String(value))
}
assert.deepEqual(lastFirst, ['Kyoto', 'Lima'])
const keys = db.keys()
keys.seek('city:2')
assert.equal(String(keys.next().value), 'city:2')
keys.close()
const aborted = AbortSignal.abort()
await assert.rejects(
  async () => {
    for await (const _ of db.entries({ signal: aborted }));
  },
  (error) => error instanceof KintsugiError && error.code === 'KINTSUGI_ABORTED'
)

// A snapshot shows the store as it was.
const snapshot = db.snapshot()
await db.clear({ gte: 'city:', lt: 'city;' })
assert.equal(String(snapshot.getSync('city:1')), 'Oslo')
assert.equal(db.getSync('city:1'), undefined)
snapshot.close()

// Transactions are serializable: what one reads cannot change before it commits.
await db.put('stock', '1')
const buyers = ['Ada', 'Grace'].map((name) =>
  db.transaction(async (tx) => {
    const stock = Number(await tx.get('stock'))
    if (stock === 0) return `${name}: sold out`
    tx.put('stock', String(stock - 1))
    tx.put(`sold:${name}`, 'yes')
    return `${name}: bought`
  })
)
assert.equal((await Promise.all(buyers)).filter((text) => text.endsWith('bought')).length, 1)

// Looking after a store.
db.events.on('persist', ({ seq }) => console.log(`durable without the log up to ${seq}`))
await db.persist()
await db.compact()
assert.deepEqual(await db.verify('comprehensive'), [])
console.log(
  `${db.stats().entries} entries, about ${await db.approximateSize()} bytes, seq ${db.seq}`
)

// Errors have a stable code and say what to do.
await assert.rejects(open(path), (error) => error.code === 'KINTSUGI_LOCKED')
await db.close()
assert.equal(db.isOpen, false)

// Strings instead of Buffers, read-only, and what opening had to do.
const reader = await open(path, { readOnly: true, keyEncoding: 'utf8', valueEncoding: 'utf8' })
assert.equal(reader.getSync('counter'), '2')
console.log(`replayed ${reader.recovery.replayedCommits} commits, clean: ${reader.recovery.clean}`)
await reader.close()

// What a repair would do to a damaged store; this one is fine.
const report = await repair(path, { dryRun: true })
assert.equal(report.rebuilt, false)

rmSync(directory, { recursive: true })
console.log('done')
