import { markAsUntransferable } from 'node:worker_threads'
import type { EntryChunk } from '../backend/backend.js'
import { entryHeaderBytes, keyBytesMask, regionHeaderBytes } from '../page/format.js'
import type { PageBytes } from '../page/format.js'
import { entryBytes } from '../page/read.js'
import type { SourcePage } from './source-cursor.js'

/** Memory of chunks is taken in blocks; a chunk ends where its block does. */
const blockBytes = 65_536
/** A block with less room than this is left for a new one. */
const minRoomBytes = 4096
/** Bounds of chunks share arrays of so many. */
const boundsLength = 16_384
/** Longer runs of bytes are copied by a call, which costs an object. */
const maxLoopWords = 256

/** Collects copies of entries into chunks that are the caller's own. */
export class ChunkWriter {
  #bytes = Buffer.alloc(0)
  #words = new Uint32Array(0)
  #usedBytes = 0
  #firstByte = 0
  #bounds = new Uint32Array(0)
  #nextBound = 0
  #firstBound = 0
  #count = 0

  get count(): number {
    return this.#count
  }

  /** Bytes of the chunk so far. */
  get sizeBytes(): number {
    return this.#usedBytes - this.#firstByte
  }

  /** Begins a chunk of at most `maxEntries`. */
  begin(maxEntries: number): void {
    this.#count = 0
    if (this.#bytes.length - this.#usedBytes < minRoomBytes) this.#grow(blockBytes)
    const bounds = 4 * Math.min(maxEntries, blockBytes >>> 4)
    if (this.#nextBound + bounds > this.#bounds.length) {
      this.#bounds = new Uint32Array(Math.max(boundsLength, bounds))
      this.#nextBound = 0
    }
    this.#firstBound = this.#nextBound
    this.#firstByte = this.#usedBytes
  }

  /** True where an entry of this size belongs into the chunk: always, while it is empty. */
  takes(keyBytes: number, valueBytes: number): boolean {
    const bytes = ((keyBytes + 3) & ~3) + ((valueBytes + 3) & ~3)
    if (this.#usedBytes + bytes <= this.#bytes.length) {
      return this.#nextBound + 4 <= this.#bounds.length
    }
    if (this.#count > 0) return false
    this.#grow(Math.max(blockBytes, bytes))
    return true
  }

  /** Copies a key and a value; `takes` said that there is room. */
  add(
    key: PageBytes,
    keyStart: number,
    keyEnd: number,
    value: PageBytes,
    valueStart: number,
    valueEnd: number
  ): void {
    const bounds = this.#bounds
    const at = this.#nextBound
    const keyAt = this.#usedBytes
    const keyBytes = keyEnd - keyStart
    const valueAt = keyAt + ((keyBytes + 3) & ~3)
    const valueBytes = valueEnd - valueStart
    this.#copy(key, keyStart, keyEnd, keyAt)
    this.#copy(value, valueStart, valueEnd, valueAt)
    bounds[at] = keyAt
    bounds[at + 1] = keyAt + keyBytes
    bounds[at + 2] = valueAt
    bounds[at + 3] = valueAt + valueBytes
    this.#nextBound = at + 4
    this.#usedBytes = valueAt + ((valueBytes + 3) & ~3)
    this.#count++
  }

  /**
   * Copies up to `wanted` plain entries of a page from `index` on, upwards or downwards, in one
   * stretch, as they stand there side by side. Answers how many: 0 where the chunk is full.
   */
  addRun(page: SourcePage, wanted: number, reverse: boolean): number {
    const { memory, region, index, tagBytes } = page
    const { u32 } = memory
    const slots = ((region + regionHeaderBytes) >> 2) + 1
    const step = reverse ? -2 : 2
    const firstSlot = slots + 2 * index
    const near = region + u32[firstSlot]
    let count = wanted
    let far = region + u32[firstSlot + (count - 1) * step]
    let from = reverse ? far : near
    let to = reverse ? near : far
    to += entryBytes(memory, to)
    // Later than the chunk's first entry there may be room for some of them only.
    while (!this.#takesRun(count, to - from)) {
      count >>= 1
      if (count === 0) return 0
      far = region + u32[firstSlot + (count - 1) * step]
      from = reverse ? far : near
      to = reverse ? near : far
      to += entryBytes(memory, to)
    }
    const target = this.#usedBytes
    this.#copy(memory, from, to, target)
    this.#usedBytes = target + to - from
    const bounds = this.#bounds
    const moved = target - from + entryHeaderBytes
    let bound = this.#nextBound
    let slot = firstSlot
    for (let i = 0; i < count; i++) {
      const entry = region + u32[slot]
      const word = u32[entry >> 2]
      const key = entry + moved
      const keyEnd = key + (word & keyBytesMask)
      const value = (keyEnd + 3) & ~3
      bounds[bound] = key
      bounds[bound + 1] = keyEnd
      bounds[bound + 2] = value + tagBytes
      bounds[bound + 3] = value + (word >>> 16)
      bound += 4
      slot += step
    }
    this.#nextBound = bound
    this.#count += count
    return count
  }

  /** What was collected. */
  end(): EntryChunk {
    return {
      count: this.#count,
      bytes: this.#bytes,
      memory: this.#bytes.buffer as ArrayBuffer,
      bounds: this.#bounds,
      firstBound: this.#firstBound
    }
  }

  #takesRun(entries: number, bytes: number): boolean {
    if (this.#nextBound + 4 * entries > this.#bounds.length) return false
    if (this.#usedBytes + bytes <= this.#bytes.length) return true
    if (this.#count > 0) return false
    this.#grow(Math.max(blockBytes, bytes))
    return true
  }

  /** Copies to a 4-byte aligned place, word by word where the source is aligned, too. */
  #copy(source: PageBytes, start: number, end: number, at: number): void {
    const words = (end - start + 3) >>> 2
    if ((start & 3) === 0 && words <= maxLoopWords) {
      const from = start >>> 2
      const to = at >>> 2
      const target = this.#words
      const { u32 } = source
      for (let i = 0; i < words; i++) target[to + i] = u32[from + i]
      return
    }
    if (end - start > 64) this.#bytes.set(source.u8.subarray(start, end), at)
    else for (let i = start; i < end; i++) this.#bytes[at + i - start] = source.u8[i]
  }

  #grow(bytes: number): void {
    // Of a chunk that has entries the block stays: `takes` ends it instead.
    this.#bytes = Buffer.allocUnsafeSlow((bytes + 3) & ~3)
    const memory = this.#bytes.buffer
    // Other chunks lie in it: passing one to a thread must not take them along.
    markAsUntransferable(memory)
    this.#words = new Uint32Array(memory)
    this.#usedBytes = 0
    this.#firstByte = 0
  }
}
