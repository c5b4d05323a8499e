import type { DamageList } from '../../backend/damage-list.js'
import { StoredValue } from './format.js'
import { levelError } from './level-error.js'
import type { LevelDb } from './level-db.js'
import type { SharedSnapshot } from './level-snapshots.js'
import { KeyScratch, storedKey, userKey } from './stored-key.js'
import type { StoredValues } from './stored-value.js'
import { noEpoch, type ValueCache } from './value-cache.js'

/** What stands in front of LevelDB: null where LevelDB decides. */
export type InMemory = (key: Uint8Array) => Buffer | undefined | null

/**
 * Point reads of what LevelDB has, each value checked, and small ones kept. Where a view reads, its
 * LevelDB snapshot is named; it may serve other views as well. Without one, LevelDB may be asked in
 * the middle of a persist, when it shows what no commit left: a range is removed before what the
 * same commit put into it is there. So the memtables are asked once more when one has begun.
 */
export class LevelReader {
  readonly db: LevelDb
  readonly values: StoredValues
  readonly damage: DamageList
  readonly #cache: ValueCache
  readonly #inMemory: InMemory
  readonly #scratch = new KeyScratch()

  constructor(
    db: LevelDb,
    values: StoredValues,
    damage: DamageList,
    cache: ValueCache,
    inMemory: InMemory
  ) {
    this.db = db
    this.values = values
    this.damage = damage
    this.#cache = cache
    this.#inMemory = inMemory
  }

  /** The value without asking LevelDB; null where it has to be asked. */
  cached(key: Uint8Array, shared?: SharedSnapshot): Buffer | null {
    return shared === undefined || shared.isCurrent ? this.#cache.get(key) : null
  }

  getSync(key: Uint8Array, shared?: SharedSnapshot): Buffer | undefined {
    const stored = this.#scratch.storedKey(key)
    const found = this.db.getSync(stored, shared?.snapshot)
    return this.#open(found, stored, this.#epochOf(shared))
  }

  async get(key: Uint8Array, shared?: SharedSnapshot): Promise<Buffer | undefined> {
    const stored = storedKey(key)
    const epoch = this.#epochOf(shared)
    let found: Buffer | undefined
    try {
      found = await this.db.get(stored, shared?.snapshot)
    } catch (error) {
      throw levelError(error, this.db.path, 'get')
    }
    if (this.#isPassed(epoch, shared)) return this.#getAgain(stored)
    return this.#open(found, stored, epoch)
  }

  /** Fills in the values that are null. */
  async fillIn(
    keys: readonly Uint8Array[],
    values: (Buffer | undefined | null)[],
    shared?: SharedSnapshot
  ): Promise<void> {
    const places = missing(values)
    if (places.length === 0) return
    const epoch = this.#epochOf(shared)
    const wanted = places.map((place) => storedKey(keys[place]))
    const found = await this.db.getMany(wanted, shared?.snapshot)
    for (let i = 0; i < places.length; i++) {
      values[places[i]] = this.#isPassed(epoch, shared)
        ? await this.#getAgain(wanted[i])
        : this.#open(found[i], wanted[i], epoch)
    }
  }

  /** The value as text, read as text where it is: that takes less than half as long. */
  getTextSync(key: Uint8Array, shared?: SharedSnapshot): string | undefined {
    const stored = this.#scratch.storedKey(key)
    const text = this.db.getTextSync(stored, shared?.snapshot)
    if (text === undefined) return undefined
    // Not text, or damaged: the bytes decide.
    return (
      this.#openText(text, stored, this.#epochOf(shared)) ?? this.getSync(key, shared)?.toString()
    )
  }

  async getText(key: Uint8Array, shared?: SharedSnapshot): Promise<string | undefined> {
    const stored = storedKey(key)
    const epoch = this.#epochOf(shared)
    let text: string | undefined
    try {
      text = await this.db.getText(stored, shared?.snapshot)
    } catch (error) {
      throw levelError(error, this.db.path, 'get')
    }
    if (this.#isPassed(epoch, shared)) return (await this.#getAgain(stored))?.toString()
    if (text === undefined) return undefined
    return (
      this.#openText(text, stored, epoch) ?? (await this.get(userKey(stored), shared))?.toString()
    )
  }

  /** Fills in the values that are null, as text. */
  async fillInTexts(
    keys: readonly Uint8Array[],
    values: (Buffer | string | undefined | null)[],
    shared?: SharedSnapshot
  ): Promise<void> {
    const places = missing(values)
    if (places.length === 0) return
    const epoch = this.#epochOf(shared)
    const wanted = places.map((place) => storedKey(keys[place]))
    const texts = await this.db.getManyTexts(wanted, shared?.snapshot)
    for (let i = 0; i < places.length; i++) {
      if (this.#isPassed(epoch, shared)) {
        values[places[i]] = (await this.#getAgain(wanted[i]))?.toString()
        continue
      }
      const text = texts[i]
      values[places[i]] =
        text === undefined
          ? undefined
          : (this.#openText(text, wanted[i], epoch) ??
            (await this.get(userKey(wanted[i]), shared))?.toString())
    }
  }

  #open(stored: Buffer | undefined, key: Buffer, epoch: number): Buffer | undefined {
    if (stored === undefined) return undefined
    try {
      const value = this.values.open(stored, key, this.db.path)
      this.#cache.keep(key, stored, epoch)
      return value
    } catch (error) {
      this.damage.note(error)
      throw error
    }
  }

  /** Undefined where the bytes have to decide. */
  #openText(text: string, key: Buffer, epoch: number): string | undefined {
    const stored = this.values.provenText(text, key)
    if (stored === undefined) return undefined
    this.#cache.keep(key, stored, epoch)
    return text.slice(StoredValue.value)
  }

  /** Whether a persist has begun or ended since a read without a snapshot began. */
  #isPassed(epoch: number, shared: SharedSnapshot | undefined): boolean {
    return shared === undefined && epoch !== this.#cache.epoch
  }

  #getAgain(stored: Buffer): Promise<Buffer | undefined> {
    const key = userKey(stored)
    const value = this.#inMemory(key)
    return value === null ? this.get(key) : Promise.resolve(value)
  }

  /** Of a read that begins now; those of a state that has passed are not kept. */
  #epochOf(shared: SharedSnapshot | undefined): number {
    return shared === undefined || shared.isCurrent ? this.#cache.epoch : noEpoch
  }
}

function missing(values: readonly unknown[]): number[] {
  const places: number[] = []
  for (let i = 0; i < values.length; i++) if (values[i] === null) places.push(i)
  return places
}
