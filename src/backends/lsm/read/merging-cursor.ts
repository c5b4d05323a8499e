import type { Cursor, CursorOptions, EntryChunk } from '../../../backend/backend.js'
import { compareBytes } from '../../../base/bytes.js'
import { spanOf, type KeySpan } from '../key-span.js'
import { Lookup } from '../lookup.js'
import type { RangeTombstones } from '../range-tombstones.js'
import type { ChunkWriter } from './chunk-writer.js'
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
  readonly #lookup = new Lookup()
  #sources: CursorSources | undefined
  #stateNumber = -1
  /** Cursors on a key, in the order of these keys, the newer source first on a tie. */
  #placed: SourceCursor[] = []
  /** Cursors that have to seek, and cursors that have to go on, before anything can be told. */
  #toSeek: SourceCursor[] = []
  #toMove: SourceCursor[] = []
  readonly #ages = new Map<SourceCursor, number>()
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
    if (isInside) this.#keep(key, 0, key.length, false)
    this.#ended = false
    this.#placed = []
    this.#toMove = []
    this.#toSeek = [...(this.#sources?.cursors ?? [])]
  }

  nextChunkSync(maxEntries: number): EntryChunk | undefined {
    const chunk = this.#next(maxEntries, true)
    return chunk ?? undefined
  }

  tryNextChunk(maxEntries: number): EntryChunk | undefined | null {
    const chunk = this.#next(maxEntries, this.#fruitlessLoads > maxFruitlessLoads)
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
    let hasEnded: boolean | null
    try {
      if (!this.#refresh(wait)) return null
      this.#chunks.begin(maxEntries)
      hasEnded = this.#collect(maxEntries, wait)
    } catch (error) {
      this.#origin.damage.note(error)
      throw error
    }
    if (this.#chunks.count > 0) return this.#chunks.end()
    if (hasEnded === null) return null
    this.#ended = true
    return undefined
  }

  /** Adds entries; true at the end, false when the chunk is full, null when something is missing. */
  #collect(maxEntries: number, wait: boolean): boolean | null {
    const chunks = this.#chunks
    let bytes = 0
    let passed = 0
    while (chunks.count < maxEntries && bytes < maxChunkBytes) {
      if (this.#toSeek.length + this.#toMove.length > 0 && !this.#place(wait)) return null
      if (this.#placed.length === 0) return true
      const first = this.#placed[0]
      if (this.#isBeyond(first)) return true
      const added = this.#addCurrent(first, wait)
      if (added === null) return null
      if (added < 0) return false
      bytes += added
      this.#pass(first)
      if (added === 0 && !wait && ++passed >= maxPassedKeys) {
        this.#missing = 'turn'
        return null
      }
    }
    return false
  }

  /**
   * Adds the current key's entry if it has one that shows: its bytes and one more; 0 if not; -1
   * where the chunk has no room for it; null when its value is not in memory.
   */
  #addCurrent(first: SourceCursor, wait: boolean): number | null {
    const lookup = this.#lookup
    const source = this.#sourceOfCurrent(first, wait)
    if (source === null) return null
    if (source === undefined || lookup.isDelete) return 0
    if (this.#sources!.tombstones.length > 0 && this.#isRemoved(source)) return 0
    const { key, keyStart } = source
    const keyEnd = this.#keys ? source.keyEnd : keyStart
    const valueEnd = this.#values ? lookup.end : lookup.start
    const valueBytes = valueEnd - lookup.start
    if (!this.#chunks.takes(keyEnd - keyStart, valueBytes)) return -1
    this.#chunks.add(key, keyStart, keyEnd, lookup.memory, lookup.start, valueEnd)
    return keyEnd - keyStart + valueBytes + 1
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
      if (found === true) return source
      if (found === null) {
        this.#missing = source
        return null
      }
      at++
    } while (at < placed.length && this.#compare(placed[at], first) === 0)
    return undefined
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

  /** All sources leave the current key. */
  #pass(first: SourceCursor): void {
    const placed = this.#placed
    this.#keep(first.key.u8, first.keyStart, first.keyEnd, true)
    let equal = 1
    while (equal < placed.length && this.#compare(placed[equal], first) === 0) equal++
    if (equal === 1) {
      // The usual case: one source goes on, and mostly stays the first.
      const moved = first.next(false)
      if (moved === true) this.#settle()
      else {
        placed.shift()
        if (moved === null) this.#toMove.push(first)
      }
      return
    }
    const leaving = placed.splice(0, equal)
    for (const cursor of leaving) {
      const moved = cursor.next(false)
      if (moved === true) this.#insert(cursor)
      else if (moved === null) this.#toMove.push(cursor)
    }
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
    return order > 0 || (order === 0 && this.#ages.get(a)! > this.#ages.get(b)!)
  }

  /** Order of the current keys of two cursors, in the direction of the walk. */
  #compare(a: SourceCursor, b: SourceCursor): number {
    const order = compareRuns(a.key.u8, a.keyStart, a.keyEnd, b.key.u8, b.keyStart, b.keyEnd)
    return this.#reverse ? -order : order
  }

  #isBeyond({ key, keyStart, keyEnd }: SourceCursor): boolean {
    const bound = this.#reverse ? this.#span.low : this.#span.high
    if (bound === undefined) return false
    const order = compareRuns(key.u8, keyStart, keyEnd, bound, 0, bound.length)
    return this.#reverse ? order < 0 : order >= 0
  }

  /** Keeps the key from which to go on. */
  #keep(bytes: Uint8Array, start: number, end: number, isPassed: boolean): void {
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
    sources.cursors.forEach((cursor, age) => this.#ages.set(cursor, age))
    this.#toSeek = [...sources.cursors]
    return true
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
  #isAtExcludedKey({ key, keyStart, keyEnd }: SourceCursor): boolean {
    const isExcluded = this.#resumeBytes >= 0 ? this.#resumeIsPassed : this.#reverse
    const start = this.#startKey()
    if (!isExcluded || start === undefined) return false
    return compareRuns(key.u8, keyStart, keyEnd, start, 0, start.length) === 0
  }

  #closeSources(): void {
    for (const cursor of this.#sources?.cursors ?? []) cursor.close()
    this.#sources = undefined
    this.#ages.clear()
    this.#placed = []
    this.#toSeek = []
    this.#toMove = []
  }
}

function compareRuns(
  a: Uint8Array,
  startA: number,
  endA: number,
  b: Uint8Array,
  startB: number,
  endB: number
): number {
  const lengthA = endA - startA
  const lengthB = endB - startB
  const length = lengthA < lengthB ? lengthA : lengthB
  for (let i = 0; i < length; i++) {
    const difference = a[startA + i] - b[startB + i]
    if (difference !== 0) return difference
  }
  return lengthA - lengthB
}
