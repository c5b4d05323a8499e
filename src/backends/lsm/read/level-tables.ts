import { compareBytes } from '../../../base/bytes.js'
import { isBelow } from '../../../memtable/key-span.js'
import type { Table } from '../table/table.js'

/** The tables of a level below the first: their spans are disjoint, in key order. */
export class LevelTables {
  readonly tables: readonly Table[]
  /** See `SourceCursor`. */
  readonly maxUnorderedSeq: number
  readonly #lows: readonly Uint8Array[]

  constructor(tables: readonly Table[], maxUnorderedSeq = 0) {
    this.maxUnorderedSeq = maxUnorderedSeq
    this.tables = tables
    this.#lows = tables.map(({ meta }) => meta.low)
  }

  /** The table whose span holds the key, if there is one. */
  find(key: Uint8Array): Table | undefined {
    const at = this.placeUpTo(key)
    if (at < 0) return undefined
    const table = this.tables[at]
    const { high } = table.meta
    return isBelow(key, high) ? table : undefined
  }

  /** Place of the first table with keys from `key` on; their number: there is none. */
  placeFrom(key: Uint8Array): number {
    const at = this.placeUpTo(key)
    if (at < 0) return 0
    const { high } = this.tables[at].meta
    return isBelow(key, high) ? at : at + 1
  }

  /** Place of the last table whose span begins at or before the key; -1: all begin behind it. */
  placeUpTo(key: Uint8Array): number {
    return this.#placeBelow(key, 1)
  }

  /** Place of the last table whose span begins before the key; -1: none does. */
  placeBefore(key: Uint8Array): number {
    return this.#placeBelow(key, 0)
  }

  #placeBelow(key: Uint8Array, limit: number): number {
    const lows = this.#lows
    let low = 0
    let high = lows.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (compareBytes(lows[middle], key) < limit) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}
