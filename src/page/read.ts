import {
  entryHeaderBytes,
  floorFlag,
  keyBytesMask,
  longKeyFlag,
  longValueFlag,
  regionHeaderBytes,
  referenceBytes,
  slotBytes,
  valueBytesShift
} from './format.js'
import type { LongKeys, PageBytes } from './format.js'

/*
 * Reading a page where it lies. `base` is the region's first byte in the memory, `entry` the first
 * byte of an entry there, `index` a position in key order. No function allocates.
 */

export function entryCount(memory: PageBytes, base: number): number {
  return memory.u32[base >>> 2] & 0xffff
}

/** 1 where entry 0 is the floor, otherwise 0: the index of the first entry with a key. */
export function firstKeyIndex(memory: PageBytes, base: number): number {
  return memory.u32[(base + 12) >>> 2] & floorFlag
}

/** Bytes that inserting could use, the slot included; part of them may need a compaction. */
export function freeBytes(memory: PageBytes, base: number): number {
  const heap = memory.u32[(base + 4) >>> 2]
  const count = memory.u32[base >>> 2] & 0xffff
  return (heap & 0xffff) + (heap >>> 16) - regionHeaderBytes - count * slotBytes
}

/** Position of the entry in the memory. */
export function entryAt(memory: PageBytes, base: number, index: number): number {
  return base + memory.u32[((base + regionHeaderBytes) >>> 2) + 2 * index + 1]
}

/** Size of the entry, padding included, slot excluded. */
export function entryBytes(memory: PageBytes, entry: number): number {
  const word = memory.u32[entry >>> 2]
  return valueOffset(word) + ((((word >>> valueBytesShift) & keyBytesMask) + 3) & ~3)
}

/** Distance from the entry's first byte to its value, from the entry's first word. */
export function valueOffset(word: number): number {
  return (
    entryHeaderBytes +
    (((word & keyBytesMask) + 3) & ~3) +
    ((word & longKeyFlag) >>> 15) * referenceBytes
  )
}

/** Key bytes that stand in the page; the whole key unless it is long. */
export function inlineKeyBytes(word: number): number {
  return word & keyBytesMask
}

export function inlineValueBytes(word: number): number {
  return (word >>> valueBytesShift) & keyBytesMask
}

export function hasLongKey(word: number): boolean {
  return (word & longKeyFlag) !== 0
}

export function hasLongValue(word: number): boolean {
  return (word & longValueFlag) !== 0
}

/** Position of a long key's reference, from the entry's position and first word. */
export function keyReferenceAt(entry: number, word: number): number {
  return entry + entryHeaderBytes + (((word & keyBytesMask) + 3) & ~3)
}

/** The four bytes from `at` as a big-endian number, padded with zeros behind `end`. */
export function headOf(key: Uint8Array, at: number, end: number): number {
  if (end - at >= 4) {
    return ((key[at] << 24) | (key[at + 1] << 16) | (key[at + 2] << 8) | key[at + 3]) >>> 0
  }
  let head = 0
  for (let i = at; i < end; i++) head |= key[i] << (24 - 8 * (i - at))
  return head >>> 0
}

/**
 * Looks `key[start, end)` up: its index where it is in the page, otherwise `~index` (negative) of
 * the first entry behind it.
 */
export function searchPage(
  memory: PageBytes,
  base: number,
  key: Uint8Array,
  start: number,
  end: number,
  longKeys: LongKeys
): number {
  const u32 = memory.u32
  const counts = u32[base >>> 2]
  const count = counts & 0xffff
  const prefix = counts >>> 16
  let low = u32[(base + 12) >>> 2] & floorFlag
  if (low >= count) return ~count
  const slots = (base + regionHeaderBytes) >>> 2
  if (prefix !== 0) {
    const order = comparePrefix(memory, base + u32[slots + 2 * low + 1], prefix, key, start, end)
    if (order !== 0) return order < 0 ? ~low : ~count
  }
  const head = headOf(key, start + prefix, end)
  let high = count
  while (low < high) {
    const middle = (low + high) >>> 1
    if (u32[slots + 2 * middle] < head) low = middle + 1
    else high = middle
  }
  if (low === count || u32[slots + 2 * low] !== head) return ~low
  const order = compareEntry(
    memory,
    base + u32[slots + 2 * low + 1],
    prefix,
    key,
    start,
    end,
    longKeys
  )
  if (order === 0) return low
  if (order < 0) return ~low
  if (low + 1 === count || u32[slots + 2 * low + 2] !== head) return ~(low + 1)
  return searchRun(memory, base, low + 1, head, prefix, key, start, end, longKeys)
}

/**
 * The entry that a search would compare with first, or -1: found by heads alone, so that its memory
 * can be asked for ahead of time.
 */
export function candidateEntry(memory: PageBytes, base: number, key: Uint8Array): number {
  const u32 = memory.u32
  const counts = u32[base >>> 2]
  const count = counts & 0xffff
  const head = headOf(key, counts >>> 16, key.length)
  const slots = (base + regionHeaderBytes) >>> 2
  let low = 0
  let high = count
  while (low < high) {
    const middle = (low + high) >>> 1
    if (u32[slots + 2 * middle] < head) low = middle + 1
    else high = middle
  }
  return low === count ? -1 : base + u32[slots + 2 * low + 1]
}

/** The search among entries that share a head, from `low` on. */
function searchRun(
  memory: PageBytes,
  base: number,
  low: number,
  head: number,
  prefix: number,
  key: Uint8Array,
  start: number,
  end: number,
  longKeys: LongKeys
): number {
  const u32 = memory.u32
  const slots = (base + regionHeaderBytes) >>> 2
  let high = u32[base >>> 2] & 0xffff
  while (low < high) {
    const middle = (low + high) >>> 1
    if (u32[slots + 2 * middle] > head) {
      high = middle
      continue
    }
    const entry = base + u32[slots + 2 * middle + 1]
    const order = compareEntry(memory, entry, prefix, key, start, end, longKeys)
    if (order === 0) return middle
    if (order < 0) high = middle
    else low = middle + 1
  }
  return ~low
}

/** Order of the key against everything that begins with the page's prefix; 0 where it does too. */
function comparePrefix(
  memory: PageBytes,
  entry: number,
  prefix: number,
  key: Uint8Array,
  start: number,
  end: number
): number {
  const u8 = memory.u8
  const at = entry + entryHeaderBytes
  const length = Math.min(prefix, end - start)
  for (let i = 0; i < length; i++) {
    const difference = key[start + i] - u8[at + i]
    if (difference !== 0) return difference
  }
  return length < prefix ? -1 : 0
}

/**
 * Order of `key[start, end)` against the entry's key; both agree in `equalBytes` bytes and in the
 * head behind them.
 */
export function compareEntry(
  memory: PageBytes,
  entry: number,
  equalBytes: number,
  key: Uint8Array,
  start: number,
  end: number,
  longKeys: LongKeys
): number {
  const u8 = memory.u8
  const word = memory.u32[entry >>> 2]
  const here = word & keyBytesMask
  const keyBytes = end - start
  const at = entry + entryHeaderBytes
  const length = here < keyBytes ? here : keyBytes
  for (let i = equalBytes; i < length; i++) {
    const difference = key[start + i] - u8[at + i]
    if (difference !== 0) return difference
  }
  if ((word & longKeyFlag) === 0) return keyBytes - here
  if (keyBytes <= here) return -1
  return longKeys.compare(memory, keyReferenceAt(entry, word), key, start, end, here)
}
