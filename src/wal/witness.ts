import type { WalRecoveryMode } from '../options.js'

/** Where in the log something stands: behind the frame whose checksum is the chain value. */
export interface LogPosition {
  readonly segment: number
  readonly offset: number
  readonly chainLow: number
  readonly chainHigh: number
  /** Last complete commit before the position. */
  readonly seq: number
}

/** What a clean close writes into STORE (rule S2): everything before it is synced. */
export interface CleanMark extends LogPosition {
  readonly epoch: number
}

/** First segment and first sequence number that the log still has to have (rule B1). */
export interface LogFloor {
  readonly segment: number
  readonly seq: number
}

/** Durable statements about the log that stand outside it (rule W6). */
export interface LogWitness {
  readonly floor: LogFloor
  /** Highest sequence number stated as synced by a STORE slot. */
  readonly syncedSeq: number
  /** What the backend has made durable by itself. */
  readonly durableSeq: number
  /** Highest epoch that STORE knows. */
  readonly epoch: number
  /** The segment that the last recovery or poison switch opened: the log must reach it. */
  readonly activeSegment: number
  readonly cleanMark: CleanMark | undefined
}

/** Sequence numbers and bytes that an opening gave up. */
export interface LogLoss {
  readonly reason: 'torn-tail' | 'unfinished-commit' | 'damage' | 'missing-segment'
  readonly segment: number
  readonly path: string
  readonly offset: number
  /** From the offset to the end of what could be recognised; 0 where nothing could. */
  readonly bytes: number
  readonly firstSeq: number
  readonly lastSeq: number
}

/** Damage that cost nothing, because the backend already has what stood there. */
export interface LogFinding {
  readonly kind: 'damage-below-durable' | 'damaged-marker' | 'earlier-loss'
  readonly segment: number
  readonly path: string
  readonly offset: number
  readonly firstSeq: number
  readonly lastSeq: number
}

export interface RecoveryReport {
  readonly mode: WalRecoveryMode
  /** The log ended at the clean mark of the last close. */
  readonly clean: boolean
  /** Highest sequence number in the log, given-up ones included. */
  readonly lastSeq: number
  /** Everything up to here was proven synced before this opening. */
  readonly provenSeq: number
  readonly bytesRead: number
  readonly commitsReplayed: number
  readonly commitsSkipped: number
  /** Commits larger than a segment that were refused half-way, as their caller was told. */
  readonly commitsAbandoned: number
  /** Frames written again into a new segment (rule F4). */
  readonly framesRewritten: number
  readonly dropped: readonly LogLoss[]
  readonly findings: readonly LogFinding[]
  readonly durationMs: number
}
