import { readLong } from '../../../base/words.js'
import { EntryKind } from '../../../memtable/entry.js'
import {
  handleBytes,
  maxKeyBytes,
  maxSeqDistance,
  moreFlag,
  PackedHeader,
  packedHeaderBytes,
  packedSeqShift,
  severalVersions,
  tagKindMask
} from './format.js'

const maxLoopBytes = 96

/**
 * Reads the packed form of a data or index block, version by version, without allocating. The block
 * has proven itself, but nothing it says is believed: after any bytes whatever either `problem` is
 * set or all bounds lie within the block and the keys rise.
 */
export class BlockDecoder {
  /** What is wrong with the block; reading has ended where it is set. */
  problem: string | undefined
  /** Keys in the block, and the bytes that all of them begin with. */
  count = 0
  prefix = 0
  /** Size of the page that it makes. */
  pageBytes = 0
  minSeq = 0
  maxSeq = 0

  /** The current key: `key[0, keyBytes)`. */
  readonly key = Buffer.alloc(maxKeyBytes)
  keyBytes = 0
  /** Bytes that it has in common with the key before it. */
  sharedBytes = 0
  /** The current version; its bytes are `bytes[start, end)`. `hasOlder`: another one follows. */
  seq = 0
  kind = 0
  bytes: Buffer = Buffer.alloc(0)
  start = 0
  end = 0
  hasOlder = false

  #at = 0
  #length = 0
  #left = 0
  #firstSeq = 0
  /** Where the last varint ended; -1: beyond the block. */
  #varintEnd = 0

  /** Begins with a block; true when its header makes sense. */
  begin(bytes: Buffer): boolean {
    this.bytes = bytes
    this.problem = undefined
    this.#length = bytes.length
    this.#left = 0
    this.keyBytes = 0
    this.hasOlder = false
    if (bytes.length < packedHeaderBytes) return this.#fail('it is too short')
    this.count = this.#left = bytes.readUInt16LE(PackedHeader.count)
    this.prefix = bytes.readUInt16LE(PackedHeader.prefix)
    this.pageBytes = bytes.readUInt32LE(PackedHeader.pageBytes)
    this.#firstSeq = readLong(bytes, PackedHeader.firstSeq)
    this.minSeq = readLong(bytes, PackedHeader.minSeq)
    this.maxSeq = readLong(bytes, PackedHeader.maxSeq)
    this.#at = packedHeaderBytes
    const isSane =
      this.minSeq <= this.#firstSeq &&
      this.#firstSeq <= this.maxSeq &&
      this.maxSeq <= Number.MAX_SAFE_INTEGER &&
      this.maxSeq - this.minSeq < 2 * maxSeqDistance
    if (!isSane) return this.#fail('its sequence numbers make no sense')
    return this.count > 0 || this.#fail('it is empty')
  }

  /** Moves to the next key and its newest version; false at the end or at a problem. */
  nextKey(): boolean {
    this.skipVersions()
    if (this.problem !== undefined) return false
    if (this.#left === 0) {
      return this.#at === this.#length ? false : this.#fail('bytes behind its last entry')
    }
    const isFirst = this.#left-- === this.count
    const shared = this.#varint()
    const suffix = this.#varint()
    const start = this.#varintEnd
    if (start < 0 || shared > this.keyBytes || suffix > this.#length - start) {
      return this.#fail('a key is out of bounds')
    }
    if (shared + suffix > maxKeyBytes) return this.#fail('a key is too long')
    const { key, bytes } = this
    if (!isFirst) {
      const rises = suffix > 0 && (shared === this.keyBytes || bytes[start] > key[shared])
      if (!rises) return this.#fail('its keys are out of order')
    }
    if (suffix > maxLoopBytes) key.set(bytes.subarray(start, start + suffix), shared)
    else for (let i = 0; i < suffix; i++) key[shared + i] = bytes[start + i]
    this.keyBytes = shared + suffix
    this.sharedBytes = shared
    this.#at = start + suffix
    return this.#version(Number.MAX_SAFE_INTEGER)
  }

  /** Moves to the next older version of the same key; false when there is none or at a problem. */
  nextVersion(): boolean {
    if (!this.hasOlder) return false
    this.hasOlder = false
    return this.#version(this.seq - 1)
  }

  /** Goes to the end of the current key's versions: the next one is another key's. */
  skipVersions(): void {
    while (this.nextVersion());
  }

  #version(highestSeq: number): boolean {
    const tag = this.#varint()
    const distance = tag >>> packedSeqShift
    const seq = this.#firstSeq + ((distance >>> 1) ^ -(distance & 1))
    const kind = tag & tagKindMask
    let start = this.#varintEnd
    let end = start
    if (kind !== EntryKind.delete) {
      this.#at = start
      const length = this.#varint()
      start = this.#varintEnd
      end = start + length
      if (kind !== EntryKind.put && length !== handleBytes) start = -1
    }
    if (start < 0 || end > this.#length) return this.#fail('a value is out of bounds')
    if (seq > highestSeq || seq < this.minSeq || seq > this.maxSeq) {
      return this.#fail('a sequence number is out of bounds')
    }
    this.hasOlder = (tag & moreFlag) !== 0
    if (kind === severalVersions && (this.hasOlder || highestSeq < Number.MAX_SAFE_INTEGER)) {
      return this.#fail('its versions stand in two places')
    }
    this.seq = seq
    this.kind = kind
    this.start = start
    this.end = end
    this.#at = end
    return true
  }

  /** At most 31 bits. Moves `#at` behind them. */
  #varint(): number {
    const { bytes } = this
    const at = this.#at
    // Most take one byte.
    if (at < this.#length && bytes[at] < 0x80) {
      this.#varintEnd = this.#at = at + 1
      return bytes[at]
    }
    return this.#longVarint()
  }

  #longVarint(): number {
    const { bytes } = this
    const length = this.#length
    let at = this.#at
    let value = 0
    let shift = 0
    while (at < length && shift < 35) {
      const byte = bytes[at++]
      if (shift === 28 && byte > 7) break
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) {
        this.#varintEnd = this.#at = at
        return value
      }
      shift += 7
    }
    // Nothing can be read from here on.
    this.#at = length
    this.#varintEnd = -1
    return 0
  }

  #fail(problem: string): false {
    this.problem ??= problem
    this.hasOlder = false
    this.#left = 0
    return false
  }
}
