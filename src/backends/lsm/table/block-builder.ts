import { assert } from '../../../base/assert.js'
import { writeLong } from '../../../base/words.js'
import {
  entryHeaderBytes,
  referenceBytes,
  regionHeaderBytes,
  slotBytes
} from '../../../page/format.js'
import { EntryKind } from '../../../memtable/entry.js'
import {
  handleBytes,
  listedVersionBytes,
  maxInlineKeyBytes,
  maxInlineValueBytes,
  maxKeyBytes,
  maxPackedBytes,
  maxSeqDistance,
  moreFlag,
  PackedHeader,
  packedHeaderBytes,
  packedSeqShift,
  severalVersions,
  tagBytes,
  tagKindMask
} from './format.js'

/** Longer runs are copied by the engine's own call, shorter ones in a loop. */
const maxLoopBytes = 256

/**
 * Builds the packed form of a data or index block, version by version. It keeps account of the page
 * that will be made of it, so that every block fits into a frame.
 */
export class BlockBuilder {
  /** Entries of the page: keys, each with all of its versions. */
  count = 0
  /** Key of the last entry: `lastKey[0, lastKeyBytes)`. */
  readonly lastKey = Buffer.alloc(maxKeyBytes)
  lastKeyBytes = 0
  readonly firstKey = Buffer.alloc(maxKeyBytes)
  firstKeyBytes = 0

  readonly #blockBytes: number
  readonly #inlineKeyBytes: number
  readonly #bytes: Buffer
  readonly #view: DataView
  #at = packedHeaderBytes
  #pageBytes = regionHeaderBytes
  /** Bytes at the page prefix's disposal in every key. */
  #prefixLimit = maxKeyBytes
  #firstSeq = 0
  #minSeq = 0
  #maxSeq = 0
  /** Of the last entry: where its versions begin and its newest one's and oldest one's number. */
  #versionsAt = 0
  #lastTagAt = 0
  #newestSeq = 0
  #oldestSeq = 0
  /** Of the last entry in the page: size of its value, and of what a list of versions would have. */
  #valueBytes = 0
  #listBytes = 0

  constructor(blockBytes: number) {
    this.#blockBytes = blockBytes
    this.#inlineKeyBytes = maxInlineKeyBytes(blockBytes)
    this.#bytes = Buffer.alloc(maxPackedBytes(blockBytes))
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length)
  }

  /** Size of the packed form so far. */
  get packedBytes(): number {
    return this.#at
  }

  reset(): void {
    this.count = 0
    this.#at = packedHeaderBytes
    this.#pageBytes = regionHeaderBytes
    this.#prefixLimit = maxKeyBytes
  }

  /** Adds a version of a key behind the last one; false where the block has no room for it. */
  add(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    seq: number,
    kind: number,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number
  ): boolean {
    const keyBytes = keyEnd - keyStart
    const isLong = keyBytes > this.#inlineKeyBytes
    const inline = isLong ? this.#inlineKeyBytes : keyBytes
    const valueBytes = tagBytes + valueEnd - valueStart
    const fixedBytes =
      slotBytes + entryHeaderBytes + ((inline + 3) & ~3) + (isLong ? referenceBytes : 0)
    // Whatever becomes of its versions, a handle to them has to fit.
    const needed = fixedBytes + ((Math.max(valueBytes, tagBytes + handleBytes) + 3) & ~3)
    if (this.#pageBytes + needed > this.#blockBytes) return false
    if (this.count === 0) {
      this.#firstSeq = this.#minSeq = this.#maxSeq = seq
      copyKey(this.firstKey, 0, key, keyStart, keyEnd)
      this.firstKeyBytes = keyBytes
    } else if (Math.abs(seq - this.#firstSeq) >= maxSeqDistance) return false
    const shared = this.count === 0 ? 0 : this.#sharedBytes(key, keyStart, keyEnd)
    this.#varint(shared)
    this.#varint(keyBytes - shared)
    this.#copy(key, keyStart + shared, keyEnd)
    copyKey(this.lastKey, shared, key, keyStart + shared, keyEnd)
    this.lastKeyBytes = keyBytes
    this.#prefixLimit = Math.min(this.#prefixLimit, isLong ? inline - 4 : keyBytes)
    this.count++
    this.#versionsAt = this.#at
    this.#newestSeq = seq
    this.#listBytes = tagBytes
    this.#valueBytes = (valueBytes + 3) & ~3
    this.#pageBytes += fixedBytes + this.#valueBytes
    this.#version(seq, kind, value, valueStart, valueEnd)
    return true
  }

  /** Adds an older version of the last key; false where they no longer fit into a list in a page. */
  addOlder(
    seq: number,
    kind: number,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number
  ): boolean {
    const listBytes = this.#listBytes + listedVersionBytes + ((valueEnd - valueStart + 3) & ~3)
    if (listBytes > maxInlineValueBytes(this.#blockBytes)) return false
    if (this.#pageBytes - this.#valueBytes + listBytes > this.#blockBytes) return false
    if (Math.abs(seq - this.#firstSeq) >= maxSeqDistance) return false
    this.#bytes[this.#lastTagAt] |= moreFlag
    this.#pageBytes += listBytes - this.#valueBytes
    this.#valueBytes = listBytes
    this.#version(seq, kind, value, valueStart, valueEnd)
    return true
  }

  /** Number of the last key's oldest version. */
  get oldestSeq(): number {
    return this.#oldestSeq
  }

  /** Hands out the last key's versions; with a handle they are then replaced by it. */
  forEachVersion(
    visit: (seq: number, kind: number, bytes: Buffer, start: number, end: number) => void
  ): void {
    let at = this.#versionsAt
    const bytes = this.#bytes
    while (at < this.#at) {
      let tag = 0
      for (let shift = 0; ; shift += 7) {
        const byte = bytes[at++]
        tag |= (byte & 0x7f) << shift
        if (byte < 0x80) break
      }
      const distance = tag >>> packedSeqShift
      const seq = this.#firstSeq + ((distance >>> 1) ^ -(distance & 1))
      const kind = tag & tagKindMask
      let length = 0
      if (kind !== EntryKind.delete) {
        for (let shift = 0; ; shift += 7) {
          const byte = bytes[at++]
          length |= (byte & 0x7f) << shift
          if (byte < 0x80) break
        }
      }
      visit(seq, kind, bytes, at, at + length)
      at += length
    }
  }

  /** Puts a handle in the place of the last key's versions, which stand in a block of their own. */
  replaceVersions(handle: Uint8Array): void {
    this.#at = this.#versionsAt
    this.#pageBytes += tagBytes + handleBytes - this.#valueBytes
    assert(this.#pageBytes <= this.#blockBytes, 'a block too full for a handle')
    this.#valueBytes = tagBytes + handleBytes
    this.#version(this.#newestSeq, severalVersions, handle, 0, handleBytes)
  }

  /** The packed block; valid until the next `reset`. */
  finish(): Buffer {
    const bytes = this.#bytes
    const limit = Math.min(this.#prefixLimit, this.firstKeyBytes, this.lastKeyBytes)
    let prefix = 0
    while (prefix < limit && this.firstKey[prefix] === this.lastKey[prefix]) prefix++
    bytes.writeUInt16LE(this.count, PackedHeader.count)
    bytes.writeUInt16LE(prefix, PackedHeader.prefix)
    bytes.writeUInt32LE(this.#pageBytes, PackedHeader.pageBytes)
    writeLong(bytes, PackedHeader.firstSeq, this.#firstSeq)
    writeLong(bytes, PackedHeader.minSeq, this.#minSeq)
    writeLong(bytes, PackedHeader.maxSeq, this.#maxSeq)
    return bytes.subarray(0, this.#at)
  }

  #sharedBytes(key: Uint8Array, start: number, end: number): number {
    const last = this.lastKey
    const limit = Math.min(this.lastKeyBytes, end - start)
    let shared = 0
    while (shared < limit && last[shared] === key[start + shared]) shared++
    const rises =
      shared < limit ? key[start + shared] > last[shared] : end - start > this.lastKeyBytes
    assert(rises, 'keys of a table out of order')
    return shared
  }

  #version(seq: number, kind: number, value: Uint8Array, start: number, end: number): void {
    const distance = seq - this.#firstSeq
    const zigzag = distance >= 0 ? distance * 2 : -distance * 2 - 1
    this.#lastTagAt = this.#at
    this.#varint((zigzag << packedSeqShift) | kind)
    this.#oldestSeq = seq
    if (seq < this.#minSeq) this.#minSeq = seq
    if (seq > this.#maxSeq) this.#maxSeq = seq
    this.#listBytes += listedVersionBytes + ((end - start + 3) & ~3)
    if (kind === EntryKind.delete) return
    this.#varint(end - start)
    this.#copy(value, start, end)
  }

  #varint(value: number): void {
    const bytes = this.#bytes
    let rest = value
    while (rest > 0x7f) {
      bytes[this.#at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    bytes[this.#at++] = rest
  }

  #copy(source: Uint8Array, start: number, end: number): void {
    const bytes = this.#bytes
    let at = this.#at
    this.#at += end - start
    if (end - start > maxLoopBytes) {
      bytes.set(source.subarray(start, end), at)
      return
    }
    const view = this.#view
    let from = start
    for (const last = end - 3; from < last; from += 4, at += 4) {
      const low = source[from] | (source[from + 1] << 8)
      view.setInt32(at, low | (source[from + 2] << 16) | (source[from + 3] << 24), true)
    }
    while (from < end) bytes[at++] = source[from++]
  }
}

function copyKey(target: Buffer, at: number, source: Uint8Array, start: number, end: number): void {
  if (end - start > maxLoopBytes) target.set(source.subarray(start, end), at)
  else for (let i = start; i < end; i++) target[at++] = source[i]
}
