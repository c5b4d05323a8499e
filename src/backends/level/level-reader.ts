import type { DamageList } from '../../backend/damage-list.js'
import { StoredValue } from './format.js'
import { levelError } from './level-error.js'
import type { LevelDb } from './level-db.js'
import type { LevelSnapshot } from './private-methods.js'
import { KeyScratch, storedKey, userKey } from './stored-key.js'
import type { StoredValues } from './stored-value.js'

/** Point reads of what LevelDB has, each value checked. */
export class LevelReader {
  readonly db: LevelDb
  readonly values: StoredValues
  readonly damage: DamageList
  readonly #scratch = new KeyScratch()

  constructor(db: LevelDb, values: StoredValues, damage: DamageList) {
    this.db = db
    this.values = values
    this.damage = damage
  }

  getSync(key: Uint8Array, snapshot?: LevelSnapshot): Buffer | undefined {
    const stored = this.#scratch.storedKey(key)
    return this.#open(this.db.getSync(stored, snapshot), stored)
  }

  async get(key: Uint8Array, snapshot?: LevelSnapshot): Promise<Buffer | undefined> {
    const stored = storedKey(key)
    let found: Buffer | undefined
    try {
      found = await this.db.get(stored, snapshot)
    } catch (error) {
      throw levelError(error, this.db.path, 'get')
    }
    return this.#open(found, stored)
  }

  /** Fills in the values that are null. */
  async fillIn(
    keys: readonly Uint8Array[],
    values: (Buffer | undefined | null)[],
    snapshot?: LevelSnapshot
  ): Promise<void> {
    const places = missing(values)
    if (places.length === 0) return
    const wanted = places.map((place) => storedKey(keys[place]))
    const found = await this.db.getMany(wanted, snapshot)
    for (let i = 0; i < places.length; i++) values[places[i]] = this.#open(found[i], wanted[i])
  }

  /** The value as text, read as text where it is: that takes less than half as long. */
  getTextSync(key: Uint8Array, snapshot?: LevelSnapshot): string | undefined {
    const stored = this.#scratch.storedKey(key)
    const text = this.db.getTextSync(stored, snapshot)
    if (text === undefined) return undefined
    if (this.values.provesText(text, stored)) return text.slice(StoredValue.value)
    // Not text, or damaged: the bytes decide.
    return this.getSync(key, snapshot)?.toString()
  }

  async getText(key: Uint8Array, snapshot?: LevelSnapshot): Promise<string | undefined> {
    const stored = storedKey(key)
    let text: string | undefined
    try {
      text = await this.db.getText(stored, snapshot)
    } catch (error) {
      throw levelError(error, this.db.path, 'get')
    }
    if (text === undefined) return undefined
    if (this.values.provesText(text, stored)) return text.slice(StoredValue.value)
    return (await this.get(userKey(stored), snapshot))?.toString()
  }

  /** Fills in the values that are null, as text. */
  async fillInTexts(
    keys: readonly Uint8Array[],
    values: (Buffer | string | undefined | null)[],
    snapshot?: LevelSnapshot
  ): Promise<void> {
    const places = missing(values)
    if (places.length === 0) return
    const wanted = places.map((place) => storedKey(keys[place]))
    const texts = await this.db.getManyTexts(wanted, snapshot)
    for (let i = 0; i < places.length; i++) {
      const text = texts[i]
      const isText = text === undefined || this.values.provesText(text, wanted[i])
      values[places[i]] = isText
        ? text?.slice(StoredValue.value)
        : (await this.get(userKey(wanted[i]), snapshot))?.toString()
    }
  }

  #open(stored: Buffer | undefined, key: Buffer): Buffer | undefined {
    if (stored === undefined) return undefined
    try {
      return this.values.open(stored, key, this.db.path)
    } catch (error) {
      this.damage.note(error)
      throw error
    }
  }
}

function missing(values: readonly unknown[]): number[] {
  const places: number[] = []
  for (let i = 0; i < values.length; i++) if (values[i] === null) places.push(i)
  return places
}
