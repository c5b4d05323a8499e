// rocksdb 5: RocksDB 6 behind the older callback interface; everything is asynchronous.
import { mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Grouping } from './grouping.mjs'

const require = createRequire(import.meta.url)
const rocksdb = require('rocksdb')
export const version = require('rocksdb/package.json').version

export const unsupported = {
  putSync: 'no synchronous write',
  getSync: 'no synchronous read',
  getManySync: 'no synchronous read'
}

function promised(call) {
  return new Promise((resolve, reject) => {
    call((error, result) => (error ? reject(error) : resolve(result)))
  })
}

export async function openStore(dir, { durability, cacheBytes }) {
  mkdirSync(dir, { recursive: true })
  const db = rocksdb(dir)
  await promised((done) =>
    db.open(
      {
        createIfMissing: true,
        cacheSize: cacheBytes,
        writeBufferSize: 64 * 2 ** 20,
        compression: true
      },
      done
    )
  )
  return new OldRocksStore(db, durability === 'sync')
}

class OldRocksStore {
  /** The fastest of its ways to write when many puts are under way at once, or mixed with reads. */
  concurrentPut = 'putGrouped'
  mixedPut = 'putGrouped'
  #db
  #write
  #grouping = new Grouping((keys, values) => this.writeBatch(keys, values))

  constructor(db, sync) {
    this.#db = db
    this.#write = { sync }
  }

  put(key, value) {
    return promised((done) => this.#db.put(key, value, this.#write, done))
  }

  putGrouped(key, value) {
    return this.#grouping.put(key, value)
  }

  writeBatch(keys, values) {
    const batch = this.#db.batch()
    for (let i = 0; i < keys.length; i++) batch.put(keys[i], values[i])
    return promised((done) => batch.write(this.#write, done))
  }

  get(key) {
    return new Promise((resolve, reject) => {
      this.#db.get(key, { asBuffer: true }, (error, value) => {
        if (!error) resolve(value)
        else if (/notfound/i.test(error.message)) resolve(undefined)
        else reject(error)
      })
    })
  }

  async scan({ gte, limit, reverse }, visit) {
    const range = {
      reverse: reverse === true,
      limit: limit ?? -1,
      fillCache: true,
      highWaterMark: 256 * 1024
    }
    if (gte !== undefined) range.gte = gte
    const iterator = this.#db.iterator(range)
    let seen = 0
    try {
      for (;;) {
        const entry = await nextEntry(iterator)
        if (entry === undefined) break
        visit(entry[0], entry[1])
        // Entries already fetched are taken without a turn of the event loop for each.
        seen += 1
        const { cache } = iterator
        while (cache.length > 1) {
          const key = cache.pop()
          const value = cache.pop()
          visit(key, value)
          seen += 1
        }
        if (seen === limit) break
      }
    } finally {
      await promised((done) => iterator.end(done))
    }
  }

  async settle() {
    await promised((done) => this.#db.compactRange(Buffer.from('0'), Buffer.from(':'), done))
  }

  close() {
    return promised((done) => this.#db.close(done))
  }
}

function nextEntry(iterator) {
  return new Promise((resolve, reject) => {
    iterator.next((error, key, value) => {
      if (error) reject(error)
      else resolve(key === undefined ? undefined : [key, value])
    })
  })
}
