import type { DataFile } from './data-file.js'
import { encodeFreelist, collectRuns, type EncodedPage } from './freelist-pages.js'
import type { FreelistSnapshot } from './freelist.js'
import type { MetaPage } from './meta.js'
import type { PageContent } from './page-content.js'
import type { PageMemory } from './page-memory.js'
import { frozenFrame, sealPages, type FrozenPages } from './page-sealer.js'
import type { PageSums } from './page-sums.js'
import type { TreeState } from './tree-state.js'
import { RunWriter } from './run-writer.js'

/** A state of the tree closed against changes, with all that is not on disk yet. */
export interface FrozenState extends FrozenPages {
  readonly state: TreeState
  readonly extents: ReadonlyMap<number, Buffer>
  readonly freelist: FreelistSnapshot
}

export interface PersistPorts {
  readonly file: DataFile
  readonly memory: PageMemory
  readonly sums: PageSums
  readonly content: PageContent
  /** Lets the event loop go on. */
  readonly pause: () => Promise<void>
  /** Hands over the pages of the new freelist in the same turn in which they are taken. */
  takeFreelistPages(take: (allocate: () => number) => readonly number[]): void
}

/** All of a meta page but its place and its timelines. */
export type WrittenState = Omit<MetaPage, 'slot' | 'pageBytes' | 'abandoned'>

/**
 * Writes everything a frozen state needs to places that no durable state uses. What remains is to
 * sync the file and to publish the state in a meta page. The event loop is never held longer than
 * a slice of about a mebibyte takes to hash or copy.
 */
export async function writeFrozen(
  ports: PersistPorts,
  frozen: FrozenState,
  epoch: number
): Promise<WrittenState> {
  const { file, memory, sums, content, pause } = ports
  await sealPages(memory, sums, file, content, epoch, frozen, pause)
  const { state, persistNo } = frozen
  let freelistEnd = 0
  let runs: Uint32Array = new Uint32Array(0)
  let freelistPages: readonly number[] = []
  ports.takeFreelistPages((allocate) => {
    const collected = collectRuns(frozen.freelist, file.pageBytes, allocate)
    freelistEnd = collected.end
    runs = collected.runs
    freelistPages = collected.pages
    return freelistPages
  })
  const freelist = encodeFreelist(runs, freelistPages, file, epoch, persistNo)
  const pageCount = Math.max(frozen.freelist.end, freelistEnd)
  await file.reserve(pageCount)
  await writePages(ports, frozen, freelist.pages)
  const hasRoot = state.rootPage !== 0
  return {
    epoch,
    persistNo,
    rootPage: state.rootPage,
    height: state.height,
    rootSumLow: hasRoot ? sums.low(state.rootPage) : 0,
    rootSumHigh: hasRoot ? sums.high(state.rootPage) : 0,
    entries: state.entries,
    appliedSeq: state.appliedSeq,
    freelistPage: freelistPages[0] ?? 0,
    freelistPageCount: freelistPages.length,
    freelistSumLow: freelist.sumLow,
    freelistSumHigh: freelist.sumHigh,
    pageCount
  }
}

/** Writes pages and extents in the order of their page numbers, then the freelist. */
async function writePages(
  ports: PersistPorts,
  frozen: FrozenState,
  freelist: readonly EncodedPage[]
): Promise<void> {
  const { file, memory, pause } = ports
  const writer = new RunWriter(file)
  const { pages, extents } = frozen
  const starts = pages.clone()
  for (const page of extents.keys()) starts.add(page)
  try {
    for (let pageNo = starts.next(0); pageNo !== -1; pageNo = starts.next(pageNo + 1)) {
      const frame = pages.has(pageNo) ? frozenFrame(memory, frozen, pageNo) : -1
      let full = false
      if (frame !== -1) {
        const base = memory.baseOf(frame)
        full = writer.add(pageNo, memory.slabOf(frame).u8, base, base + file.pageBytes)
      } else {
        const extent = extents.get(pageNo)
        if (extent === undefined) continue
        if (writer.isDirect(extent.length)) await writer.write(pageNo, extent)
        else full = writer.add(pageNo, extent, 0, extent.length)
      }
      if (full) {
        await writer.flush()
        await pause()
      }
    }
    for (const { pageNo, bytes } of freelist) {
      if (writer.add(pageNo, bytes, 0, bytes.length)) await writer.flush()
    }
    await writer.finish()
  } finally {
    await writer.settle()
  }
}
