import type { DataFile } from './data-file.js'
import { PageHeader } from './format.js'
import type { PageBitmap } from './page-bitmap.js'
import type { PageContent } from './page-content.js'
import type { PageMemory } from './page-memory.js'
import type { PageSums } from './page-sums.js'

/** About 0.2 ms of hashing. */
const sealedBytesPerSlice = 1 << 20

/** What a persist freezes: the dirty pages, and how to tell them from later ones. */
export interface FrozenPages {
  readonly pages: PageBitmap
  /** Pages born in later generations took the place of frozen ones that nobody needs any more. */
  readonly generation: number
  readonly persistNo: number
}

/** Frame of a page that is still the frozen one, or -1. */
export function frozenFrame(memory: PageMemory, frozen: FrozenPages, pageNo: number): number {
  const frame = memory.pageTable[pageNo]
  if (frame === -1 || !memory.isDirty(frame)) return -1
  return memory.generationOf[pageNo] <= frozen.generation ? frame : -1
}

/**
 * Stamps frozen pages and computes their checksums, children before parents, because a parent
 * carries its children's. `pause` is awaited between slices.
 */
export async function sealPages(
  memory: PageMemory,
  sums: PageSums,
  file: DataFile,
  content: PageContent,
  epoch: number,
  frozen: FrozenPages,
  pause: () => Promise<void>
): Promise<void> {
  const perSlice = Math.max(1, Math.floor(sealedBytesPerSlice / file.pageBytes))
  const branches: number[][] = []
  let inSlice = 0
  const { pages } = frozen
  for (let pageNo = pages.next(0); pageNo !== -1; pageNo = pages.next(pageNo + 1)) {
    const frame = frozenFrame(memory, frozen, pageNo)
    if (frame !== -1) {
      const level = memory.slabOf(frame).u8[memory.baseOf(frame) + PageHeader.level]
      if (level === 0) seal(memory, sums, file, epoch, frozen.persistNo, pageNo, frame)
      else (branches[level] ??= []).push(pageNo)
    }
    if (++inSlice % perSlice === 0) await pause()
  }
  for (let level = 1; level < branches.length; level++) {
    for (const pageNo of branches[level] ?? []) {
      const frame = frozenFrame(memory, frozen, pageNo)
      if (frame === -1) continue
      content.fillChildSums(memory.slabOf(frame), memory.baseOf(frame), sums)
      seal(memory, sums, file, epoch, frozen.persistNo, pageNo, frame)
      if (++inSlice % (perSlice >>> 2) === 0) await pause()
    }
  }
}

function seal(
  memory: PageMemory,
  sums: PageSums,
  file: DataFile,
  epoch: number,
  persistNo: number,
  pageNo: number,
  frame: number
): void {
  const { u8, u32 } = memory.slabOf(frame)
  const base = memory.baseOf(frame)
  const word = base >>> 2
  u32[word + (PageHeader.epoch >>> 2)] = epoch
  u32[word + (PageHeader.persistLow >>> 2)] = persistNo >>> 0
  u32[word + (PageHeader.persistHigh >>> 2)] = Math.floor(persistNo / 0x1_0000_0000)
  file.hash(u8.subarray(base + PageHeader.pageNo, base + memory.pageBytes), pageNo)
  u32[word + (PageHeader.sumLow >>> 2)] = file.sumLow
  u32[word + (PageHeader.sumHigh >>> 2)] = file.sumHigh
  sums.set(pageNo, file.sumLow, file.sumHigh)
}
