import { assert } from '../base/assert.js'
import { BatchReader, ClearFlags, OperationKind } from '../batch/batch.js'
import { EntryKind, newestSeq, noSeq } from './entry.js'
import type { KeyHash } from './key-hash.js'
import { successor } from './key-span.js'
import { Found } from './lookup.js'
import type { Lookup } from './lookup.js'
import { RangeTombstones } from './range-tombstones.js'
import type { RemovedRange } from './range-tombstones.js'
import {
  compareWithKey,
  entryBytesFor,
  keyHeaderWords,
  kindMask,
  kindShift,
  maxSpareWords,
  seqOf,
  spareShift,
  versionHeaderWords,
  wordRange
} from './arena.js'
import type { Arena } from './arena.js'
import { KeyOrder } from './key-order.js'
import { MemtableCursor } from './memtable-cursor.js'

/** Longer runs are copied by the engine's own call, shorter ones word by word. */
const maxCopiedByWords = 256
/** With more of them the memtable is full: removing ranges would become slow. */
const maxTombstoneSeqs = 16_384
/** So many removed ranges of a batch are added one by one; more of them are merged first. */
const fewRanges = 16

/** What a flush needs of a memtable; can be posted to a worker. */
export interface FrozenMemtable {
  readonly shared: SharedArrayBuffer
  readonly slots: number
  readonly keys: number
  readonly entries: number
  readonly usedBytes: number
  readonly minSeq: number
  readonly maxSeq: number
  /** `RangeTombstones#encode`. */
  readonly tombstones: Uint8Array
}

/**
 * The newest commits in memory: a hash table over entries that are appended; see arena.ts for where
 * things lie and why. Reads and writes of single keys allocate nothing.
 */
export class Memtable {
  readonly arena: Arena
  tombstones = new RangeTombstones()
  /** Versions that lookups can meet. */
  entries = 0
  minSeq = noSeq
  maxSeq = noSeq

  readonly #hash: KeyHash
  readonly #u32: Uint32Array
  readonly #u8: Buffer
  readonly #slotMask: number
  readonly #keyListAt: number
  readonly #maxKeys: number
  readonly #reader = new BatchReader(Buffer.alloc(0))
  readonly #order: KeyOrder
  #keys = 0
  /** The word that the next entry begins at. */
  #next: number
  #isFrozen = false
  /** Of the batch that is being applied. */
  #seq = noSeq
  #seqLow = 0
  #seqHigh = 0
  #newestViewSeq = noSeq

  /** In an empty arena. `keyHash` holds another key's hash after `apply`. */
  constructor(arena: Arena, keyHash: KeyHash) {
    this.arena = arena
    this.#hash = keyHash
    this.#u32 = arena.u32
    this.#u8 = arena.u8
    this.#slotMask = arena.slots - 1
    this.#keyListAt = arena.keyListAt
    this.#maxKeys = arena.maxKeys
    this.#next = arena.entriesAt
    this.#order = new KeyOrder(arena)
  }

  get usedBytes(): number {
    return (this.#next - this.arena.entriesAt) * 4
  }

  get isEmpty(): boolean {
    return this.maxSeq === noSeq
  }

  get isFrozen(): boolean {
    return this.#isFrozen
  }

  /** True where a batch of so many bytes and operations fits in, whatever is in it. */
  roomFor(batchBytes: number, operations: number): boolean {
    const free = (this.#u32.length - this.#next) * 4
    const fits = entryBytesFor(batchBytes, operations) <= free
    const isOrderly = this.isEmpty || this.tombstones.seqCount < maxTombstoneSeqs
    return fits && isOrderly && this.#keys + operations <= this.#maxKeys
  }

  /**
   * Applies the encoded batch at `bytes[start, end)`, for which there is room. Numbers never fall
   * from batch to batch; one may come again as long as its later batches remove no range. A version
   * newer than `newestViewSeq`, the newest view anyone reads, is overwritten where it stands.
   */
  apply(bytes: Buffer, start: number, end: number, seq: number, newestViewSeq: number): void {
    assert(!this.#isFrozen, 'a frozen memtable does not change')
    assert(seq >= this.maxSeq, 'sequence numbers do not fall')
    if (this.isEmpty) this.minSeq = seq
    this.maxSeq = seq
    this.#seq = seq
    this.#seqLow = seq % wordRange
    this.#seqHigh = Math.floor(seq / wordRange)
    this.#newestViewSeq = newestViewSeq
    const reader = this.#reader
    reader.reset(bytes, start, end)
    while (reader.next()) {
      if (reader.kind === OperationKind.clear) {
        this.#applyWithRanges(bytes, start, end, reader.keyStart)
        return
      }
      this.#write(bytes, reader.keyStart, reader.keyEnd, reader.valueEnd, reader.kind)
    }
  }

  /**
   * The newest version of the key up to `maxSeq`, whose hash `hash` holds: `Found.present` with the
   * version in `lookup`, or `Found.absent`. Removed ranges are not looked at.
   */
  find(key: Uint8Array, hash: KeyHash, maxSeq: number, lookup: Lookup): number {
    const ref = this.#findKey(key, 0, key.length, hash)
    return ref === 0 ? Found.absent : this.versionOf(ref, maxSeq, lookup)
  }

  /** The newest version, up to `maxSeq`, of the key that stands at `ref`. */
  versionOf(ref: number, maxSeq: number, lookup: Lookup): number {
    const u32 = this.#u32
    let version = u32[ref]
    let seq = seqOf(u32, version)
    while (seq > maxSeq) {
      version = u32[version]
      if (version === 0) return Found.absent
      seq = seqOf(u32, version)
    }
    const start = (version + versionHeaderWords) * 4
    lookup.seq = seq
    lookup.kind = ((u32[version + 2] >>> kindShift) & kindMask) as EntryKind
    lookup.memory = this.arena
    lookup.start = start
    lookup.end = start + u32[version + 3]
    return Found.present
  }

  /** A cursor over the keys, deleted ones included. */
  cursor(): MemtableCursor {
    return new MemtableCursor(this, this.#order)
  }

  /** Keys that are not in order yet; a cursor's seek orders them all. */
  get unorderedKeys(): number {
    return this.#keys - this.#order.size
  }

  /** Brings at most so many further keys into order; true when all of them are. */
  order(maxKeys: number): boolean {
    this.#order.add(Math.min(this.#keys, this.#order.size + maxKeys))
    return this.#order.size === this.#keys
  }

  /** Nothing is written from here on. */
  freeze(): FrozenMemtable {
    this.#isFrozen = true
    return {
      shared: this.arena.shared,
      slots: this.arena.slots,
      keys: this.#keys,
      entries: this.entries,
      usedBytes: this.usedBytes,
      minSeq: this.minSeq,
      maxSeq: this.maxSeq,
      tombstones: new Uint8Array(this.tombstones.encode())
    }
  }

  /**
   * Goes on with a batch whose operation at `firstRange` removes a range. A range hides only older
   * numbers, so what the batch itself wrote into it before is made a delete or left out; what it
   * writes behind lives. Two walks: which ranges there are and where, then the other operations.
   */
  #applyWithRanges(bytes: Buffer, start: number, end: number, firstRange: number): void {
    const reader = this.#reader
    const ranges: RemovedRange[] = []
    do {
      if (reader.kind !== OperationKind.clear) continue
      const range = this.#rangeAt(bytes, reader)
      if (range !== undefined) ranges.push({ ...range, seq: reader.keyStart })
    } while (reader.next())
    // Positions in the batch stand for sequence numbers here.
    const removals = RangeTombstones.newestOf(ranges)
    reader.reset(bytes, start, end)
    while (reader.next()) {
      const { kind, keyStart, keyEnd } = reader
      if (kind === OperationKind.clear) continue
      if (removals.coveringSeq(bytes, keyStart, keyEnd, newestSeq) > keyStart) {
        this.#remove(bytes, keyStart, keyEnd)
      } else if (keyStart > firstRange) {
        this.#write(bytes, keyStart, keyEnd, reader.valueEnd, kind)
      }
    }
    this.#removeRanges(ranges.map(({ low, high }) => ({ low, high, seq: this.#seq })))
  }

  #removeRanges(ranges: readonly RemovedRange[]): void {
    const newestViewSeq = this.#newestViewSeq
    if (ranges.length > fewRanges) {
      const added = RangeTombstones.newestOf(ranges)
      this.tombstones = this.tombstones.with(added, newestViewSeq)
      return
    }
    for (const { low, high, seq } of ranges) this.tombstones.add(low, high, seq, newestViewSeq)
  }

  /** A copy of the range that the reader stands at; undefined where it holds no key. */
  #rangeAt(bytes: Buffer, reader: BatchReader): Omit<RemovedRange, 'seq'> | undefined {
    const { flags, keyStart, keyEnd, valueEnd } = reader
    const first = bytes.subarray(keyStart, keyEnd)
    const last = bytes.subarray(keyEnd, valueEnd)
    const low = flags & ClearFlags.lowerExcluded ? successor(first) : Buffer.from(first)
    const copied = flags & ClearFlags.upperIncluded ? successor(last) : Buffer.from(last)
    const high = flags & ClearFlags.noUpper ? undefined : copied
    if (high !== undefined && Buffer.compare(low, high) >= 0) return undefined
    // Their memory is not the arena's, but bounded by it.
    this.#next += (valueEnd - keyStart) >>> 2
    return { low, high }
  }

  /** Makes what the current batch wrote under the key a delete. */
  #remove(bytes: Buffer, keyStart: number, keyEnd: number): void {
    this.#hash.hash(bytes, keyStart, keyEnd)
    const ref = this.#findKey(bytes, keyStart, keyEnd, this.#hash)
    if (ref === 0) return
    const version = this.#u32[ref]
    if (seqOf(this.#u32, version) === this.#seq) this.#overwrite(version, EntryKind.delete, 0)
  }

  #findKey(key: Uint8Array, start: number, end: number, hash: KeyHash): number {
    const u32 = this.#u32
    const mask = this.#slotMask
    const tag = hash.high
    for (let slot = hash.low & mask; ; slot = (slot + 1) & mask) {
      const ref = u32[2 * slot]
      if (ref === 0) return 0
      if ((u32[2 * slot + 1] | 0) !== tag) continue
      if (compareWithKey(this.arena, ref, key, start, end) === 0) return ref
    }
  }

  /** Writes one version. Its kind is the operation's: the batch knows the same two. */
  #write(
    bytes: Buffer,
    keyStart: number,
    keyEnd: number,
    valueEnd: number,
    operation: number
  ): void {
    const u32 = this.#u32
    const mask = this.#slotMask
    const hash = this.#hash
    const kind = operation === OperationKind.put ? EntryKind.put : EntryKind.delete
    hash.hash(bytes, keyStart, keyEnd)
    const tag = hash.high
    let slot = hash.low & mask
    for (; ; slot = (slot + 1) & mask) {
      const ref = u32[2 * slot]
      if (ref === 0) break
      if ((u32[2 * slot + 1] | 0) !== tag) continue
      if (compareWithKey(this.arena, ref, bytes, keyStart, keyEnd) === 0) {
        this.#writeAgain(ref, bytes, keyEnd, valueEnd, kind)
        return
      }
    }
    const ref = this.#next
    const version = ref + keyHeaderWords + ((keyEnd - keyStart + 3) >>> 2)
    // Set first: it checks that there is room.
    this.#append(version, 0, bytes, keyEnd, valueEnd, kind)
    assert(this.#keys < this.#maxKeys, 'room for a key was made sure of')
    u32[ref] = version
    u32[ref + 1] = keyEnd - keyStart
    copyWords(u32, ref + keyHeaderWords, bytes, keyStart, keyEnd)
    u32[2 * slot] = ref
    u32[2 * slot + 1] = tag
    u32[this.#keyListAt + this.#keys++] = ref
  }

  /** A further version of a key. */
  #writeAgain(ref: number, bytes: Buffer, keyEnd: number, valueEnd: number, kind: EntryKind): void {
    const u32 = this.#u32
    const old = u32[ref]
    const oldSeq = seqOf(u32, old)
    const isReplaced = oldSeq > this.#newestViewSeq || oldSeq === this.#seq
    const roomWords = ((u32[old + 3] + 3) >>> 2) + (u32[old + 2] >>> spareShift)
    if (isReplaced && (valueEnd - keyEnd + 3) >>> 2 <= roomWords) {
      this.#overwrite(old, kind, valueEnd - keyEnd)
      this.#copyValue(old, bytes, keyEnd, valueEnd)
      return
    }
    const version = this.#next
    this.#append(version, isReplaced ? u32[old] : old, bytes, keyEnd, valueEnd, kind)
    u32[ref] = version
    if (isReplaced) this.entries--
  }

  /** Gives a version another kind and size within its room, and the current number. */
  #overwrite(version: number, kind: EntryKind, valueBytes: number): void {
    const u32 = this.#u32
    const room = ((u32[version + 3] + 3) >>> 2) + (u32[version + 2] >>> spareShift)
    const spare = Math.min(room - ((valueBytes + 3) >>> 2), maxSpareWords)
    u32[version + 1] = this.#seqLow
    u32[version + 2] = this.#seqHigh | (kind << kindShift) | (spare << spareShift)
    u32[version + 3] = valueBytes
  }

  #append(
    version: number,
    previous: number,
    bytes: Buffer,
    keyEnd: number,
    valueEnd: number,
    kind: EntryKind
  ): void {
    const u32 = this.#u32
    const next = version + versionHeaderWords + ((valueEnd - keyEnd + 3) >>> 2)
    assert(next <= u32.length, 'room for an entry was made sure of')
    u32[version] = previous
    u32[version + 1] = this.#seqLow
    u32[version + 2] = this.#seqHigh | (kind << kindShift)
    u32[version + 3] = valueEnd - keyEnd
    this.#copyValue(version, bytes, keyEnd, valueEnd)
    this.#next = next
    this.entries++
  }

  #copyValue(version: number, bytes: Buffer, start: number, end: number): void {
    const at = version + versionHeaderWords
    if (end - start <= maxCopiedByWords) copyWords(this.#u32, at, bytes, start, end)
    else this.#u8.set(bytes.subarray(start, end), at * 4)
  }
}

/** Copies `source[start, end)` to the word `at`; what is left of the last word becomes zero. */
function copyWords(
  u32: Uint32Array,
  at: number,
  source: Uint8Array,
  start: number,
  end: number
): void {
  let from = start
  let to = at
  for (const last = end - 3; from < last; from += 4) {
    u32[to++] =
      source[from] | (source[from + 1] << 8) | (source[from + 2] << 16) | (source[from + 3] << 24)
  }
  if (from === end) return
  let word = source[from]
  if (from + 1 < end) word |= source[from + 1] << 8
  if (from + 2 < end) word |= source[from + 2] << 16
  u32[to] = word
}
