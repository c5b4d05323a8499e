import { assert } from '../base/assert.js'
import type { PageBytes } from '../page/format.js'

/*
 * The memory of a memtable: one SharedArrayBuffer, so that a worker thread can flush what the main
 * thread wrote, without a copy. All of it is addressed in 4-byte words; a reference is the index of
 * a word, and 0 is none.
 *
 *   ┌──────────────────┬───────────────────┬─────────────────────────────────────────────┐
 *   │ hash table       │ key list          │ keys and versions, appended                 │
 *   │ 2 words per slot │ 1 word per key    │                                             │
 *   └──────────────────┴───────────────────┴─────────────────────────────────────────────┘
 *   slot      key reference (0: empty) | tag: upper half of the key's hash
 *             open addressing, linear probing from the lower half; never moved, never emptied
 *   key list  key references in the order in which the keys came
 *   key       newest version | keyBytes | the key, padded with zeros
 *   version   previous version (0: none) | seq, low word
 *             | seq, high 21 bits; kind << 21; spare words behind the value << 23 | valueBytes
 *             | the value, padded to words
 *
 * Invariants:
 * - A key stands in it once and never moves: slots, key list and key order refer to it for good. Its
 *   versions hang on it, the newest first, with falling sequence numbers.
 * - Keys are padded with zeros: two of them are compared word by word, and only where all words are
 *   equal the lengths decide.
 * - Values begin at a word, so that they are copied out by words.
 * - Only the main thread writes, only while the memtable is the active one. Everybody else reads
 *   what is frozen: nothing here needs atomic access.
 * - Keys fill at most 70 % of the slots, so that a probe ends after few of them, and always ends.
 *
 * Why not a sorted structure: most of what is written is never looked at in key order before it is
 * flushed. An insert here costs one miss of the processor's caches where a tree or a skip list costs
 * several that depend on each other. The flush sorts once, in its own thread; cursors sort what is
 * new when they seek (see key-order.ts).
 */

export const keyHeaderWords = 2
export const versionHeaderWords = 4
export const kindShift = 21
export const spareShift = 23
export const seqHighMask = 0x1f_ffff
export const kindMask = 3
/** More spare words are forgotten. */
export const maxSpareWords = 511
export const wordRange = 0x1_0000_0000

/** A key needs a slot, an entry at least so many bytes: what a memtable of small entries holds. */
const bytesPerSlot = 64
const minSlots = 1024
/** Header words of an entry and padding of key and value, less the header in the batch. */
const extraBytesPerOperation = 4 * (keyHeaderWords + versionHeaderWords) + 6 - 8
/** What a Buffer can reach. */
const maxArenaBytes = 2 ** 32 - 4096

export class Arena implements PageBytes {
  readonly shared: SharedArrayBuffer
  readonly u8: Buffer
  readonly u32: Uint32Array
  /** A power of two. */
  readonly slots: number

  /** Over memory that another thread made; its content is taken as it is. */
  constructor(shared: SharedArrayBuffer, slots: number) {
    assert(Number.isInteger(Math.log2(slots)), 'slots are a power of two')
    this.shared = shared
    this.u8 = Buffer.from(shared)
    this.u32 = new Uint32Array(shared)
    this.slots = slots
    assert(this.entriesAt < this.u32.length, 'an arena has room behind its tables')
  }

  /** An empty one for so many bytes of keys and versions, and so many keys at least. */
  static make(entryBytes: number, keys: number): Arena {
    const bytes = Arena.bytesFor(entryBytes, keys)
    assert(bytes <= maxArenaBytes, 'a memtable fits into what can be addressed')
    return new Arena(new SharedArrayBuffer(bytes), slotsFor(entryBytes, keys))
  }

  /** Memory that `make` takes. */
  static bytesFor(entryBytes: number, keys: number): number {
    const slots = slotsFor(entryBytes, keys)
    return 4 * (2 * slots + keysIn(slots) + Math.ceil(entryBytes / 4) + 1)
  }

  /** Keys it can hold. */
  get maxKeys(): number {
    return keysIn(this.slots)
  }

  /** First word of the key list. */
  get keyListAt(): number {
    return 2 * this.slots
  }

  /** First word of keys and versions. */
  get entriesAt(): number {
    return 2 * this.slots + this.maxKeys
  }

  /** Makes it empty; keys and versions may stay as they are, nothing refers to them. */
  clear(): void {
    this.u32.fill(0, 0, 2 * this.slots)
  }

  /** True where an empty arena of this size holds a batch, whatever is in it. */
  holds(batchBytes: number, operations: number): boolean {
    const free = (this.u32.length - this.entriesAt) * 4
    return operations <= this.maxKeys && entryBytesFor(batchBytes, operations) <= free
  }
}

/** Bytes of keys and versions that an encoded batch makes at most. */
export function entryBytesFor(batchBytes: number, operations: number): number {
  return batchBytes + operations * extraBytesPerOperation
}

export function seqOf(u32: Uint32Array, version: number): number {
  return u32[version + 1] + (u32[version + 2] & seqHighMask) * wordRange
}

/** Order of two keys. */
export function compareKeys(u32: Uint32Array, a: number, b: number): number {
  const bytesA = u32[a + 1]
  const bytesB = u32[b + 1]
  const words = ((bytesA < bytesB ? bytesA : bytesB) + 3) >>> 2
  for (let i = keyHeaderWords; i < words + keyHeaderWords; i++) {
    const wordA = u32[a + i]
    const wordB = u32[b + i]
    if (wordA !== wordB) return swapped(wordA) - swapped(wordB)
  }
  return bytesA - bytesB
}

/** Order of a key from elsewhere and one in the arena. */
export function compareWithKey(
  memory: PageBytes,
  ref: number,
  key: Uint8Array,
  start: number,
  end: number
): number {
  const { u8, u32 } = memory
  const keyBytes = u32[ref + 1]
  const length = end - start < keyBytes ? end - start : keyBytes
  const at = (ref + keyHeaderWords) * 4
  for (let i = 0; i < length; i++) {
    const difference = key[start + i] - u8[at + i]
    if (difference !== 0) return difference
  }
  return end - start - keyBytes
}

/** The bytes of a word as a big-endian number: the order of keys. */
function swapped(word: number): number {
  return ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0
}

function slotsFor(entryBytes: number, keys: number): number {
  let slots = minSlots
  while (slots * bytesPerSlot < entryBytes || keysIn(slots) < keys) slots *= 2
  return slots
}

function keysIn(slots: number): number {
  return Math.floor(slots * 0.7)
}
