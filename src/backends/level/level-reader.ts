import type { DamageList } from '../../backend/damage-list.js'
import type { LevelDb, LevelSnapshot } from './level-db.js'
import { KeyScratch, storedKey } from './stored-key.js'
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
    return this.#open(await this.db.get(stored, snapshot), stored)
  }

  /** Fills in the values that are null. */
  async fillIn(
    keys: readonly Uint8Array[],
    values: (Buffer | undefined | null)[],
    snapshot?: LevelSnapshot
  ): Promise<void> {
    const wanted: Buffer[] = []
    const places: number[] = []
    for (let i = 0; i < keys.length; i++) {
      if (values[i] !== null) continue
      wanted.push(storedKey(keys[i]))
      places.push(i)
    }
    if (wanted.length === 0) return
    const found = await this.db.getMany(wanted, snapshot)
    for (let i = 0; i < places.length; i++) values[places[i]] = this.#open(found[i], wanted[i])
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
