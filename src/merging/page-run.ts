import { entryHeaderBytes, keyBytesMask, regionHeaderBytes } from '../page/format.js'
import type { PageBytes } from '../page/format.js'
import { searchPage } from '../page/read.js'
import type { SourcePage } from './source-cursor.js'

/** Entries that are compared one by one before the whole page is looked at. */
const nearEntries = 8

/**
 * Order of two keys that begin at multiples of 4 and are followed by zeros up to the next: shorter
 * first on a tie.
 */
export function compareKeys(
  a: PageBytes,
  startA: number,
  endA: number,
  b: PageBytes,
  startB: number,
  endB: number
): number {
  const wordsA = a.u32
  const wordsB = b.u32
  const lengthA = endA - startA
  const lengthB = endB - startB
  const from = startA >> 2
  const distance = (startB >> 2) - from
  const end = from + (((lengthA < lengthB ? lengthA : lengthB) + 3) >> 2)
  for (let i = from; i < end; i++) {
    const wordA = wordsA[i]
    const wordB = wordsB[i + distance]
    if (wordA !== wordB) return swapped(wordA) < swapped(wordB) ? -1 : 1
  }
  return lengthA - lengthB
}

/**
 * How many entries of a plain page, from the cursor's place on, stand before the key
 * `other[start, end)` in the direction of the walk; at most `most`, which the page has.
 */
export function entriesBefore(
  page: SourcePage,
  reverse: boolean,
  most: number,
  other: PageBytes,
  start: number,
  end: number
): number {
  const { memory, region, index } = page
  const near = most < nearEntries ? most : nearEntries
  for (let i = 0; i < near; i++) {
    const order = compareEntry(memory, region, reverse ? index - i : index + i, other, start, end)
    if (reverse ? order <= 0 : order >= 0) return i
  }
  if (near === most) return most
  const last = reverse ? index - most + 1 : index + most - 1
  const order = compareEntry(memory, region, last, other, start, end)
  if (reverse ? order > 0 : order < 0) return most
  const found = searchPage(memory, region, other.u8, start, end, page.longKeys)
  if (reverse) return index - (found >= 0 ? found : ~found - 1)
  return (found >= 0 ? found : ~found) - index
}

/** How many of the next `most` entries of a plain page lie before a bound of the walk. */
export function entriesWithin(
  page: SourcePage,
  reverse: boolean,
  most: number,
  bound: Uint8Array
): number {
  const { memory, region, index } = page
  const found = searchPage(memory, region, bound, 0, bound.length, page.longKeys)
  const first = found >= 0 ? found : ~found
  // Downwards the bound itself belongs to the range.
  return Math.max(0, Math.min(most, reverse ? index - first + 1 : first - index))
}

function compareEntry(
  memory: PageBytes,
  region: number,
  index: number,
  other: PageBytes,
  start: number,
  end: number
): number {
  const entry = region + memory.u32[((region + regionHeaderBytes) >> 2) + 2 * index + 1]
  const key = entry + entryHeaderBytes
  const keyBytes = memory.u32[entry >> 2] & keyBytesMask
  return compareKeys(memory, key, key + keyBytes, other, start, end)
}

/** The bytes of a word from memory as a number that compares as they do. */
function swapped(word: number): number {
  return ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0
}
