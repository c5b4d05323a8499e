import { assert } from '../../../base/assert.js'
import { entryAt, entryCount, searchPage, valueOffset } from '../../../page/read.js'
import { Found, Lookup } from '../../../memtable/lookup.js'
import type { FrameLongKeys } from './block-cache.js'
import { BlockMemory } from './block-memory.js'
import type { SourcePage } from '../../../merging/source-cursor.js'
import { tagBytes } from './format.js'
import type { Table } from './table.js'

/**
 * Walks a table's pages in either direction. When `seek` or `next` answers true the cursor stands at
 * entry `index` of the page at `region` in `memory`; whoever reads it may move `index` itself. The
 * page stays in memory until the cursor moves on or is closed. `null` means that something is not in
 * memory: `await load()`, then call the same again.
 */
export class TableCursor implements SourcePage {
  memory = new BlockMemory(new ArrayBuffer(0))
  /** First byte of the page. */
  region = 0
  index = 0
  /** Entries of the page. */
  count = 0
  /** No tombstones, no entry with several versions, no large values, no long keys in this page. */
  plain = false
  /** What the numbers in the page's tags count from, and the highest number in it. */
  minSeq = 0
  maxSeq = 0
  readonly longKeys: FrameLongKeys
  readonly tagBytes = tagBytes

  #table: Table
  readonly #missing = new Lookup()
  #frame = -1
  #isReverse = false
  #isClosed = false
  /** The way down: block, place, size, position in it and entries, by level. */
  #path = new Path()
  /** The way that is being tried, taken over when it led to the end. */
  #trial = new Path()

  constructor(table: Table) {
    this.#table = table
    this.longKeys = table.env.cache.longKeys
    table.retain()
  }

  /** Begins anew at another table of the same store; it was closed before. */
  reopen(table: Table): void {
    assert(this.#isClosed, 'a cursor is opened again before it was closed')
    this.#isClosed = false
    this.#table = table
    table.retain()
  }

  /**
   * Moves to the first entry from `key` on, or with `reverse` to the last one up to `key`; without a
   * key to the first or last of all. False where there is none.
   */
  seek(key: Uint8Array | undefined, reverse: boolean, wait: boolean): boolean | null {
    const table = this.#table
    if (!table.open(this.#missing, wait)) return null
    this.#isReverse = reverse
    const { root, indexLevels } = table
    if (root.bytes === 0) return false
    const trial = this.#trial
    trial.begin(indexLevels, root.block, root.units, root.bytes)
    for (let level = indexLevels; level > 0; level--) {
      if (!this.#enter(trial, level, wait)) return null
      let index = reverse ? trial.countAt(level) - 1 : 0
      if (key !== undefined) index = Math.max(0, this.#search(trial, key, true))
      trial.setIndex(level, index)
      this.#child(trial, level)
    }
    if (!this.#enter(trial, 0, wait)) return null
    let index = reverse ? trial.countAt(0) - 1 : 0
    if (key !== undefined) index = this.#search(trial, key, reverse)
    trial.setIndex(0, index)
    this.#take()
    return this.index >= 0 && this.index < this.count ? true : this.#neighbour(wait)
  }

  /** Moves on in the direction of the seek; false at the end. */
  next(wait: boolean): boolean | null {
    if (this.#frame < 0) return false
    if (this.index >= 0 && this.index < this.count) this.index += this.#isReverse ? -1 : 1
    return this.index >= 0 && this.index < this.count ? true : this.#neighbour(wait)
  }

  /** Puts the newest version up to `maxSeq` of the current entry into a lookup. */
  find(maxSeq: number, lookup: Lookup, wait: boolean): number {
    const { memory } = this
    const entry = entryAt(memory, this.region, this.index)
    const found = this.#table.resolve(memory, entry, this.minSeq, maxSeq, lookup, wait)
    if (found === Found.notResident) this.#missing.miss(lookup)
    return found
  }

  /** Loads what was missing. */
  load(): Promise<void> {
    return this.#table.load(this.#missing)
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#leave()
    this.#table.release()
  }

  /** The page beside the current one in the cursor's direction. */
  #neighbour(wait: boolean): boolean | null {
    const path = this.#path
    const { indexLevels } = this.#table
    const step = this.#isReverse ? -1 : 1
    for (;;) {
      let level = 1
      while (level <= indexLevels && !path.has(level, path.indexAt(level) + step)) level++
      if (level > indexLevels) return false
      const trial = this.#trial
      trial.copy(path, indexLevels)
      trial.setIndex(level, trial.indexAt(level) + step)
      if (!this.#enter(trial, level, wait)) return null
      for (; level > 0; level--) {
        this.#child(trial, level)
        if (!this.#enter(trial, level - 1, wait)) return null
        trial.setIndex(level - 1, this.#isReverse ? trial.countAt(level - 1) - 1 : 0)
      }
      this.#take()
      if (this.count > 0) return true
    }
  }

  /** Makes the page of a level of the way resident and notes how many entries it has. */
  #enter(path: Path, level: number, wait: boolean): boolean {
    const table = this.#table
    const { cache } = table.env
    const at = pathWords * level
    const { words } = path
    const block = words[at] >>> 0
    let frame = table.frameOf[block]
    if (!(frame >= 0)) {
      const { units, bytes } = path.handleAt(level)
      frame = table.fetch(block, units, bytes, level, this.#missing, wait)
    }
    if (frame < 0) return false
    // Every cursor needs index blocks again; the data blocks are its own.
    if (level > 0) cache.touched[frame] = 1
    path.frame = frame
    words[at + PathField.count] = entryCount(
      cache.slabs[frame >> cache.slabShift],
      cache.baseOf(frame)
    )
    return true
  }

  /** Goes from the page just entered to its child. */
  #child(path: Path, level: number): void {
    const { cache } = this.#table.env
    const memory = cache.slabs[path.frame >> cache.slabShift]
    const entry = entryAt(memory, cache.baseOf(path.frame), path.indexAt(level))
    const from = (entry + valueOffset(memory.u32[entry >>> 2]) + tagBytes) >>> 2
    const to = pathWords * (level - 1)
    const { words } = path
    words[to] = memory.u32[from]
    words[to + 1] = memory.u32[from + 1]
    words[to + 2] = memory.u32[from + 2]
  }

  /** Index of the last entry up to the key in the page just entered, or of the first from it on. */
  #search(path: Path, key: Uint8Array, isLast: boolean): number {
    const { cache } = this.#table.env
    const memory = cache.slabs[path.frame >> cache.slabShift]
    const base = cache.baseOf(path.frame)
    const found = searchPage(memory, base, key, 0, key.length, cache.longKeys)
    if (found >= 0) return found
    return isLast ? ~found - 1 : ~found
  }

  /** The way that was tried led to a page: it is the current one. */
  #take(): void {
    const { cache } = this.#table.env
    const trial = this.#trial
    const { frame } = trial
    assert(!this.#isClosed, 'a cursor is used after it was closed')
    cache.pin(frame)
    this.#leave()
    this.#frame = frame
    this.#trial = this.#path
    this.#path = trial
    this.memory = cache.slabs[frame >> cache.slabShift]
    this.region = cache.baseOf(frame)
    this.index = trial.indexAt(0)
    this.count = trial.countAt(0)
    this.plain = cache.plain[frame] === 1 && cache.longKeys.lists[frame] === undefined
    this.minSeq = cache.minSeq[frame]
    this.maxSeq = cache.maxSeq[frame]
  }

  #leave(): void {
    if (this.#frame >= 0) this.#table.env.cache.unpin(this.#frame)
    this.#frame = -1
  }
}

/** What a way keeps of each level: block, place and size of the page, position in it, its entries. */
const PathField = { block: 0, units: 1, bytes: 2, index: 3, count: 4 } as const
const pathWords = 5
const usualLevels = 4

/** A way from the root to a data block. */
class Path {
  /** Of the page entered last. */
  frame = -1
  words = new Int32Array(pathWords * usualLevels)

  begin(level: number, block: number, units: number, bytes: number): void {
    this.#grow(level)
    const at = pathWords * level
    this.words[at + PathField.block] = block
    this.words[at + PathField.units] = units
    this.words[at + PathField.bytes] = bytes
  }

  has(level: number, index: number): boolean {
    return index >= 0 && index < this.countAt(level)
  }

  countAt(level: number): number {
    return this.words[pathWords * level + PathField.count]
  }

  indexAt(level: number): number {
    return this.words[pathWords * level + PathField.index]
  }

  setIndex(level: number, index: number): void {
    this.words[pathWords * level + PathField.index] = index
  }

  handleAt(level: number): { units: number; bytes: number } {
    const at = pathWords * level
    return {
      units: this.words[at + PathField.units] >>> 0,
      bytes: this.words[at + PathField.bytes] >>> 0
    }
  }

  copy(other: Path, levels: number): void {
    this.#grow(levels)
    const words = pathWords * (levels + 1)
    for (let at = 0; at < words; at++) this.words[at] = other.words[at]
  }

  #grow(level: number): void {
    const words = pathWords * (level + 1)
    if (words > this.words.length) this.words = new Int32Array(words)
  }
}
