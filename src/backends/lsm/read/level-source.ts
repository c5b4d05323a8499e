import { entryHeaderBytes, keyBytesMask, regionHeaderBytes } from '../../../page/format.js'
import type { PageBytes } from '../../../page/format.js'
import { hasLongKey, keyReferenceAt } from '../../../page/read.js'
import type { KeySpan } from '../../../memtable/key-span.js'
import { Found, type Lookup } from '../../../memtable/lookup.js'
import { BlockMemory } from '../table/block-memory.js'
import { TableCursor } from '../table/table-cursor.js'
import type { LevelTables } from './level-tables.js'
import type { SourceCursor } from '../../../merging/source-cursor.js'

const nothing: PageBytes = new BlockMemory(new ArrayBuffer(0))

/**
 * The tables of a level that a range touches, or a single one of level 0, as one source of a merging
 * cursor. A table is not looked at before the walk reaches it. Sources are used again: those of
 * cursors that were closed lie in the list that was given to them.
 */
export class LevelSource implements SourceCursor {
  age = 0
  /** The current key. */
  key: PageBytes = nothing
  keyStart = 0
  keyEnd = 0
  maxUnorderedSeq = 0

  readonly #closed: LevelSource[]
  #level: LevelTables | undefined
  /** Places of the first and the last table that the range touches, and of the current one. */
  #first = 0
  #last = -1
  #at = -1
  #cursor: TableCursor | undefined
  /** The cursor is at the current table, which has to be given back. */
  #isOpen = false
  #reverse = false
  /** Where the cursor of the current table has to begin; it was not positioned yet. */
  #target: Uint8Array | undefined
  #isPlaced = false

  constructor(closed: LevelSource[]) {
    this.#closed = closed
  }

  /** Begins at a level; false where the range touches none of its tables. */
  begin(level: LevelTables, { low, high }: KeySpan): boolean {
    const first = level.placeFrom(low)
    const last = high === undefined ? level.tables.length - 1 : level.placeBefore(high)
    if (first > last) return false
    this.#level = level
    this.maxUnorderedSeq = level.maxUnorderedSeq
    this.#first = first
    this.#last = last
    this.#at = -1
    this.#isPlaced = false
    return true
  }

  get page(): TableCursor | undefined {
    return this.#cursor
  }

  seek(key: Uint8Array | undefined, reverse: boolean, wait: boolean): boolean | null {
    const level = this.#level!
    this.#reverse = reverse
    let at = reverse ? this.#last : this.#first
    if (key !== undefined) {
      if (reverse) at = Math.min(at, level.placeUpTo(key))
      else at = Math.max(at, level.placeFrom(key))
    }
    if (at !== this.#at || !this.#isOpen) this.#enter(at)
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

  skip(entries: number): void {
    const cursor = this.#cursor!
    cursor.index += this.#reverse ? -entries : entries
    this.#takeKey(cursor)
  }

  resolve(maxSeq: number, lookup: Lookup, _: boolean, wait: boolean): boolean | null {
    const found = this.#cursor!.find(maxSeq, lookup, wait)
    return found === Found.notResident ? null : found === Found.present
  }

  async load(): Promise<void> {
    if (this.#isOpen) await this.#cursor!.load()
  }

  close(): void {
    if (this.#level === undefined) return
    this.#leave()
    this.#level = undefined
    this.#target = undefined
    this.#closed.push(this)
  }

  /** Positions the current table's cursor, or that of the next one that has something. */
  #settle(wait: boolean): boolean | null {
    while (this.#isOpen) {
      const cursor = this.#cursor!
      const found = cursor.seek(this.#target, this.#reverse, wait)
      if (found === null) return null
      if (found) {
        this.#isPlaced = true
        this.#takeKey(cursor)
        return true
      }
      this.#enter(this.#at + (this.#reverse ? -1 : 1))
      this.#target = undefined
    }
    return false
  }

  /** Goes to a table, or outside of those that the range touches. */
  #enter(at: number): void {
    this.#leave()
    this.#at = at
    if (at < this.#first || at > this.#last) return
    const table = this.#level!.tables[at]
    if (this.#cursor === undefined) this.#cursor = new TableCursor(table)
    else this.#cursor.reopen(table)
    this.#isOpen = true
  }

  #leave(): void {
    if (this.#isOpen) this.#cursor!.close()
    this.#isOpen = false
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
