import type { DamageList } from '../../../backend/damage-list.js'
import { newestSeq, noSeq } from '../../../memtable/entry.js'
import { findInMemtables } from '../../../memtable/find.js'
import type { KeyHash } from '../../../memtable/key-hash.js'
import { Found, Lookup } from '../../../memtable/lookup.js'
import type { CopyPool } from '../../../page/copy-pool.js'
import { spanHolds } from '../../../memtable/key-span.js'
import type { Table } from '../table/table.js'
import type { Sources } from './sources.js'

/** Beyond so many loads for one lookup the disk is waited for: then it ends. */
const maxFruitlessLoads = 64

/** Point reads: source by source, from new to old, until one knows the key. */
export class PointReader {
  readonly #hash: KeyHash
  readonly #pool: CopyPool
  readonly #damage: DamageList
  /** The version found, and another for looking further. */
  #lookup = new Lookup()
  #other = new Lookup()
  /** The table that has to load something. */
  #missingTable: Table | undefined

  constructor(hash: KeyHash, pool: CopyPool, damage: DamageList) {
    this.#hash = hash
    this.#damage = damage
    this.#pool = pool
  }

  /** A copy of the value; undefined where there is none. Waits for the disk. */
  getSync(sources: Sources, key: Uint8Array, maxSeq: number = newestSeq): Buffer | undefined {
    return this.#get(sources, key, maxSeq, true) ?? undefined
  }

  /** The same; null where something is not in memory. */
  tryGet(sources: Sources, key: Uint8Array, maxSeq: number = newestSeq): Buffer | undefined | null {
    return this.#get(sources, key, maxSeq, false)
  }

  /** Makes resident what `tryGet` of the key needs. */
  async load(currentSources: () => Sources, key: Uint8Array, maxSeq: number): Promise<null> {
    for (let loads = 0; ; loads++) {
      // Tables may be replaced while it waits.
      const found = this.#find(currentSources(), key, maxSeq, loads > maxFruitlessLoads)
      if (found !== Found.notResident) return null
      const missing = this.#lookup
      const table = this.#missingTable!
      this.#lookup = new Lookup()
      table.retain()
      try {
        await table.load(missing)
      } catch (error) {
        this.#damage.note(error)
        throw error
      } finally {
        table.release()
      }
    }
  }

  #get(sources: Sources, key: Uint8Array, maxSeq: number, wait: boolean) {
    try {
      const found = this.#find(sources, key, maxSeq, wait)
      if (found === Found.absent) return undefined
      return found === Found.notResident ? null : this.#lookup.value(this.#pool)
    } catch (error) {
      this.#damage.note(error)
      throw error
    }
  }

  /** After `present`, `#lookup` holds the value; after `notResident`, what is missing. */
  #find(sources: Sources, key: Uint8Array, maxSeq: number, wait: boolean): number {
    const hash = this.#hash
    hash.hash(key, 0, key.length)
    const { memtables, level0, levels } = sources
    const inMemory = findInMemtables(memtables, key, hash, maxSeq, this.#lookup)
    if (inMemory !== Found.notResident) return inMemory
    if (level0.length > 0) {
      const found = this.#findInLevel0(level0, key, maxSeq, wait)
      if (found !== undefined) return found
    }
    for (let i = 0; i < levels.length; i++) {
      const table = levels[i].find(key)
      if (table === undefined) continue
      const found = table.find(key, hash, maxSeq, this.#lookup, wait)
      if (found === Found.notResident) return this.#lacks(table)
      const removedSeq = this.#removedSeq(table, key, maxSeq)
      if (found === Found.present) return this.#answer(removedSeq)
      if (removedSeq > noSeq) return Found.absent
    }
    return Found.absent
  }

  /** Undefined: level 0 does not know the key. */
  #findInLevel0(
    tables: readonly Table[],
    key: Uint8Array,
    maxSeq: number,
    wait: boolean
  ): number | undefined {
    let bestSeq: number = noSeq
    let removedSeq: number = noSeq
    for (let i = 0; i < tables.length; i++) {
      const table = tables[i]
      if (table.meta.maxSeq <= Math.max(bestSeq, removedSeq)) break
      const isFiltered = table.isOpen && table.meta.rangeTombstones === 0
      // The filter is asked first, because it takes less time than comparing with the bounds.
      if (isFiltered && table.rejects(this.#hash)) continue
      if (!spanHolds(table.meta, key)) continue
      const found = isFiltered
        ? table.findUnfiltered(key, maxSeq, this.#other, wait)
        : table.find(key, this.#hash, maxSeq, this.#other, wait)
      if (found === Found.notResident) {
        this.#swap()
        return this.#lacks(table)
      }
      removedSeq = Math.max(removedSeq, this.#removedSeq(table, key, maxSeq))
      if (found === Found.absent || this.#other.seq <= bestSeq) continue
      bestSeq = this.#other.seq
      this.#swap()
    }
    if (bestSeq > noSeq) return this.#answer(removedSeq)
    return removedSeq > noSeq ? Found.absent : undefined
  }

  #removedSeq(table: Table, key: Uint8Array, maxSeq: number): number {
    if (table.meta.rangeTombstones === 0) return noSeq
    return table.tombstones.coveringSeq(key, 0, key.length, maxSeq)
  }

  /** A version counts unless it is a tombstone or a newer removal of a range hides it. */
  #answer(removedSeq: number): number {
    const { isDelete, seq } = this.#lookup
    return isDelete || removedSeq > seq ? Found.absent : Found.present
  }

  #lacks(table: Table): number {
    this.#missingTable = table
    return Found.notResident
  }

  #swap(): void {
    const found = this.#other
    this.#other = this.#lookup
    this.#lookup = found
  }
}
