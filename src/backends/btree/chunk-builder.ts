import { markAsUntransferable } from 'node:worker_threads'
import { assert } from '../../base/assert.js'
import type { EntryChunk } from '../../backend/backend.js'
import { entryHeaderBytes, keyBytesMask, regionHeaderBytes } from '../../page/format.js'
import type { PageBytes } from '../../page/format.js'
import {
  entryBytes,
  hasLongKey,
  hasLongValue,
  inlineKeyBytes,
  inlineValueBytes,
  keyReferenceAt,
  valueOffset
} from '../../page/read.js'
import { copyBlockBytes, type CopyPool } from '../../page/copy-pool.js'
import { readExtentRef } from './node.js'
import type { Overflow } from './overflow.js'
import type { ExtentRef } from './page-content.js'

/** Bounds of chunks share arrays of so many. */
const boundsLength = 16_384
/** A chunk with values in extents ends once it is larger than this. */
const maxChunkBytes = 65_536
const wordsPerLine = 64 / 4
/** The words of an entry that say one of its parts is in an extent. */
const longFlags = 0x8000_8000

/** Copies runs of a leaf's entries into chunks that are the caller's own. */
export class ChunkBuilder {
  /** The extent that a call which may not wait answered null for. */
  missing: ExtentRef | undefined

  readonly #overflow: Overflow
  readonly #pool: CopyPool
  readonly #regionBytes: number
  #bounds = new Uint32Array(0)
  #nextBound = 0
  /** Keeps reads ahead of time from being optimised away. */
  #touched = 0

  constructor(overflow: Overflow, pool: CopyPool, regionBytes: number) {
    assert(regionBytes <= copyBlockBytes, 'a page does not fit a block of copies')
    this.#overflow = overflow
    this.#pool = pool
    this.#regionBytes = regionBytes
  }

  /**
   * A chunk of up to `wanted` entries from `index` on, upwards or downwards. Null when an extent
   * of the very first entry is not in memory and the caller may not wait.
   */
  build(
    page: PageBytes,
    region: number,
    index: number,
    wanted: number,
    reverse: boolean,
    keys: boolean,
    values: boolean,
    mayWait: boolean
  ): EntryChunk | null {
    const u32 = page.u32
    const step = reverse ? -2 : 2
    const lastWord = (region + this.#regionBytes - 4) >> 2
    let slot = ((region + regionHeaderBytes) >> 2) + 2 * index + 1
    let flags = 0
    let keyBytes = 0
    let valueBytes = 0
    let touched = 0
    let from = lastWord
    let to = 0
    for (let i = 0; i < wanted; i++) {
      const entry = (region + u32[slot]) >> 2
      if (entry < from) from = entry
      if (entry > to) to = entry
      const word = u32[entry]
      flags |= word
      keyBytes += ((word & keyBytesMask) + 3) & ~3
      valueBytes += ((word >>> 16) + 3) & ~3
      // The next cache line, too: that it is fetched now for all entries saves a wait for each.
      touched |= u32[Math.min(entry + wordsPerLine, lastWord)]
      slot += step
    }
    this.#touched = touched
    if ((flags & longFlags) !== 0) {
      return this.#buildLong(page, region, index, wanted, reverse, keys, values, mayWait)
    }
    to += entryBytes(page, to << 2) >> 2
    const entriesWords = wanted + ((keyBytes + valueBytes) >> 2)
    if (keys && values && to - from <= 2 * entriesWords) {
      return this.#copyStretch(page, region, index, wanted, reverse, from << 2, to << 2)
    }
    const start = this.#pool.reserve((keys ? keyBytes : 0) + (values ? valueBytes : 0))
    return this.#copyEntries(page, region, index, wanted, reverse, keys, values, start)
  }

  /** Entries that lie together: the stretch of the page they are in, in one copy. */
  #copyStretch(
    page: PageBytes,
    region: number,
    index: number,
    wanted: number,
    reverse: boolean,
    from: number,
    to: number
  ): EntryChunk {
    const u32 = page.u32
    const target = this.#pool.reserve(to - from)
    const { bytes, memory } = this.#pool
    page.u8.copy(bytes, target, from, to)
    const firstBound = this.#reserveBounds(wanted)
    const bounds = this.#bounds
    const step = reverse ? -2 : 2
    const moved = target - from + region + entryHeaderBytes
    let slot = ((region + regionHeaderBytes) >> 2) + 2 * index + 1
    let bound = firstBound
    for (let i = 0; i < wanted; i++) {
      const offset = u32[slot]
      const word = u32[(region + offset) >> 2]
      const key = offset + moved
      const keyEnd = key + (word & keyBytesMask)
      const value = (keyEnd + 3) & ~3
      bounds[bound] = key
      bounds[bound + 1] = keyEnd
      bounds[bound + 2] = value
      bounds[bound + 3] = value + (word >>> 16)
      bound += 4
      slot += step
    }
    return { count: wanted, bytes, memory, bounds, firstBound }
  }

  /** Scattered entries, or only one half of each: entry by entry, word by word. */
  #copyEntries(
    page: PageBytes,
    region: number,
    index: number,
    wanted: number,
    reverse: boolean,
    keys: boolean,
    values: boolean,
    start: number
  ): EntryChunk {
    const u32 = page.u32
    const step = reverse ? -2 : 2
    const firstSlot = ((region + regionHeaderBytes) >> 2) + 2 * index + 1
    const { bytes, memory, words } = this.#pool
    let at = start >> 2
    const firstBound = this.#reserveBounds(wanted)
    const bounds = this.#bounds
    let bound = firstBound
    for (let i = 0, slot = firstSlot; i < wanted; i++, slot += step) {
      const entry = (region + u32[slot]) >> 2
      const word = u32[entry]
      const keyBytes = word & keyBytesMask
      const keyWords = (keyBytes + 3) >> 2
      const valueBytes = word >>> 16
      const valueWords = (valueBytes + 3) >> 2
      // Key and value lie side by side: one run of words, or one half of it.
      const from = entry + 1 + (keys ? 0 : keyWords)
      const to = entry + 1 + keyWords + (values ? valueWords : 0)
      const key = at << 2
      const value = keys ? key + (keyWords << 2) : key
      for (let j = from; j < to; j++) words[at++] = u32[j]
      bounds[bound] = key
      bounds[bound + 1] = keys ? key + keyBytes : key
      bounds[bound + 2] = value
      bounds[bound + 3] = values ? value + valueBytes : value
      bound += 4
    }
    return { count: wanted, bytes, memory, bounds, firstBound }
  }

  /** Entries some of whose keys or values stand in extents. */
  #buildLong(
    page: PageBytes,
    region: number,
    index: number,
    wanted: number,
    reverse: boolean,
    keys: boolean,
    values: boolean,
    mayWait: boolean
  ): EntryChunk | null {
    const parts: Uint8Array[] = []
    const bounds = new Uint32Array(4 * wanted)
    let total = 0
    let count = 0
    while (count < wanted && total < maxChunkBytes) {
      const slot =
        ((region + regionHeaderBytes) >>> 2) + 2 * (reverse ? index - count : index + count)
      const entry = region + page.u32[slot + 1]
      // Whatever is not in memory ends the chunk, unless it would be empty.
      const key = keys ? this.#key(page, entry, mayWait && count === 0) : nothing
      const value = key && values ? this.#value(page, entry, mayWait && count === 0) : nothing
      if (key === null || value === null) break
      bounds[4 * count] = total
      bounds[4 * count + 1] = total + key.length
      bounds[4 * count + 2] = total + key.length
      total += key.length + value.length
      bounds[4 * count + 3] = total
      parts.push(key, value)
      count++
    }
    if (count === 0) return null
    const bytes = Buffer.allocUnsafeSlow(total)
    markAsUntransferable(bytes.buffer)
    let at = 0
    for (const part of parts) {
      bytes.set(part, at)
      at += part.length
    }
    return { count, bytes, memory: bytes.buffer as ArrayBuffer, bounds, firstBound: 0 }
  }

  #key(page: PageBytes, entry: number, mayWait: boolean): Uint8Array | null {
    const word = page.u32[entry >>> 2]
    if (hasLongKey(word)) return this.#extent(page, keyReferenceAt(entry, word), mayWait)
    const start = entry + entryHeaderBytes
    return page.u8.subarray(start, start + inlineKeyBytes(word))
  }

  #value(page: PageBytes, entry: number, mayWait: boolean): Uint8Array | null {
    const word = page.u32[entry >>> 2]
    const at = entry + valueOffset(word)
    if (hasLongValue(word)) return this.#extent(page, at, mayWait)
    return page.u8.subarray(at, at + inlineValueBytes(word))
  }

  #extent(page: PageBytes, at: number, mayWait: boolean): Uint8Array | null {
    const ref = readExtentRef(page, at)
    const bytes = this.#overflow.peek(ref.page)
    if (bytes !== null) return bytes
    if (mayWait) {
      return this.#overflow.readSync(ref.page, ref.sizeBytes, ref.sumLow, ref.sumHigh)
    }
    if (this.#overflow.tryLoad(ref)) return this.#overflow.peek(ref.page)
    this.missing = ref
    return null
  }

  get touched(): number {
    return this.#touched
  }

  /** Room for the bounds of a chunk in `#bounds`: the first one. */
  #reserveBounds(entries: number): number {
    if (this.#nextBound + 4 * entries > this.#bounds.length) {
      this.#bounds = new Uint32Array(Math.max(boundsLength, 4 * entries))
      this.#nextBound = 0
    }
    const first = this.#nextBound
    this.#nextBound += 4 * entries
    return first
  }
}

const nothing = Buffer.alloc(0)
