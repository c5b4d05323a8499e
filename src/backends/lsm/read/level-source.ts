import { compareBytes } from '../../../base/bytes.js'
import { entryHeaderBytes, keyBytesMask, regionHeaderBytes } from '../../../page/format.js'
import type { PageBytes } from '../../../page/format.js'
import { hasLongKey, keyReferenceAt } from '../../../page/read.js'
import { isBelow } from '../key-span.js'
import { Found, type Lookup } from '../lookup.js'
import { BlockMemory } from '../table/block-memory.js'
import { TableCursor } from '../table/table-cursor.js'
import type { Table } from '../table/table.js'
import type { SourceCursor } from './source-cursor.js'

const nothing: PageBytes = new BlockMemory(new ArrayBuffer(0))

/**
 * Tables with disjoint spans, in key order, as one source of a merging cursor: those of a level that
 * a range touches, or a single one of level 0. A table is not looked at before the walk reaches it.
 */
export class LevelSource implements SourceCursor {
  /** The current key. */
  key: PageBytes = nothing
  keyStart = 0
  keyEnd = 0

  readonly #tables: readonly Table[]
  /** Place of the current table; outside the list at the end. */
  #at = -1
  #cursor: TableCursor | undefined
  #reverse = false
  /** Where the cursor of the current table has to begin; it was not positioned yet. */
  #target: Uint8Array | undefined
  #isPlaced = false

  constructor(tables: readonly Table[]) {
    this.#tables = tables
  }

  seek(key: Uint8Array | undefined, reverse: boolean, wait: boolean): boolean | null {
    const tables = this.#tables
    this.#reverse = reverse
    let at = reverse ? tables.length - 1 : 0
    if (key !== undefined) {
      if (reverse) while (at >= 0 && compareBytes(tables[at].meta.low, key) > 0) at--
      else while (at < tables.length && !isBelow(key, tables[at].meta.high)) at++
    }
    if (at !== this.#at) this.#enter(at)
    this.#target = key
    this.#isPlaced = false
    return this.#settle(wait)
  }

  next(wait: boolean): boolean | null {
    if (this.#isPlaced) {
      const moved = this.#cursor!.next(wait)
      if (moved === true) this.#takeKey(this.#cursor!)
      if (moved !== false) return moved
      this.#enter(this.#at + (this.#reverse ? -1 : 1))
      this.#target = undefined
      this.#isPlaced = false
    }
    return this.#settle(wait)
  }

  resolve(maxSeq: number, lookup: Lookup, _: boolean, wait: boolean): boolean | null {
    const found = this.#cursor!.find(maxSeq, lookup, wait)
    return found === Found.notResident ? null : found === Found.present
  }

  async load(): Promise<void> {
    await this.#cursor?.load()
  }

  close(): void {
    this.#enter(this.#tables.length)
  }

  /** Positions the current table's cursor, or that of the next one that has something. */
  #settle(wait: boolean): boolean | null {
    while (this.#cursor !== undefined) {
      const found = this.#cursor.seek(this.#target, this.#reverse, wait)
      if (found === null) return null
      if (found) {
        this.#isPlaced = true
        this.#takeKey(this.#cursor)
        return true
      }
      this.#enter(this.#at + (this.#reverse ? -1 : 1))
      this.#target = undefined
    }
    return false
  }

  #enter(at: number): void {
    this.#cursor?.close()
    this.#at = at
    const table = this.#tables[at]
    this.#cursor = table && new TableCursor(table)
  }

  #takeKey({ memory, region, index, longKeys }: TableCursor): void {
    const { u32 } = memory
    const entry = region + u32[((region + regionHeaderBytes) >>> 2) + 2 * index + 1]
    const word = u32[entry >>> 2]
    if (hasLongKey(word)) {
      const whole = longKeys.keyAt(memory, keyReferenceAt(entry, word))
      this.key = BlockMemory.of(whole)
      this.keyStart = 0
      this.keyEnd = whole.length
      return
    }
    this.key = memory
    this.keyStart = entry + entryHeaderBytes
    this.keyEnd = this.keyStart + (word & keyBytesMask)
  }
}
