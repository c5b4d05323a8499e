import { CommitFlags, frameHeaderBytes, FrameKind } from './format.js'
import type { LogSource, SegmentDirectory, SegmentEntry } from './segment-directory.js'
import type { SealedHeader } from './segment-header.js'
import { type ChainValue, SegmentReader } from './segment-reader.js'

/** Where something other than the next frame was met. */
export interface Place {
  readonly entry: SegmentEntry
  readonly reader: SegmentReader
  readonly offset: number
  /** Chain value before the offset. */
  readonly chain: ChainValue
  /** Frames behind this offset are void or impossible. */
  readonly limit: number
  readonly voider: SegmentEntry | undefined
  /** The segment is sealed, and its successor is not there. */
  readonly isSealed: boolean
}

/** What still proves itself behind a place where the log could not be read on. */
export interface Survey {
  /** Highest sequence number that something behind the place states as synced (rule W6). */
  readonly evidence: number
  /** Highest sequence number seen there. */
  readonly lastSeq: number
  /** End of the last intact frame in the same segment; 0 without one. */
  readonly lastEnd: number
  /** The first intact beginning of a commit that is not read yet. No offset: in another segment. */
  readonly next:
    | {
        readonly entry: SegmentEntry
        readonly offset: number | undefined
        readonly seq: number
        /** The chain shows that no commit stood between the place and it. */
        readonly isBridged: boolean
      }
    | undefined
  readonly bytesRead: number
}

/**
 * Looks through the rest of the segment and all later ones. A later frame that proves itself is no
 * proof that this one was synced; what it states about synced sequence numbers is.
 */
export async function surveyBehind(
  source: LogSource,
  directory: SegmentDirectory,
  place: Place,
  firstSeq: number
): Promise<Survey> {
  const { entry, reader, offset, limit, voider, isSealed } = place
  const before = reader.bytesRead
  const markers = isSealed ? [] : reader.markerChains(offset)
  const here = isSealed ? nothing() : await scan(reader, offset, limit, firstSeq, offset)
  let { evidence, lastSeq } = here
  let bytesRead = reader.bytesRead - before
  const { lastEnd } = here
  const isBridged =
    here.nextOffset === offset + frameHeaderBytes &&
    markers.some((chain) => isSame(chain, here.prev))
  let next: Survey['next'] =
    here.nextOffset < 0
      ? undefined
      : { entry, offset: here.nextOffset, seq: here.nextSeq, isBridged }
  const follower = voider ?? directory.get(here.sealNumber)
  for (const later of directory.after(entry.number)) {
    const header = later.header as SealedHeader
    const file = await source.vfs.open(later.path, 'read')
    try {
      const laterReader = new SegmentReader(file, header, source.checksum)
      const found = await scan(laterReader, 0, laterReader.sizeBytes, firstSeq, -1)
      bytesRead += laterReader.bytesRead
      evidence = Math.max(evidence, header.syncedSeq, found.evidence)
      lastSeq = Math.max(lastSeq, found.lastSeq)
      const isFollower = follower ? follower === later : header.prevNumber === entry.number
      if (!next && isFollower && found.nextOffset >= 0) {
        const prev = { low: header.prevChainLow, high: header.prevChainHigh }
        const isNamed = header.prevCut === offset && isSame(prev, place.chain)
        next = { entry: later, offset: undefined, seq: found.nextSeq, isBridged: isNamed }
      }
    } finally {
      await file.close()
    }
  }
  return { evidence, lastSeq, lastEnd, next, bytesRead }
}

interface Scan {
  evidence: number
  lastSeq: number
  lastEnd: number
  nextOffset: number
  nextSeq: number
  sealNumber: number
  prev: ChainValue
}

function isSame(a: ChainValue, b: ChainValue): boolean {
  return a.low === b.low && a.high === b.high
}

function nothing(): Scan {
  const prev = { low: 0, high: 0 }
  return { evidence: 0, lastSeq: 0, lastEnd: 0, nextOffset: -1, nextSeq: 0, sealNumber: -1, prev }
}

/** Every intact frame from `offset` on; a commit that begins at `except` is not gone on with. */
async function scan(
  reader: SegmentReader,
  offset: number,
  limit: number,
  firstSeq: number,
  except: number
): Promise<Scan> {
  const found = nothing()
  for (let at = await reader.find(offset, limit); at >= 0;) {
    const { kind, flags, seq, syncedSeq, frameEnd } = reader
    found.evidence = Math.max(found.evidence, syncedSeq)
    found.lastEnd = Math.max(found.lastEnd, frameEnd)
    if (kind === FrameKind.seal) found.sealNumber = reader.sealNumber
    if (kind === FrameKind.commit) found.lastSeq = Math.max(found.lastSeq, seq)
    const begins = kind === FrameKind.commit && !(flags & CommitFlags.continued)
    if (begins && found.nextOffset < 0 && at !== except && seq >= firstSeq) {
      found.nextOffset = at
      found.nextSeq = seq
      found.prev = { low: reader.prevLow, high: reader.prevHigh }
    }
    at = await reader.find(frameEnd, limit)
  }
  return found
}
