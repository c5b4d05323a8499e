// classic-level 3: LevelDB.
import { createRequire } from 'node:module'
import { ClassicLevel } from 'classic-level'
import { Grouping } from './grouping.mjs'

const require = createRequire(import.meta.url)
export const version = require('classic-level/package.json').version

export const unsupported = { putSync: 'no synchronous write' }

export async function openStore(dir, { durability, cacheBytes }) {
  const db = new ClassicLevel(dir, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    cacheSize: cacheBytes,
    writeBufferSize: 64 * 2 ** 20,
    maxFileSize: 16 * 2 ** 20,
    compression: true
  })
  await db.open()
  return new LevelStore(db, durability === 'sync')
}

class LevelStore {
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
    return this.#db.put(key, value, this.#write)
  }

  putGrouped(key, value) {
    return this.#grouping.put(key, value)
  }

  writeBatch(keys, values) {
    const batch = this.#db.batch()
    for (let i = 0; i < keys.length; i++) batch.put(keys[i], values[i])
    return batch.write(this.#write)
  }

  getSync(key) {
    return this.#db.getSync(key)
  }

  get(key) {
    return this.#db.get(key)
  }

  getManySync(keys) {
    return keys.map((key) => this.#db.getSync(key))
  }

  async scan({ gte, limit, reverse }, visit) {
    const range = { reverse: reverse === true, fillCache: true, highWaterMarkBytes: 256 * 1024 }
    if (gte !== undefined) range.gte = gte
    if (limit !== undefined) range.limit = limit
    const iterator = this.#db.iterator(range)
    try {
      for (;;) {
        const entries = await iterator.nextv(1000)
        for (const entry of entries) visit(entry[0], entry[1])
        if (entries.length === 0 || entries.length === limit) break
      }
    } finally {
      await iterator.close()
    }
  }

  async settle() {
    await this.#db.compactRange(Buffer.from('0'), Buffer.from(':'))
  }

  close() {
    return this.#db.close()
  }
}
