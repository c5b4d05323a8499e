// Kintsugi through its public API, B+ tree backend.
import { readFileSync } from 'node:fs'
import { open } from '../../dist/index.js'

const manifest = new URL('../../package.json', import.meta.url)
export const version = JSON.parse(readFileSync(manifest, 'utf8')).version

/** `durability` is 'sync' or 'os'; nothing else differs from the defaults. */
export async function openStore(dir, { durability, cacheBytes }) {
  return new KintsugiStore(await open(dir, { backend: 'btree', durability, cacheBytes }))
}

export class KintsugiStore {
  /** The fastest of its ways to write when many puts are under way at once, or mixed with reads. */
  concurrentPut = 'put'
  mixedPut = 'put'
  #db
  #settle

  /** `settle` brings the store to rest before it is read. */
  constructor(db, settle = () => db.persist()) {
    this.#db = db
    this.#settle = settle
  }

  putSync(key, value) {
    this.#db.putSync(key, value)
  }

  put(key, value) {
    return this.#db.put(key, value)
  }

  /** Group commit is built in. */
  putGrouped(key, value) {
    return this.#db.put(key, value)
  }

  writeBatch(keys, values) {
    return this.#db.batch(keys.map((key, i) => ({ type: 'put', key, value: values[i] })))
  }

  getSync(key) {
    return this.#db.getSync(key)
  }

  get(key) {
    return this.#db.get(key)
  }

  getManySync(keys) {
    return this.#db.getManySync(keys)
  }

  scan({ gte, limit, reverse }, visit) {
    const range = { reverse: reverse === true }
    if (gte !== undefined) range.gte = gte
    if (limit !== undefined) range.limit = limit
    for (const entry of this.#db.entries(range)) visit(entry[0], entry[1])
  }

  async settle() {
    await this.#settle()
  }

  close() {
    return this.#db.close()
  }
}
