// A Kintsugi store in the place of LevelDB: everything that is built on Level runs on it. Run it
// with `node examples/level.mjs` after `npm run build`.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KintsugiLevel } from 'kintsugi-db/level'

const directory = mkdtempSync(join(tmpdir(), 'kintsugi-level-'))
const location = join(directory, 'people')

// Opens by itself; what is called meanwhile waits. Options have the names that LevelDB's have.
const db = new KintsugiLevel(location, { valueEncoding: 'json', cacheSize: 32 * 1024 * 1024 })

await db.put('ada', { born: 1815 })
await db.batch([
  { type: 'put', key: 'grace', value: { born: 1906 } },
  { type: 'put', key: 'edsger', value: { born: 1930 } }
])
assert.deepEqual(await db.get('ada'), { born: 1815 })
assert.deepEqual(db.getSync('grace'), { born: 1906 })

// A snapshot stays as it is.
const snapshot = db.snapshot()
await db.del('ada')
assert.equal(await db.get('ada'), undefined)
assert.deepEqual(await db.get('ada', { snapshot }), { born: 1815 })
await snapshot.close()

for await (const [key, { born }] of db.iterator({ gte: 'e', reverse: true })) {
  console.log(`${key}, born ${born}`)
}

// Sublevels have keys of their own, and hooks keep an index up to date in the same batch.
const byYear = db.sublevel('year', { valueEncoding: 'utf8' })
db.hooks.prewrite.add((operation, batch) => {
  if (operation.type !== 'put') return
  const key = `${operation.value.born}:${operation.key}`
  batch.add({ type: 'put', key, value: operation.key, sublevel: byYear })
})
await db.put('barbara', { born: 1939 })
assert.deepEqual(await byYear.keys().all(), ['1939:barbara'])

// As in LevelDB a write is acknowledged when the operating system has it; this one survives a power
// cut as well.
await db.put('alan', { born: 1912 }, { sync: true })

// What a store can do beyond Level is there too. Its keys and values are bytes.
await db.store.transaction(async (transaction) => {
  const { born } = JSON.parse(await transaction.get('alan'))
  transaction.put('alan', JSON.stringify({ born, died: 1954 }))
})
assert.deepEqual(await db.get('alan'), { born: 1912, died: 1954 })
assert.deepEqual(await db.store.verify(), [])

// A second opener is refused, and told who the first is.
const second = new KintsugiLevel(location)
await assert.rejects(second.open(), (error) => {
  assert.equal(error.code, 'LEVEL_DATABASE_NOT_OPEN')
  assert.equal(error.cause.code, 'LEVEL_LOCKED')
  assert.equal(error.cause.cause.facts.owner.pid, process.pid)
  return true
})

console.log(db.getProperty('leveldb.stats').split('\n').slice(0, 3).join('\n'))
await db.close()
await KintsugiLevel.destroy(location)
rmSync(directory, { recursive: true })
console.log('done')
