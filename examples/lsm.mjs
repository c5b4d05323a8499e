// The LSM tree, for sustained random writes; run it with `node examples/lsm.mjs` after
// `npm run build`. Its interface is that of every store; here is what is its own.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open } from 'kintsugi-db'

const directory = mkdtempSync(join(tmpdir(), 'kintsugi-lsm-'))
const path = join(directory, 'readings')

// Small memtables and levels, so that there is something to see; the defaults are for real work.
const db = await open(path, {
  backend: 'lsm',
  durability: 'os',
  memtableBytes: 256 * 1024,
  levelSizeMultiplier: 4,
  compression: ['none', 'none', 'lz4'] // levels 0 and 1 as they are, all others compressed
})

// What goes on in the background tells of itself.
let compactions = 0
db.events.on('compaction', ({ level, outputLevel, bytesRead, bytesWritten, durationMs }) => {
  compactions++
  if (compactions > 3) return
  const sizes = `${bytesRead} bytes read, ${bytesWritten} written`
  console.log(`level ${level} into ${outputLevel}: ${sizes}, ${durationMs} ms`)
})
db.events.on('compaction-failed', ({ error, retryInMs }) => {
  console.log(`${error.message}; again in ${retryInMs} ms`)
})
db.events.on('slowdown', () => console.log('writes are slowed down: compactions lag behind'))
db.events.on('stall', ({ reason }) => console.log(`writes wait: ${reason}`))

// Readings of a thousand sensors, in no order.
const sensors = 1000
const keyOf = (sensor) => `sensor:${String(sensor).padStart(4, '0')}`
let reading = 0
for (let round = 0; round < 60; round++) {
  const operations = Array.from({ length: 500 }, () => {
    const sensor = (reading * 7919) % sensors
    const value = JSON.stringify({ reading: reading++, note: 'x'.repeat(80) })
    return { type: 'put', key: keyOf(sensor), value }
  })
  await db.batch(operations)
}

// A view stays as it is while tables come and go below it.
const before = db.snapshot()
const count = [...before.keys()].length
assert.equal(count, sensors)

// Removing a range writes one tombstone, however many keys it covers.
await db.clear({ gte: keyOf(200), lt: keyOf(900) })
assert.equal(db.getSync(keyOf(500)), undefined)
assert.equal([...db.keys()].length, 300)
assert.equal([...before.keys()].length, sensors)
before.close()

// Tombstones and what they hide go when they are merged down: by and by, or when asked to.
await db.persist()
await db.compact({ level: 0 })
await db.compact()
const stats = db.stats()
for (let level = 0; level < 7; level++) {
  const files = stats[`level${level}Files`] ?? 0
  if (files > 0)
    console.log(`level ${level}: ${files} tables, ${stats[`level${level}Bytes`]} bytes`)
}
console.log(`${compactions} compactions, ${stats.cacheHits} cache hits`)
assert.deepEqual(await db.verify('comprehensive'), [])
await db.close()

// The backend is fixed when a store is created; a profile only changes what may change.
await assert.rejects(open(path, { backend: 'btree' }), { code: 'KINTSUGI_BACKEND_MISMATCH' })
const small = await open(path, { profile: 'low-memory', readOnly: true })
assert.equal(small.backendName, 'lsm')
assert.equal([...small.keys()].length, 300)
await small.close()

rmSync(directory, { recursive: true })
console.log('done')
