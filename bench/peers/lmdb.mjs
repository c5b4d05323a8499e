// lmdb 3.5: memory-mapped B+ tree; reads are synchronous, writes go through transactions.
import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { open } from 'lmdb'

const require = createRequire(import.meta.url)
export const version = JSON.parse(
  readFileSync(join(require.resolve('lmdb'), '..', '..', 'package.json'), 'utf8')
).version

/** Raw keys, as `keyEncoding: 'binary'`, but copied faster than by `Uint8Array#slice`. */
const keyEncoder = {
  writeKey(key, target, start) {
    target.set(key, start)
    return start + key.length
  },
  readKey(source, start, end) {
    const key = Buffer.allocUnsafe(end - start)
    source.copy(key, 0, start, end)
    return key
  }
}

/** A view of the buffer that lmdb fills, kept while place and length stay the same. */
let view = new Uint8Array(0)

/** Raw values, as `encoding: 'binary'`, each copied once: the caller owns what it gets. */
const valueEncoder = {
  encode(value) {
    return value
  },
  decode(bytes, length = bytes.length) {
    if (
      view.buffer !== bytes.buffer ||
      view.byteOffset !== bytes.byteOffset ||
      view.length !== length
    ) {
      view = new Uint8Array(bytes.buffer, bytes.byteOffset, length)
    }
    const value = Buffer.allocUnsafe(length)
    value.set(view)
    return value
  }
}

export async function openStore(dir, { durability }) {
  mkdirSync(dir, { recursive: true })
  const db = open({
    path: join(dir, 'data.mdb'),
    encoder: valueEncoder,
    keyEncoder,
    compression: false,
    cache: false,
    mapSize: 8 * 2 ** 30,
    noMemInit: true,
    // Without it a commit is acknowledged before it is flushed: not what 'sync' promises.
    overlappingSync: false,
    // Unsynced, the map itself is written: twice as fast, and as safe from a crash of the process.
    noSync: durability !== 'sync',
    useWritemap: durability !== 'sync'
  })
  return new LmdbStore(db)
}

class LmdbStore {
  /** The fastest of its ways to write when many puts are under way at once, or mixed with reads. */
  concurrentPut = 'put'
  mixedPut = 'put'
  #db

  constructor(db) {
    this.#db = db
  }

  putSync(key, value) {
    this.#db.putSync(key, value)
  }

  put(key, value) {
    return this.#db.put(key, value)
  }

  /** Puts of one event-loop turn share a transaction; that is its own group commit. */
  putGrouped(key, value) {
    return this.#db.put(key, value)
  }

  writeBatch(keys, values) {
    const db = this.#db
    db.transactionSync(() => {
      for (let i = 0; i < keys.length; i++) db.putSync(keys[i], values[i])
    })
  }

  /** Sorted input may say so, which saves LMDB the search. */
  appendBatch(keys, values) {
    const db = this.#db
    db.transactionSync(() => {
      for (let i = 0; i < keys.length; i++) db.putSync(keys[i], values[i], { append: true })
    })
  }

  getSync(key) {
    const db = this.#db
    const bytes = db.getBinaryFast(key)
    return bytes === undefined ? undefined : valueEncoder.decode(bytes, db.lastSize)
  }

  get(key) {
    return this.#db.getAsync(key)
  }

  getManySync(keys) {
    return keys.map((key) => this.getSync(key))
  }

  scan({ gte, limit, reverse }, visit) {
    const range = { limit, reverse: reverse === true, snapshot: false }
    if (gte !== undefined) range.start = gte
    for (const entry of this.#db.getRange(range)) visit(entry.key, entry.value)
  }

  async settle() {
    await this.#db.flushed
  }

  close() {
    return this.#db.close()
  }
}
