// @nxtedition/rocksdb 12: a current RocksDB. Its write, multi-get and query calls are synchronous
// inside; the underscored methods are that package's own synchronous forms.
import { createRequire } from 'node:module'
import { Grouping } from './grouping.mjs'

const require = createRequire(import.meta.url)
const { RocksLevel } = require('@nxtedition/rocksdb')
export const version = require('@nxtedition/rocksdb/package.json').version

export async function openStore(dir, { durability, cacheBytes }) {
  const db = new RocksLevel(dir, { keyEncoding: 'buffer', valueEncoding: 'buffer' })
  await db.open({
    createIfMissing: true,
    cacheSize: cacheBytes,
    parallelism: 2,
    walCompression: false,
    compression: true
  })
  return new RocksStore(db, durability === 'sync')
}

class RocksStore {
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

  putSync(key, value) {
    const batch = this.#db._chainedBatch()
    batch._put(key, value)
    batch._writeSync(this.#write)
    batch._closeSync()
  }

  /** Not `db.put`: it drops the `sync` option on the way. */
  put(key, value) {
    return new Promise((resolve, reject) => {
      const batch = this.#db._chainedBatch()
      batch._put(key, value)
      batch._write(this.#write, (error) => {
        batch._closeSync()
        if (error) reject(error)
        else resolve()
      })
    })
  }

  putGrouped(key, value) {
    return this.#grouping.put(key, value)
  }

  writeBatch(keys, values) {
    const batch = this.#db._chainedBatch()
    for (let i = 0; i < keys.length; i++) batch._put(keys[i], values[i])
    batch._writeSync(this.#write)
    batch._closeSync()
  }

  getSync(key) {
    return this.#db._getManySync([key])[0]
  }

  get(key) {
    return this.#db.get(key)
  }

  getManySync(keys) {
    return this.#db._getManySync(keys)
  }

  scan({ gte, limit, reverse }, visit) {
    const range = { reverse: reverse === true, keyEncoding: 'buffer', valueEncoding: 'buffer' }
    if (gte !== undefined) range.gte = gte
    if (limit !== undefined && limit <= 1000) {
      const { rows } = this.#db.querySync({ ...range, limit })
      for (let i = 0; i < rows.length; i += 2) visit(rows[i], rows[i + 1])
      return
    }
    range.limit = limit ?? -1
    range.fillCache = true
    const iterator = this.#db._iterator(range)
    try {
      for (;;) {
        const { rows, finished } = iterator._nextvSync(1000)
        for (let i = 0; i < rows.length; i += 2) visit(rows[i], rows[i + 1])
        if (finished) break
      }
    } finally {
      iterator._closeSync()
    }
  }

  async settle() {
    // No manual compaction in this binding; closing flushes nothing that a reader would notice.
  }

  close() {
    return this.#db.close()
  }
}
