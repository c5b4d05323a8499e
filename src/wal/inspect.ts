import { LogWalk } from './log-walk.js'
import { SegmentLink } from './format.js'
import { type LogSource, SegmentDirectory, type SegmentEntry } from './segment-directory.js'
import type { LogFinding, LogLoss, LogWitness } from './witness.js'

/** What a file of the log's directory is. */
export interface SegmentSummary {
  readonly number: number
  readonly path: string
  readonly sizeBytes: number
  /** `live`: the log leads to it. `spare`: reusable. `unreached`: a segment nothing leads to. */
  readonly state: 'live' | 'spare' | 'unreached'
  /** Why a spare is one. */
  readonly reason: string
  readonly link: 'first' | 'sealed' | 'voiding' | undefined
  readonly epoch: number | undefined
  /** Last complete commit before the segment. */
  readonly baseSeq: number | undefined
}

export interface LogInspection {
  readonly segments: readonly SegmentSummary[]
  readonly firstSeq: number
  readonly lastSeq: number
  /** Everything up to here is proven synced. */
  readonly provenSeq: number
  readonly commits: number
  readonly payloadBytes: number
  readonly bytesRead: number
  /** What a tolerant opening would drop, or would refuse to open over. */
  readonly losses: readonly LogLoss[]
  readonly findings: readonly LogFinding[]
  /** Commits larger than a segment that were refused half-way: neither damage nor loss. */
  readonly commitsAbandoned: number
}

const linkNames = {
  [SegmentLink.first]: 'first',
  [SegmentLink.sealed]: 'sealed',
  [SegmentLink.voiding]: 'voiding'
} as const

/**
 * Reads the whole log, offline or of a store opened read-only, and changes nothing. Damage is in the
 * result and not an exception; I/O errors are exceptions. Commits the backend has already are read
 * and verified as well.
 */
export async function inspectLog(source: LogSource, witness: LogWitness): Promise<LogInspection> {
  const directory = await SegmentDirectory.read(source)
  let commits = 0
  let payloadBytes = 0
  const count = (_bytes: Buffer, start: number, end: number): void => {
    commits++
    payloadBytes += end - start
  }
  const walk = new LogWalk(source, directory, witness, 'skip-any', count, true)
  if (directory.after(0).length > 0) await walk.run()
  const live = new Set(walk.chain.map(({ number }) => number))
  return {
    segments: directory.entries.map((entry) => summarize(source, entry, live)),
    firstSeq: (walk.chain[0]?.header?.baseSeq ?? walk.lastSeq) + 1,
    lastSeq: walk.lastSeq,
    provenSeq: walk.provenSeq,
    commits: commits + walk.commitsSkipped,
    payloadBytes,
    bytesRead: walk.bytesRead,
    losses: walk.dropped,
    findings: walk.findings,
    commitsAbandoned: walk.commitsAbandoned
  }
}

function summarize(source: LogSource, entry: SegmentEntry, live: Set<number>): SegmentSummary {
  const { number, path, header, reason } = entry
  return {
    number,
    path,
    sizeBytes: source.vfs.statSync(path)?.sizeBytes ?? 0,
    state: live.has(number) ? 'live' : header ? 'unreached' : 'spare',
    reason,
    link: header && linkNames[header.link],
    epoch: header?.epoch,
    baseSeq: header?.baseSeq
  }
}
