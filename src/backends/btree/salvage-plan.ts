import type { Progress } from '../../backend/backend.js'
import { compareBytes } from '../../base/bytes.js'
import { KeyGaps, type KeySpan } from './key-gaps.js'
import { claimOf } from './leaf-claim.js'
import type { AbandonedTimeline, MetaPage } from './meta.js'
import { PageBitmap } from './page-bitmap.js'
import type { PageContent, Separator } from './page-content.js'
import { Slab } from './page-memory.js'
import type { FoundPage, SalvageSource } from './salvage-source.js'

/**
 * The entries of one leaf whose keys lie in a range. Ranges of neighbours overlap where a separator
 * is so long that only its beginning is known: a leaf that is not stale counts whole, and a stale
 * one gives way to it.
 */
export interface SalvagePiece extends KeySpan {
  readonly pageNo: number
  /** The tree does not lead there: its entries may be older than the store's last state. */
  readonly stale: boolean
}

export interface SalvagePlan {
  /** In key order. */
  readonly pieces: readonly SalvagePiece[]
  /** Ranges of which no page is left. */
  readonly lost: readonly KeySpan[]
  /** Sequence number of the state that the tree was followed from; 0 where there was none. */
  readonly seq: number
  readonly pagesRead: number
  readonly pagesKept: number
}

interface Walk {
  readonly meta: MetaPage
  readonly pieces: SalvagePiece[]
  readonly gaps: KeySpan[]
}

/** A page found by scanning, and the latest moment at which it is known to have been in the tree. */
interface Candidate extends FoundPage {
  aliveEpoch: number
  alivePersistNo: number
  readonly claim: KeySpan | undefined
  readonly children: readonly { pageNo: number; sumLow: number; sumHigh: number }[]
}

/**
 * Finds out which leaves make up the most recent state that can be had. First the tree is followed
 * from a meta page: what it leads to is right. Where a page on the way is damaged, its range of
 * keys is filled with leaves that nothing leads to any more, the latest first: those that a found
 * branch page refers to count as late as that branch page, because they were in the tree then.
 */
export async function planSalvage(
  source: SalvageSource,
  content: PageContent,
  progress: Progress
): Promise<SalvagePlan> {
  let best: Walk | undefined
  for (const meta of source.metas) {
    const walk = await followTree(source, content, meta, progress)
    // An older state without gaps is better: the log has all that happened since.
    if (best === undefined || (best.gaps.length > 0 && walk.gaps.length === 0)) best = walk
  }
  const gaps = new KeyGaps(best?.gaps ?? [{ low: undefined, high: undefined }])
  const pieces: SalvagePiece[] = best?.pieces ?? []
  const pagesKept = new PageBitmap()
  for (const { pageNo } of pieces) pagesKept.add(pageNo)
  if (gaps.ranges.length > 0) {
    for (const { pageNo, claim } of await findCandidates(source, content, progress)) {
      if (pagesKept.has(pageNo) || claim === undefined) continue
      for (const range of gaps.fill(claim.low, claim.high)) {
        pieces.push({ ...range, pageNo, stale: true })
        pagesKept.add(pageNo)
      }
    }
    pieces.sort((a, b) => compareLows(a.low, b.low))
  }
  return {
    pieces,
    lost: gaps.ranges,
    seq: best?.meta.appliedSeq ?? 0,
    pagesRead: source.file.pageCount,
    pagesKept: pagesKept.count
  }
}

/** Descends from a meta page; what cannot be reached becomes a gap. */
async function followTree(
  source: SalvageSource,
  content: PageContent,
  meta: MetaPage,
  progress: Progress
): Promise<Walk> {
  const walk: Walk = { meta, pieces: [], gaps: [] }
  const seen = new PageBitmap(meta.pageCount)
  const { pageBytes } = source.file
  const slabs: Slab[] = []
  const visit = async (
    pageNo: number,
    sumLow: number,
    sumHigh: number,
    level: number,
    range: KeySpan
  ): Promise<void> => {
    progress.signal?.throwIfAborted()
    const slab = (slabs[level] ??= new Slab(pageBytes))
    const found = seen.add(pageNo) ? await source.read(pageNo, slab, 0) : undefined
    const isRight = found?.level === level && found.sumLow === sumLow && found.sumHigh === sumHigh
    if (!isRight) walk.gaps.push(range)
    else if (level === 0) walk.pieces.push({ ...range, pageNo, stale: false })
    else {
      const children: {
        pageNo: number
        low: number
        high: number
        separator: Separator | undefined
      }[] = []
      content.eachChild(slab, 0, (child, low, high, separator) => {
        children.push({ pageNo: child, low, high, separator })
      })
      for (const [i, child] of children.entries()) {
        const low = i === 0 ? range.low : child.separator?.low
        const high = i + 1 < children.length ? children[i + 1].separator?.high : range.high
        await visit(child.pageNo, child.low, child.high, level - 1, { low, high })
      }
    }
  }
  if (meta.rootPage !== 0) {
    const everything = { low: undefined, high: undefined }
    await visit(meta.rootPage, meta.rootSumLow, meta.rootSumHigh, meta.height - 1, everything)
  }
  return walk
}

/** All leaves of timelines that count, the one known to be in the tree at the latest time first. */
async function findCandidates(
  source: SalvageSource,
  content: PageContent,
  progress: Progress
): Promise<Candidate[]> {
  const abandoned = source.metas.flatMap((meta) => meta.abandoned)
  const byPage = new Map<number, Candidate>()
  await source.scan(progress, async (page, slab, base) => {
    if (isAbandoned(page, abandoned)) return
    const children: Candidate['children'][number][] = []
    let claim: KeySpan | undefined
    if (page.level === 0) claim = await claimOf(source, content, slab, base)
    else {
      content.eachChild(slab, base, (pageNo, sumLow, sumHigh) => {
        children.push({ pageNo, sumLow, sumHigh })
      })
    }
    const { epoch: aliveEpoch, persistNo: alivePersistNo } = page
    byPage.set(page.pageNo, { ...page, aliveEpoch, alivePersistNo, claim, children })
  })
  const pages = [...byPage.values()].sort((a, b) => b.level - a.level)
  for (const parent of pages) {
    for (const { pageNo, sumLow, sumHigh } of parent.children) {
      const child = byPage.get(pageNo)
      if (child === undefined || child.level !== parent.level - 1) continue
      if (child.sumLow !== sumLow || child.sumHigh !== sumHigh) continue
      if (compareAlive(parent, child) <= 0) continue
      child.aliveEpoch = parent.aliveEpoch
      child.alivePersistNo = parent.alivePersistNo
    }
  }
  return pages.filter(({ level }) => level === 0).sort((a, b) => compareAlive(b, a))
}

function compareAlive(a: Candidate, b: Candidate): number {
  return a.aliveEpoch - b.aliveEpoch || a.alivePersistNo - b.alivePersistNo
}

function isAbandoned(page: FoundPage, abandoned: readonly AbandonedTimeline[]): boolean {
  return abandoned.some(
    ({ epoch, firstPersistNo, lastPersistNo }) =>
      page.epoch === epoch && page.persistNo >= firstPersistNo && page.persistNo <= lastPersistNo
  )
}

function compareLows(a: Buffer | undefined, b: Buffer | undefined): number {
  if (a === undefined || b === undefined)
    return (a === undefined ? 0 : 1) - (b === undefined ? 0 : 1)
  return compareBytes(a, b)
}
