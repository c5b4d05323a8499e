import { assert } from '../../base/assert.js'
import {
  firstDataPage,
  maxLevel,
  maxPageBytes,
  maxPageCount,
  maxTimelines,
  Meta,
  metaBytes,
  metaFormatVersion,
  metaMagicHigh,
  metaMagicLow,
  minPageBytes,
  timelineBytes
} from './format.js'
import type { Checksum } from '../../codec/checksum.js'
import { readLong, writeLong } from '../../base/words.js'

/**
 * Pages stamped with this epoch and a persist number in the range belong to a past that was given
 * up: a recovery went back behind them, so a salvage must not prefer them (rule B5).
 */
export interface AbandonedTimeline {
  readonly epoch: number
  readonly firstPersistNo: number
  readonly lastPersistNo: number
}

/** What one meta page says: a whole state of the tree and where its freelist is. */
export interface MetaPage {
  readonly slot: 0 | 1
  readonly pageBytes: number
  readonly epoch: number
  readonly persistNo: number
  readonly rootPage: number
  readonly height: number
  readonly rootSumLow: number
  readonly rootSumHigh: number
  readonly entries: number
  readonly appliedSeq: number
  /** First page of the freelist; 0 where nothing is free. */
  readonly freelistPage: number
  readonly freelistPageCount: number
  readonly freelistSumLow: number
  readonly freelistSumHigh: number
  /** Pages the file must have for this state: the first number it does not use. */
  readonly pageCount: number
  readonly abandoned: readonly AbandonedTimeline[]
}

export type DecodedMeta =
  | { readonly kind: 'valid'; readonly meta: MetaPage }
  /** Zeros or foreign bytes where the magic should be. */
  | { readonly kind: 'absent'; readonly reason: string }
  | { readonly kind: 'damaged'; readonly reason: string }
  | { readonly kind: 'newer'; readonly reason: string }

/** Higher is newer: epochs count recoveries, persist numbers never fall. */
export function compareMetas(a: MetaPage, b: MetaPage): number {
  return a.epoch - b.epoch || a.persistNo - b.persistNo
}

export function encodeMeta(meta: MetaPage, storeId: Uint8Array, checksum: Checksum): Buffer {
  assert(meta.abandoned.length <= maxTimelines, 'too many abandoned timelines')
  const page = Buffer.alloc(metaBytes)
  page.writeUInt32LE(metaMagicLow, Meta.magicLow)
  page.writeUInt32LE(metaMagicHigh, Meta.magicHigh)
  page.writeUInt32LE(metaFormatVersion, Meta.formatVersion)
  page.set(storeId, Meta.storeId)
  page.writeUInt32LE(meta.pageBytes, Meta.pageBytes)
  page.writeUInt32LE(meta.epoch, Meta.epoch)
  writeLong(page, Meta.persistLow, meta.persistNo)
  page.writeUInt32LE(meta.rootPage, Meta.rootPage)
  page.writeUInt32LE(meta.height, Meta.height)
  page.writeUInt32LE(meta.rootSumLow, Meta.rootSumLow)
  page.writeUInt32LE(meta.rootSumHigh, Meta.rootSumHigh)
  writeLong(page, Meta.entriesLow, meta.entries)
  writeLong(page, Meta.appliedLow, meta.appliedSeq)
  page.writeUInt32LE(meta.freelistPage, Meta.freelistPage)
  page.writeUInt32LE(meta.freelistPageCount, Meta.freelistPageCount)
  page.writeUInt32LE(meta.freelistSumLow, Meta.freelistSumLow)
  page.writeUInt32LE(meta.freelistSumHigh, Meta.freelistSumHigh)
  page.writeUInt32LE(meta.pageCount, Meta.pageCount)
  page.writeUInt32LE(meta.slot, Meta.slot)
  page.writeUInt32LE(meta.abandoned.length, Meta.timelineCount)
  for (const [index, timeline] of meta.abandoned.entries()) {
    const offset = Meta.timelines + index * timelineBytes
    page.writeUInt32LE(timeline.epoch, offset)
    writeLong(page, offset + 8, timeline.firstPersistNo)
    writeLong(page, offset + 16, timeline.lastPersistNo)
  }
  hashMeta(page, meta.slot, storeId, checksum)
  page.writeUInt32LE(checksum.low, Meta.sumLow)
  page.writeUInt32LE(checksum.high, Meta.sumHigh)
  return page
}

/** Reads what stands in a slot; never throws, whatever the bytes are. */
export function decodeMeta(
  page: Buffer,
  slot: 0 | 1,
  storeId: Uint8Array,
  checksum: Checksum
): DecodedMeta {
  if (page.length < metaBytes) return { kind: 'absent', reason: 'the file ends inside it' }
  if (
    page.readUInt32LE(Meta.magicLow) !== metaMagicLow ||
    page.readUInt32LE(Meta.magicHigh) !== metaMagicHigh
  ) {
    return { kind: 'absent', reason: 'it does not start with the magic of a meta page' }
  }
  hashMeta(page, slot, storeId, checksum)
  if (
    page.readUInt32LE(Meta.sumLow) !== checksum.low ||
    page.readUInt32LE(Meta.sumHigh) !== checksum.high
  ) {
    const own = page.subarray(Meta.storeId, Meta.storeId + 16)
    const reason = own.equals(storeId)
      ? 'its checksum does not match its contents'
      : `it belongs to another store, ${own.toString('hex')}`
    return { kind: 'damaged', reason }
  }
  const version = page.readUInt32LE(Meta.formatVersion)
  const features = page.readUInt32LE(Meta.featureBits)
  if (version !== metaFormatVersion || features !== 0) {
    return { kind: 'newer', reason: `format ${version} with feature bits ${features}` }
  }
  const meta = fields(page, slot)
  const reason = check(meta, page.readUInt32LE(Meta.slot))
  return reason === undefined ? { kind: 'valid', meta } : { kind: 'damaged', reason }
}

function fields(page: Buffer, slot: 0 | 1): MetaPage {
  const abandoned: AbandonedTimeline[] = []
  const count = Math.min(page.readUInt32LE(Meta.timelineCount), maxTimelines)
  for (let i = 0; i < count; i++) {
    const offset = Meta.timelines + i * timelineBytes
    abandoned.push({
      epoch: page.readUInt32LE(offset),
      firstPersistNo: readLong(page, offset + 8),
      lastPersistNo: readLong(page, offset + 16)
    })
  }
  return {
    slot,
    pageBytes: page.readUInt32LE(Meta.pageBytes),
    epoch: page.readUInt32LE(Meta.epoch),
    persistNo: readLong(page, Meta.persistLow),
    rootPage: page.readUInt32LE(Meta.rootPage),
    height: page.readUInt32LE(Meta.height),
    rootSumLow: page.readUInt32LE(Meta.rootSumLow),
    rootSumHigh: page.readUInt32LE(Meta.rootSumHigh),
    entries: readLong(page, Meta.entriesLow),
    appliedSeq: readLong(page, Meta.appliedLow),
    freelistPage: page.readUInt32LE(Meta.freelistPage),
    freelistPageCount: page.readUInt32LE(Meta.freelistPageCount),
    freelistSumLow: page.readUInt32LE(Meta.freelistSumLow),
    freelistSumHigh: page.readUInt32LE(Meta.freelistSumHigh),
    pageCount: page.readUInt32LE(Meta.pageCount),
    abandoned
  }
}

/** A whole page with impossible contents is still only bytes from disk. */
function check(meta: MetaPage, ownSlot: number): string | undefined {
  const { pageBytes, rootPage, height, pageCount, freelistPage, freelistPageCount } = meta
  if (ownSlot !== meta.slot) return `it says it is slot ${ownSlot}`
  if (pageBytes < minPageBytes || pageBytes > maxPageBytes || (pageBytes & (pageBytes - 1)) !== 0) {
    return `impossible page size ${pageBytes}`
  }
  if (pageCount < firstDataPage || pageCount > maxPageCount) {
    return `impossible page count ${pageCount}`
  }
  if (height > maxLevel + 1 || (height === 0) !== (rootPage === 0)) {
    return `impossible height ${height}`
  }
  if (rootPage !== 0 && (rootPage < firstDataPage || rootPage >= pageCount)) {
    return `its root, page ${rootPage}, lies outside the file`
  }
  if (freelistPage !== 0 && (freelistPage < firstDataPage || freelistPage >= pageCount)) {
    return `its freelist, page ${freelistPage}, lies outside the file`
  }
  if (freelistPageCount > pageCount || (freelistPageCount === 0) !== (freelistPage === 0)) {
    return `impossible freelist of ${freelistPageCount} pages`
  }
  for (const value of [meta.persistNo, meta.entries, meta.appliedSeq]) {
    if (!Number.isSafeInteger(value)) return `impossible number ${value}`
  }
  return undefined
}

function hashMeta(page: Buffer, slot: number, storeId: Uint8Array, checksum: Checksum): void {
  checksum.hash(storeId, slot, metaMagicLow)
  checksum.hash(page.subarray(Meta.magicLow, metaBytes), checksum.low, checksum.high)
}
