/** Constants of the B+ tree's data file; see format.md beside this file. */

/** Name of the data file inside the backend's directory. */
export const dataFileName = 'tree.pages'

export const minPageBytes = 4096
export const maxPageBytes = 65536

/** Pages 0 and 1 are the meta pages; the first page that can hold anything else. */
export const firstDataPage = 2
/** Page numbers are below this, so that they fit a signed 32-bit table. */
export const maxPageCount = 0x7fff_ffff

/**
 * The header every page but a meta page starts with, offsets in bytes. What follows it belongs to
 * the kind of page: a sorted page, a run of the freelist, or the bytes of an overflow extent.
 */
export const pageHeaderBytes = 32
export const PageHeader = {
  /** XXH64 of everything behind it, seeded with store id and page number: lower, upper 32 bits. */
  sumLow: 0,
  sumHigh: 4,
  pageNo: 8,
  epoch: 12,
  persistLow: 16,
  persistHigh: 20,
  kind: 24,
  level: 25,
  /** Two bytes, then four: zero. */
  reserved: 26
} as const

/** What a page is; the number stands in its header. */
export const PageKind = { leaf: 1, branch: 2, freelist: 3, overflow: 4 } as const
export type PageKind = (typeof PageKind)[keyof typeof PageKind]

/** Leaves are level 0, the root the highest; a tree higher than this is damage. */
export const maxLevel = 31

/** Behind the page header of an overflow extent. */
export const ExtentHeader = { sizeBytes: 32, reserved: 36 } as const
export const extentHeaderBytes = 40

/** Pages that an extent of `sizeBytes` takes up. */
export function extentPages(sizeBytes: number, pageBytes: number): number {
  return Math.ceil((extentHeaderBytes + sizeBytes) / pageBytes)
}

/** Behind the page header of a freelist page. */
export const FreelistHeader = {
  nextPage: 32,
  nextSumLow: 36,
  nextSumHigh: 40,
  runCount: 44
} as const
export const freelistHeaderBytes = 48
/** One run: first page, then length; the length's top bit marks it pending. */
export const freelistRunBytes = 8
export const pendingRunBit = 0x8000_0000

/** "KINTBTR1" read as two little-endian words. */
export const metaMagicLow = 0x544e_494b
export const metaMagicHigh = 0x3152_5442
export const metaFormatVersion = 1

/** A meta page, offsets in bytes. Every 64-bit number is two words, lower first. */
export const Meta = {
  sumLow: 0,
  sumHigh: 4,
  magicLow: 8,
  magicHigh: 12,
  formatVersion: 16,
  featureBits: 20,
  storeId: 24,
  pageBytes: 40,
  epoch: 44,
  persistLow: 48,
  persistHigh: 52,
  rootPage: 56,
  height: 60,
  rootSumLow: 64,
  rootSumHigh: 68,
  entriesLow: 72,
  entriesHigh: 76,
  appliedLow: 80,
  appliedHigh: 84,
  freelistPage: 88,
  freelistPageCount: 92,
  freelistSumLow: 96,
  freelistSumHigh: 100,
  pageCount: 104,
  slot: 108,
  timelineCount: 112,
  reserved: 116,
  timelines: 128
} as const
/** An abandoned stretch: epoch, zero, first persist number and last one in it, two words each. */
export const timelineBytes = 24
/** The part of a meta page in use and covered by its checksum, whatever the page size. */
export const metaBytes = 4096
export const maxTimelines = Math.floor((metaBytes - Meta.timelines) / timelineBytes)
