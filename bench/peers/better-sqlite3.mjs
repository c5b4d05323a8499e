// better-sqlite3 12: SQLite with a WITHOUT ROWID table, write-ahead log, prepared statements.
import { mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Grouping } from './grouping.mjs'

const require = createRequire(import.meta.url)
const Database = require('better-sqlite3')
export const version = require('better-sqlite3/package.json').version

/** Its API has no asynchronous form at all; wrapping a blocking call in a promise is not one. */
export const unsupported = {
  put: 'no asynchronous API',
  get: 'no asynchronous API'
}

export async function openStore(dir, { durability, cacheBytes }) {
  mkdirSync(dir, { recursive: true })
  const db = new Database(join(dir, 'data.sqlite'))
  db.pragma('page_size = 4096')
  // One process only, as all the others: no shared-memory index, no lock calls per statement.
  db.pragma('locking_mode = EXCLUSIVE')
  db.pragma('journal_mode = WAL')
  db.pragma(`synchronous = ${durability === 'sync' ? 'FULL' : 'OFF'}`)
  db.pragma(`cache_size = -${Math.floor(cacheBytes / 1024)}`)
  db.pragma('wal_autocheckpoint = 16384')
  db.pragma('temp_store = MEMORY')
  db.exec('CREATE TABLE IF NOT EXISTS entries (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID')
  return new SqliteStore(db)
}

class SqliteStore {
  /** The fastest of its ways to write when many puts are under way at once, or mixed with reads. */
  concurrentPut = 'putGrouped'
  mixedPut = 'putGrouped'
  #db
  #put
  #get
  #write
  #statements = new Map()
  #grouping = new Grouping((keys, values) => {
    this.#write(keys, values)
  })

  constructor(db) {
    this.#db = db
    this.#put = db.prepare(
      'INSERT INTO entries (k, v) VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v'
    )
    this.#get = db.prepare('SELECT v FROM entries WHERE k = ?').pluck()
    this.#write = db.transaction((keys, values) => {
      for (let i = 0; i < keys.length; i++) this.#put.run(keys[i], values[i])
    })
  }

  putSync(key, value) {
    this.#put.run(key, value)
  }

  putGrouped(key, value) {
    return this.#grouping.put(key, value)
  }

  writeBatch(keys, values) {
    this.#write(keys, values)
  }

  getSync(key) {
    return this.#get.get(key)
  }

  getManySync(keys) {
    return keys.map((key) => this.#get.get(key))
  }

  #statement(from, reverse) {
    const name = `${from}${reverse}`
    let statement = this.#statements.get(name)
    if (statement === undefined) {
      const where = from ? `WHERE k ${reverse ? '<=' : '>='} ? ` : ''
      const order = reverse ? 'DESC' : 'ASC'
      statement = this.#db
        .prepare(`SELECT k, v FROM entries ${where}ORDER BY k ${order} LIMIT ?`)
        .raw()
      this.#statements.set(name, statement)
    }
    return statement
  }

  scan({ gte, limit, reverse }, visit) {
    const statement = this.#statement(gte !== undefined, reverse === true)
    if (limit !== undefined && limit <= 1000) {
      for (const row of statement.all(gte, limit)) visit(row[0], row[1])
      return
    }
    const rows = gte === undefined ? statement.iterate(-1) : statement.iterate(gte, limit ?? -1)
    for (const row of rows) visit(row[0], row[1])
  }

  async settle() {
    this.#db.pragma('wal_checkpoint(TRUNCATE)')
  }

  async close() {
    this.#db.close()
  }
}
