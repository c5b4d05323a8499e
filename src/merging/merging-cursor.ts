import type { Cursor, CursorOptions, EntryChunk } from '../backend/backend.js'
import { compareBytes } from '../base/bytes.js'
import { isCorruption, KintsugiError } from '../errors.js'
import { spanOf, type KeySpan } from '../memtable/key-span.js'
import { Lookup } from '../memtable/lookup.js'
import type { RangeTombstones } from '../memtable/range-tombstones.js'
import type { ChunkWriter } from './chunk-writer.js'
import { compareKeys, entriesBefore, entriesWithin } from './page-run.js'
import type { SourceCursor } from './source-cursor.js'

/** A chunk ends when it has so many bytes. */
const maxChunkBytes = 65_536
/** Keys passed without an entry before a reader that may not wait lets the event loop go on. */
const maxPassedKeys = 4096
/** Beyond so many loads without a chunk the disk is waited for: then it ends. */
const maxFruitlessLoads = 64

/** What a cursor walks over; replaced as a whole when tables or memtables change. */
export interface CursorSources {
  /** Newest first. */
  readonly cursors: readonly SourceCursor[]
  /** Range tombstones of all of them, where they have some. */
  readonly tombstones: readonly RangeTombstones[]
}

/** Where a cursor gets its sources from. */
export interface CursorOrigin {
  /** Rises whenever `open` would answer with other sources. */
  readonly stateNumber: number
  /** Null: something has to be loaded first, by `load`. */
  open(span: KeySpan, wait: boolean): CursorSources | null
  load(span: KeySpan): Promise<void>
  /** What reading threw, for the list of damage. */
  readonly damage: { note(error: unknown): void }
  /** Why sources cannot wait for the disk, where they cannot; then nothing ever asks them to. */
  readonly neverWaits?: string
}

/**
 * Merges the sources of a read view in key order. Between chunks tables and memtables may change:
 * then it seeks anew behind the key it passed last, which leads to the same entries, because the
 * sequence number of the view decides what shows.
 */
export class MergingCursor implements Cursor {
  readonly #origin: CursorOrigin
  readonly #maxSeq: number
  readonly #span: KeySpan
  readonly #reverse: boolean
  readonly #keys: boolean
  readonly #values: boolean
  readonly #chunks: ChunkWriter
  /** The version found, and another for looking further. */
  #lookup = new Lookup()
  #other = new Lookup()
  #sources: CursorSources | undefined
  #stateNumber = -1
  /** Cursors on a key, in the order of these keys, the newer source first on a tie. */
  #placed: SourceCursor[] = []
  /** Cursors that have to seek, and cursors that have to go on, before anything can be told. */
  #toSeek: SourceCursor[] = []
  #toMove: SourceCursor[] = []
  /** The current key is done with; 1: no other source stands on it, 2: others may. */
  #done = 0
  /** The key passed last, or the one sought; in the first bytes of memory that grows. */
  #resume = Buffer.allocUnsafe(64)
  #resumeBytes = -1
  #resumeIsPassed = false
  #ended = false
  /** What `load` has to wait for; undefined: the sources themselves. */
  #missing: SourceCursor | 'turn' | undefined
  #fruitlessLoads = 0

  constructor(origin: CursorOrigin, maxSeq: number, chunks: ChunkWriter, options: CursorOptions) {
    this.#origin = origin
    this.#maxSeq = maxSeq
    this.#span = spanOf(options.range)
    this.#reverse = options.reverse
    this.#keys = options.keys
    this.#values = options.values
    this.#chunks = chunks
  }

  seek(key: Uint8Array): void {
    const { low, high } = this.#span
    this.#resumeBytes = -1
    const isInside = this.#reverse
      ? high === undefined || compareBytes(key, high) < 0
      : compareBytes(key, low) > 0
    // The caller may reuse the key's memory.
    if (isInside) this.#keepBytes(key, 0, key.length, false)
    this.#ended = false
    this.#begin(this.#sources?.cursors ?? [])
  }

  nextChunkSync(maxEntries: number): EntryChunk | undefined {
    const { neverWaits } = this.#origin
    if (neverWaits !== undefined) throw new KintsugiError('KINTSUGI_NOT_SUPPORTED', neverWaits)
    const chunk = this.#next(maxEntries, true)
    return chunk ?? undefined
  }

  tryNextChunk(maxEntries: number): EntryChunk | undefined | null {
    const wait = this.#fruitlessLoads > maxFruitlessLoads && this.#origin.neverWaits === undefined
    const chunk = this.#next(maxEntries, wait)
    if (chunk !== null) this.#fruitlessLoads = 0
    return chunk
  }

  async load(): Promise<void> {
    const missing = this.#missing
    if (missing === 'turn') {
      await new Promise<void>((resolve) => setImmediate(resolve))
      return
    }
    this.#fruitlessLoads++
    try {
      if (missing === undefined) await this.#origin.load(this.#span)
      else await missing.load()
    } catch (error) {
      this.#origin.damage.note(error)
      throw error
    }
  }

  close(): void {
    this.#ended = true
    this.#closeSources()
  }

  #next(maxEntries: number, wait: boolean): EntryChunk | undefined | null {
    if (this.#ended) return undefined
    let hasEnded: boolean | null = false
    try {
      if (!this.#refresh(wait)) return null
      this.#chunks.begin(maxEntries)
      hasEnded = this.#collect(maxEntries, wait)
    } catch (error) {
      this.#origin.damage.note(error)
      if (!isCorruption(error) || this.#chunks.count === 0) throw error
      // What was read before goes out first; the next call comes to the same place.
      const isPlaced = this.#toSeek.length + this.#toMove.length === 0
      if (isPlaced) this.#keep(this.#placed[0], this.#done > 0)
    }
    // A view never shows more later.
    if (hasEnded === true) this.#ended = true
    if (this.#chunks.count > 0) return this.#chunks.end()
    return hasEnded === null ? null : undefined
  }

  /** Adds entries; true at the end, false when the chunk is full, null when something is missing. */
  #collect(maxEntries: number, wait: boolean): boolean | null {
    const chunks = this.#chunks
    let passed = 0
    for (;;) {
      if (this.#done > 0) this.#pass()
      if (this.#toSeek.length + this.#toMove.length > 0 && !this.#place(wait)) return null
      if (this.#placed.length === 0) return true
      const first = this.#placed[0]
      if (this.#isBeyond(first)) return true
      let added: number | null = this.#addRun(first, maxEntries - chunks.count)
      if (added === 0) {
        added = this.#addCurrent(first, wait)
        if (added === null || added < 0) {
          this.#keep(first, false)
          return added === null ? null : false
        }
        this.#done = 2
      } else this.#done = 1
      const isFull = chunks.count >= maxEntries || chunks.sizeBytes >= maxChunkBytes
      if (isFull || (added === 0 && !wait && ++passed >= maxPassedKeys)) {
        this.#keep(first, true)
        if (isFull) return false
        this.#missing = 'turn'
        return null
      }
    }
  }

  /** Adds entries of the first source that come one after the other in its page: how many. */
  #addRun(first: SourceCursor, wanted: number): number {
    const { page } = first
    if (page === undefined || !page.plain || page.maxSeq > this.#maxSeq) return 0
    if (this.#sources!.tombstones.length > 0 || !this.#keys || !this.#values) return 0
    const reverse = this.#reverse
    const left = reverse ? page.index + 1 : page.count - page.index
    let run = left < wanted ? left : wanted
    if (this.#placed.length > 1) {
      const { key, keyStart, keyEnd } = this.#placed[1]
      run = entriesBefore(page, reverse, run, key, keyStart, keyEnd)
    }
    const bound = reverse ? this.#span.low : this.#span.high
    if (run > 1 && bound !== undefined && bound.length > 0) {
      run = entriesWithin(page, reverse, run, bound)
    }
    if (run === 0) return 0
    const added = this.#chunks.addRun(page, run, reverse)
    if (added > 1) first.skip(added - 1)
    return added
  }

  /**
   * Adds the current key's entry if it has one that shows: 1; 0 if not; -1 where the chunk has no
   * room for it; null when its value is not in memory.
   */
  #addCurrent(first: SourceCursor, wait: boolean): number | null {
    const source = this.#sourceOfCurrent(first, wait)
    if (source === null) return null
    const lookup = this.#lookup
    if (source === undefined || lookup.isDelete) return 0
    if (this.#sources!.tombstones.length > 0 && this.#isRemoved(source)) return 0
    const { key, keyStart } = source
    const keyEnd = this.#keys ? source.keyEnd : keyStart
    const valueEnd = this.#values ? lookup.end : lookup.start
    const valueBytes = valueEnd - lookup.start
    if (!this.#chunks.takes(keyEnd - keyStart, valueBytes)) return -1
    this.#chunks.add(key, keyStart, keyEnd, lookup.memory, lookup.start, valueEnd)
    return 1
  }

  /**
   * The newest source with a version of the current key that shows; `#lookup` then holds it. Null
   * when its value is not in memory.
   */
  #sourceOfCurrent(first: SourceCursor, wait: boolean): SourceCursor | undefined | null {
    const placed = this.#placed
    let at = 0
    do {
      const source = placed[at]
      const found = source.resolve(this.#maxSeq, this.#lookup, this.#values, wait)
      if (found === null) {
        this.#lacks(source)
        return null
      }
      if (found) return source.maxUnorderedSeq === 0 ? source : this.#newestFrom(at, wait)
      at++
    } while (at < placed.length && this.#compare(placed[at], first) === 0)
    return undefined
  }

  /** Of the sources from one on that has a version of the key, the one with the newest. */
  #newestFrom(first: number, wait: boolean): SourceCursor | null {
    const placed = this.#placed
    let newest = placed[first]
    for (let at = first + 1; at < placed.length; at++) {
      const source = placed[at]
      if (source.maxUnorderedSeq <= this.#lookup.seq) break
      if (this.#compare(source, newest) !== 0) break
      const found = source.resolve(this.#maxSeq, this.#other, this.#values, wait)
      if (found === null) {
        this.#lacks(source)
        return null
      }
      if (!found || this.#other.seq <= this.#lookup.seq) continue
      newest = source
      const older = this.#lookup
      this.#lookup = this.#other
      this.#other = older
    }
    return newest
  }

  /** Whether a removal of a range hides the version that `#lookup` holds. */
  #isRemoved({ key, keyStart, keyEnd }: SourceCursor): boolean {
    const { tombstones } = this.#sources!
    const { seq } = this.#lookup
    for (let i = 0; i < tombstones.length; i++) {
      if (tombstones[i].coveringSeq(key.u8, keyStart, keyEnd, this.#maxSeq) > seq) return true
    }
    return false
  }

  /** All sources leave the current key, which is done with. */
  #pass(): void {
    const placed = this.#placed
    const first = placed[0]
    let equal = 1
    if (this.#done > 1) {
      while (equal < placed.length && this.#compare(placed[equal], first) === 0) equal++
    }
    this.#done = 0
    if (equal === 1) {
      // The usual case: one source goes on, and mostly stays the first.
      const moved = first.next(false)
      if (moved === true) this.#settle()
      else {
        placed.shift()
        if (moved === null) this.#comesLater(first)
      }
      return
    }
    const leaving = placed.splice(0, equal)
    for (const cursor of leaving) {
      const moved = cursor.next(false)
      if (moved === true) this.#insert(cursor)
      else if (moved === null) this.#comesLater(cursor)
    }
  }

  /** A cursor has to go on from the key that was passed, once that is possible. */
  #comesLater(cursor: SourceCursor): void {
    this.#keep(cursor, true)
    this.#toMove.push(cursor)
  }

  /** Puts the first cursor, which has gone on, where it belongs. */
  #settle(): void {
    const placed = this.#placed
    const cursor = placed[0]
    let at = 0
    while (at + 1 < placed.length && this.#isBehind(cursor, placed[at + 1])) {
      placed[at] = placed[at + 1]
      at++
    }
    placed[at] = cursor
  }

  #insert(cursor: SourceCursor): void {
    this.#placed.unshift(cursor)
    this.#settle()
  }

  #isBehind(a: SourceCursor, b: SourceCursor): boolean {
    const order = this.#compare(a, b)
    return order > 0 || (order === 0 && a.age > b.age)
  }

  /** Order of the current keys of two cursors, in the direction of the walk. */
  #compare(a: SourceCursor, b: SourceCursor): number {
    const order = compareKeys(a.key, a.keyStart, a.keyEnd, b.key, b.keyStart, b.keyEnd)
    return this.#reverse ? -order : order
  }

  #isBeyond(cursor: SourceCursor): boolean {
    const bound = this.#reverse ? this.#span.low : this.#span.high
    if (bound === undefined || bound.length === 0) return bound !== undefined && !this.#reverse
    const order = compareWithKey(cursor, bound)
    return this.#reverse ? order < 0 : order >= 0
  }

  /** Keeps the cursor's key as the one to go on from. */
  #keep({ key, keyStart, keyEnd }: SourceCursor, isPassed: boolean): void {
    this.#keepBytes(key.u8, keyStart, keyEnd, isPassed)
  }

  #keepBytes(bytes: Uint8Array, start: number, end: number, isPassed: boolean): void {
    const length = end - start
    if (length > this.#resume.length) this.#resume = Buffer.allocUnsafe(2 * length)
    const kept = this.#resume
    for (let i = 0; i < length; i++) kept[i] = bytes[start + i]
    this.#resumeBytes = length
    this.#resumeIsPassed = isPassed
  }

  /** Takes the sources as they are now, if they changed or a seek is due; false: load first. */
  #refresh(wait: boolean): boolean {
    this.#missing = undefined
    const { stateNumber } = this.#origin
    if (this.#sources !== undefined && this.#stateNumber === stateNumber) return true
    const sources = this.#origin.open(this.#span, wait)
    if (sources === null) return false
    this.#closeSources()
    this.#sources = sources
    this.#stateNumber = stateNumber
    this.#begin(sources.cursors)
    return true
  }

  /** All cursors have to seek. */
  #begin(cursors: readonly SourceCursor[]): void {
    this.#placed = []
    this.#toMove = []
    this.#toSeek = []
    this.#done = 0
    for (let age = 0; age < cursors.length; age++) {
      cursors[age].age = age
      this.#toSeek.push(cursors[age])
    }
  }

  /** Brings all cursors to a key; false when one of them has to be loaded first. */
  #place(wait: boolean): boolean {
    for (let cursor = this.#toSeek.at(-1); cursor !== undefined; cursor = this.#toSeek.at(-1)) {
      const found = this.#seekStart(cursor, wait)
      if (found === null) return this.#lacks(cursor)
      this.#toSeek.pop()
      if (!found) continue
      if (this.#isAtExcludedKey(cursor)) this.#toMove.push(cursor)
      else this.#insert(cursor)
    }
    for (let cursor = this.#toMove.at(-1); cursor !== undefined; cursor = this.#toMove.at(-1)) {
      const found = cursor.next(wait)
      if (found === null) return this.#lacks(cursor)
      this.#toMove.pop()
      if (found) this.#insert(cursor)
    }
    return true
  }

  #lacks(cursor: SourceCursor): false {
    this.#missing = cursor
    return false
  }

  #seekStart(cursor: SourceCursor, wait: boolean): boolean | null {
    return cursor.seek(this.#startKey(), this.#reverse, wait)
  }

  #startKey(): Uint8Array | undefined {
    if (this.#resumeBytes >= 0) return this.#resume.subarray(0, this.#resumeBytes)
    return this.#reverse ? this.#span.high : this.#span.low
  }

  /** Whether the walk begins behind the key it sought, and the cursor is on that key. */
  #isAtExcludedKey(cursor: SourceCursor): boolean {
    const isExcluded = this.#resumeBytes >= 0 ? this.#resumeIsPassed : this.#reverse
    const start = this.#startKey()
    if (!isExcluded || start === undefined) return false
    return compareWithKey(cursor, start) === 0
  }

  #closeSources(): void {
    for (const cursor of this.#sources?.cursors ?? []) cursor.close()
    this.#sources = undefined
    this.#begin([])
  }
}

/** Order of the cursor's current key against a key in memory of its own. */
function compareWithKey({ key, keyStart, keyEnd }: SourceCursor, other: Uint8Array): number {
  const { u8 } = key
  const length = Math.min(keyEnd - keyStart, other.length)
  for (let i = 0; i < length; i++) {
    const difference = u8[keyStart + i] - other[i]
    if (difference !== 0) return difference
  }
  return keyEnd - keyStart - other.length
}
