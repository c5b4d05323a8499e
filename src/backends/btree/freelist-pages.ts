import type { DataFile } from './data-file.js'
import {
  firstDataPage,
  FreelistHeader,
  freelistHeaderBytes,
  freelistRunBytes,
  PageHeader,
  PageKind,
  pendingRunBit
} from './format.js'
import type { FreelistSnapshot, PageRanges } from './freelist.js'
import type { MetaPage } from './meta.js'
import { PageBitmap } from './page-bitmap.js'
import { writeLong } from '../../base/words.js'

/** A freelist page ready to be written. */
export interface EncodedPage {
  readonly pageNo: number
  readonly bytes: Buffer
}

/** What the freelist on disk says. */
export interface StoredFreelist {
  readonly pages: readonly number[]
  readonly available: PageRanges
  readonly pending: PageRanges
}

function runsPerPage(pageBytes: number): number {
  return Math.floor((pageBytes - freelistHeaderBytes) / freelistRunBytes)
}

/**
 * The runs of a snapshot: first page, length with the pending bit. `allocate` supplies the pages
 * the freelist itself will need; they are taken out of the runs.
 */
export function collectRuns(
  snapshot: FreelistSnapshot,
  pageBytes: number,
  allocate: () => number
): { runs: Uint32Array; pages: number[]; end: number } {
  const { available } = snapshot
  const pending = new PageBitmap(snapshot.end)
  for (const ranges of snapshot.pending) {
    for (let i = 0; i < ranges.length; i += 2) {
      for (let k = 0; k < ranges[i + 1]; k++) pending.add(ranges[i] + k)
    }
  }
  const pages: number[] = []
  const perPage = runsPerPage(pageBytes)
  // Taking a page out of a run can split it, so each page is counted as one more run.
  for (let count = countRuns(available) + countRuns(pending); pages.length * perPage < count;) {
    const pageNo = allocate()
    pages.push(pageNo)
    pending.delete(pageNo)
    count++
  }
  pages.sort((a, b) => a - b)
  // Pages given out since the freeze lie below the freelist's own, but this state is without them.
  const end = Math.max(snapshot.end, (pages.at(-1) ?? 0) + 1)
  for (let pageNo = snapshot.end; pageNo < end; pageNo++) available.add(pageNo)
  for (const pageNo of pages) available.delete(pageNo)
  const runs = new Uint32Array(2 * (countRuns(available) + countRuns(pending)))
  writeRuns(pending, runs, writeRuns(available, runs, 0, 0), pendingRunBit)
  return { runs, pages, end }
}

/** Lays the runs out in their pages, the last first, because each names the next one's checksum. */
export function encodeFreelist(
  runs: Uint32Array,
  pages: readonly number[],
  file: DataFile,
  epoch: number,
  persistNo: number
): { pages: EncodedPage[]; sumLow: number; sumHigh: number } {
  const perPage = runsPerPage(file.pageBytes)
  const encoded: EncodedPage[] = []
  let sumLow = 0
  let sumHigh = 0
  for (let index = pages.length - 1; index >= 0; index--) {
    const bytes = Buffer.alloc(file.pageBytes)
    const pageNo = pages[index]
    const first = Math.min(index * perPage, runs.length / 2)
    const count = Math.min(perPage, runs.length / 2 - first)
    bytes.writeUInt32LE(pageNo, PageHeader.pageNo)
    bytes.writeUInt32LE(epoch, PageHeader.epoch)
    writeLong(bytes, PageHeader.persistLow, persistNo)
    bytes[PageHeader.kind] = PageKind.freelist
    bytes.writeUInt32LE(pages[index + 1] ?? 0, FreelistHeader.nextPage)
    bytes.writeUInt32LE(sumLow, FreelistHeader.nextSumLow)
    bytes.writeUInt32LE(sumHigh, FreelistHeader.nextSumHigh)
    bytes.writeUInt32LE(count, FreelistHeader.runCount)
    for (let i = 0; i < 2 * count; i++) {
      bytes.writeUInt32LE(runs[2 * first + i], freelistHeaderBytes + 4 * i)
    }
    file.hash(bytes.subarray(PageHeader.pageNo), pageNo)
    sumLow = file.sumLow
    sumHigh = file.sumHigh
    bytes.writeUInt32LE(sumLow, PageHeader.sumLow)
    bytes.writeUInt32LE(sumHigh, PageHeader.sumHigh)
    encoded.push({ pageNo, bytes })
  }
  return { pages: encoded.reverse(), sumLow, sumHigh }
}

/** Reads and checks the freelist a meta page names. Throws CORRUPTION or the I/O error. */
export async function readFreelist(file: DataFile, meta: MetaPage): Promise<StoredFreelist> {
  const seen = new PageBitmap(meta.pageCount)
  const pages: number[] = []
  const available: PageRanges = []
  const pending: PageRanges = []
  const bytes = Buffer.alloc(file.pageBytes)
  let pageNo = meta.freelistPage
  let { freelistSumLow: sumLow, freelistSumHigh: sumHigh } = meta
  while (pageNo !== 0) {
    if (pages.length === meta.freelistPageCount || !seen.add(pageNo)) {
      throw file.corruption(pageNo, 'the freelist runs in a circle')
    }
    pages.push(pageNo)
    await file.readPage(bytes, pageNo)
    const reason = file.checkPage(bytes, pageNo) ?? checkHeader(bytes, sumLow, sumHigh)
    if (reason !== undefined) throw file.corruption(pageNo, reason)
    readRuns(bytes, available, pending)
    pageNo = bytes.readUInt32LE(FreelistHeader.nextPage)
    sumLow = bytes.readUInt32LE(FreelistHeader.nextSumLow)
    sumHigh = bytes.readUInt32LE(FreelistHeader.nextSumHigh)
    if (pageNo !== 0 && (pageNo < firstDataPage || pageNo >= meta.pageCount)) {
      throw file.corruption(pages[pages.length - 1], `it names page ${pageNo} as the next`)
    }
  }
  if (pages.length !== meta.freelistPageCount) {
    throw file.corruption(meta.freelistPage, `the freelist has ${pages.length} pages`)
  }
  for (const ranges of [available, pending]) {
    for (let i = 0; i < ranges.length; i += 2) {
      const [first, count] = [ranges[i], ranges[i + 1]]
      if (first < firstDataPage || count === 0 || first + count > meta.pageCount) {
        throw file.corruption(meta.freelistPage, `the freelist has a run at page ${first}`)
      }
      for (let k = 0; k < count; k++) {
        if (seen.add(first + k)) continue
        throw file.corruption(meta.freelistPage, `the freelist has page ${first + k} twice`)
      }
    }
  }
  return { pages, available, pending }
}

function checkHeader(bytes: Buffer, sumLow: number, sumHigh: number): string | undefined {
  if (
    bytes.readUInt32LE(PageHeader.sumLow) !== sumLow ||
    bytes.readUInt32LE(PageHeader.sumHigh) !== sumHigh
  ) {
    return 'it is not the version that the freelist refers to'
  }
  if (bytes[PageHeader.kind] !== PageKind.freelist) return 'it is not a freelist page'
  const count = bytes.readUInt32LE(FreelistHeader.runCount)
  return count > runsPerPage(bytes.length) ? `it claims ${count} runs` : undefined
}

function readRuns(bytes: Buffer, available: PageRanges, pending: PageRanges): void {
  const count = bytes.readUInt32LE(FreelistHeader.runCount)
  for (let i = 0; i < count; i++) {
    const offset = freelistHeaderBytes + i * freelistRunBytes
    const length = bytes.readUInt32LE(offset + 4)
    const target = length >= pendingRunBit ? pending : available
    target.push(bytes.readUInt32LE(offset), length % pendingRunBit)
  }
}

function countRuns(set: PageBitmap): number {
  let count = 0
  for (let start = set.next(0); start !== -1; start = set.next(set.nextAbsent(start))) count++
  return count
}

function writeRuns(set: PageBitmap, runs: Uint32Array, at: number, bit: number): number {
  for (let start = set.next(0); start !== -1;) {
    const end = set.nextAbsent(start)
    runs[at++] = start
    runs[at++] = (end - start + bit) >>> 0
    start = set.next(end)
  }
  return at
}
