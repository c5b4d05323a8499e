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

/** Of the processor's caches, 64 bytes. */
const slotsPerLine = 64 / slotBytes
/** So many slots are probed line by line; in more of them a binary search comes before. */
const maxProbedSlots = 128

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
  const first = u32[(base + 12) >>> 2] & floorFlag
  if (first >= count) return ~count
  const head = headOf(key, start + prefix, end)
  const low = searchHeads(u32, base, first, count, head)
  const slots = (base + regionHeaderBytes) >>> 2
  const tied = low < count && u32[slots + 2 * low] === head
  if (prefix !== 0) {
    // Any key of the page shows the prefix. This one is looked at anyway: it is the one to compare
    // with, or in a branch the child to go on with.
    const near = tied || low === first ? low : low - 1
    const order = comparePrefix(memory, base + u32[slots + 2 * near + 1], prefix, key, start, end)
    if (order !== 0) return order < 0 ? ~first : ~count
  }
  if (!tied) return ~low
  const entry = base + u32[slots + 2 * low + 1]
  const order = compareEntry(memory, entry, prefix, key, start, end, longKeys)
  if (order === 0) return low
  if (order < 0) return ~low
  if (low + 1 === count || u32[slots + 2 * low + 2] !== head) return ~(low + 1)
  return searchRun(memory, base, low + 1, head, prefix, key, start, end, longKeys)
}

/**
 * The position of the entry whose key is `key[start, end)`, or -1. An absent key is mostly known by
 * its head alone: then no entry is touched.
 */
export function findInPage(
  memory: PageBytes,
  base: number,
  key: Uint8Array,
  start: number,
  end: number,
  longKeys: LongKeys
): number {
  const entry = candidateEntry(memory, base, key, start, end)
  if (entry < 0) return -1
  const order = compareEntry(memory, entry, 0, key, start, end, longKeys)
  if (order <= 0) return order === 0 ? entry : -1
  // Entries behind it may share its head.
  const found = searchPage(memory, base, key, start, end, longKeys)
  return found < 0 ? -1 : entryAt(memory, base, found)
}

/**
 * Position of the first entry whose key can be `key[start, end)`, as far as heads tell, or -1. No
 * entry is touched, so that its memory can be asked for ahead of time.
 */
export function candidateEntry(
  memory: PageBytes,
  base: number,
  key: Uint8Array,
  start: number,
  end: number
): number {
  const u32 = memory.u32
  const counts = u32[base >>> 2]
  const count = counts & 0xffff
  const head = headOf(key, start + (counts >>> 16), end)
  const low = searchHeads(u32, base, u32[(base + 12) >>> 2] & floorFlag, count, head)
  const slots = (base + regionHeaderBytes) >>> 2
  return low < count && u32[slots + 2 * low] === head ? base + u32[slots + 2 * low + 1] : -1
}

/**
 * Index of the first entry from `first` on whose head is not below `head`. The slots of a page that
 * is not in the processor's cache are read one probe per cache line, none of which depends on
 * another: their misses overlap, where those of a binary search come one after the other.
 */
function searchHeads(
  u32: Uint32Array,
  base: number,
  first: number,
  count: number,
  head: number
): number {
  const slots = (base + regionHeaderBytes) >>> 2
  let low = first
  let high = count
  // Signed shifts here: an unsigned one makes the engine compute in floating point.
  while (high - low > maxProbedSlots) {
    const middle = (low + high) >> 1
    if (u32[slots + 2 * middle] < head) low = middle + 1
    else high = middle
  }
  for (let at = low; at < high; at += slotsPerLine) {
    if (u32[slots + 2 * at] >= head) {
      high = at
      break
    }
    low = at + 1
  }
  while (low < high) {
    const middle = (low + high) >> 1
    if (u32[slots + 2 * middle] < head) low = middle + 1
    else high = middle
  }
  return low
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
    const middle = (low + high) >> 1
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
