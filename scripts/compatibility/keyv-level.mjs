// A storage adapter of Keyv over Level. Keyv puts its namespace in front of every key itself.
import { EventEmitter } from 'node:events'

export class KeyvLevel extends EventEmitter {
  // Keyv offers `iterator()` only to the dialects that it knows.
  opts = { dialect: 'sqlite', url: '' }
  namespace = undefined

  constructor(db) {
    super()
    this.db = db
  }

  get(key) {
    return this.db.get(key)
  }

  getMany(keys) {
    return this.db.getMany(keys)
  }

  async set(key, value) {
    await this.db.put(key, value)
    return true
  }

  has(key) {
    return this.db.has(key)
  }

  async delete(key) {
    if (!(await this.db.has(key))) return false
    await this.db.del(key)
    return true
  }

  async deleteMany(keys) {
    const found = await this.db.hasMany(keys)
    await this.db.batch(keys.map((key) => ({ type: 'del', key })))
    return found.every(Boolean)
  }

  clear() {
    return this.db.clear(this.#range(this.namespace))
  }

  iterator(namespace) {
    return this.db.iterator(this.#range(namespace))
  }

  #range(namespace) {
    return namespace ? { gte: `${namespace}:`, lt: `${namespace};` } : {}
  }
}
