import type { ByteRange } from '../batch/batch.js'
import type { Clock } from '../base/clock.js'
import type { Random } from '../base/random.js'
import type { Checksum } from '../codec/checksum.js'
import type { Encoding, ResolvedOptions } from '../options.js'
import type { CompactionFailure, CompactionSummary } from '../telemetry/telemetry.js'
import type { Vfs } from '../vfs/vfs.js'

/**
 * A backend is a state machine fed by the write-ahead log. The store logs a commit, then hands it
 * to `apply`; whatever a backend has not made durable by itself is replayed into it at the next
 * open, from `durableSeq` on. The rules cited as W, F, B are those of docs/durability.md.
 */
export interface Backend {
  readonly capabilities: BackendCapabilities

  /** What opening found and put right without a loss, for people. */
  readonly openingWarnings?: readonly string[]

  /** Highest applied sequence number; 0 before the first commit. */
  readonly appliedSeq: number
  /** Everything up to here survives power loss without the log. */
  readonly durableSeq: number
  /** The log up to here is needed by neither of the last two persists (rule B1). */
  readonly retirableSeq: number
  /** A further persist would shorten the log or the files, although nothing has changed. */
  readonly persistPays: boolean
  /** Bytes applied since the last persist: what a persist would have to write, roughly. */
  readonly dirtyBytes: number
  /** With so many dirty bytes a persist is due. */
  readonly persistBytes: number
  /** Beyond so many, commits wait for it. */
  readonly holdBytes: number
  /** How far background work lags behind the writes: they are slowed down, or wait. */
  readonly pressure: Pressure

  /**
   * Verifies and pins what applying the encoded batch at `bytes[start, end)` will touch, so that
   * `apply` can neither meet a bad page nor wait for one (rule W10). False when something is not in
   * memory; then nothing is pinned and `prepare` has to load it. What was prepared stays pinned until
   * a matching `apply` or `unprepare`. Throws CORRUPTION or IO.
   */
  tryPrepare(bytes: Buffer, start: number, end: number): boolean
  /** The same, loading what is missing; the bytes have to stay as they are until it settles. */
  prepare(bytes: Buffer, start: number, end: number): Promise<void>
  /** The same, waiting for the disk. */
  prepareSync(bytes: Buffer, start: number, end: number): void
  /** Gives up one prepared batch that will not be applied. */
  unprepare(): void

  /**
   * Applies a prepared batch; the bytes may be reused as soon as it returns. Sequence numbers rise
   * from call to call, by one unless a recovery gave some up. Infallible: what could fail was done
   * by `prepare`. On replay a batch may come although its `prepare` failed with damage: operations
   * that hit it are parked, which holds `durableSeq` below them, so that the log keeps them.
   */
  apply(bytes: Buffer, start: number, end: number, seq: number): void

  /** The current state, or rather what it is at this moment; stays valid until closed. */
  readView(): ReadView

  /** Point read of the current state; same contract as `ReadView#getSync` and `tryGet`. */
  getSync(key: Uint8Array): Buffer | undefined
  tryGet(key: Uint8Array): Buffer | undefined | null
  load(key: Uint8Array): Promise<Buffer | undefined | null>
  /** Many point reads at once; faster than one by one. `null` where a value is not in memory. */
  tryGetMany(keys: readonly Uint8Array[]): (Buffer | undefined | null)[]

  /** As `ReadView#answersLoads`. */
  readonly answersLoads?: boolean | undefined
  /** As `ReadView#texts`, of the current state. */
  readonly texts?: TextReads | undefined

  /**
   * Makes everything applied so far durable, in the background, and resolves with the new
   * `durableSeq`. First it freezes its state, at once; then it awaits `syncLog(frozenSeq)`, which
   * resolves when the log is synced through the freeze point, and only then writes (rule W8). One
   * at a time. Rejects with the error; the backend keeps serving from memory, and the next call
   * tries again as far as the rules F1 and F5 allow.
   */
  persist(syncLog: (seq: number) => Promise<void>): Promise<number>

  /**
   * Gives back space and repacks, within a range of keys or everywhere. With a level, merges only
   * what that level has there into the next one; NOT_SUPPORTED where there are no levels.
   */
  compact(range: ByteRange, progress: Progress, level?: number): Promise<void>
  /** Bytes on disk that the keys of a range take up, roughly. */
  approximateSize(range: ByteRange): Promise<number>
  /** Structural check of what is on disk; damage is a finding, not an exception. */
  verify(level: VerifyLevel, progress: Progress): Promise<Finding[]>
  /** Figures by name, for people and metrics; all numbers. */
  stats(): Record<string, number>
  /** Ranges of keys that cannot be served, with the reason. */
  damagedRanges(): readonly DamagedRange[]
  /** Closes files; does not persist. */
  close(): Promise<void>
}

export type Pressure = 'none' | 'slowdown' | 'stop'

export interface BackendCapabilities {
  /** Cursors can wait for the disk: `nextChunkSync` works. Point reads always can. */
  readonly syncCursor: boolean
  /** `apply` is synchronous, so `putSync` and its kin work. */
  readonly syncWrite: boolean
  /** A cursor can turn round between calls. */
  readonly bidirectionalCursor: boolean
  /** `compact` works on what is persisted alone, so a persist comes before it. */
  readonly compactsPersisted: boolean
  /** Writes in key order are taken in much faster than others, so that sorting a replay pays. */
  readonly prefersSortedWrites: boolean
  /**
   * A persist that is cut short leaves parts of commits in what is read, so the store states that
   * their log is synced before the persist writes.
   */
  readonly persistsInPlace: boolean
}

/** An immutable state of the store. Reads of it are unaffected by later commits. */
export interface ReadView {
  /** Sequence number of the last commit it shows. */
  readonly seq: number
  /** A copy of the value, the caller's own; undefined where there is none. Waits for the disk. */
  getSync(key: Uint8Array): Buffer | undefined
  /** The same without waiting: `null` when the value is not in memory; then `load`. */
  tryGet(key: Uint8Array): Buffer | undefined | null
  /**
   * What `tryGet` answered null for; the key has to stay as it is until it settles. Null: it is in
   * memory now, `tryGet` again. A backend that does not manage that memory answers with the value.
   */
  load(key: Uint8Array): Promise<Buffer | undefined | null>
  tryGetMany(keys: readonly Uint8Array[]): (Buffer | undefined | null)[]
  /** Fills in the values that `tryGetMany` of these keys answered null for. */
  loadMany(keys: readonly Uint8Array[], values: (Buffer | undefined | null)[]): Promise<void>
  /**
   * `load` never answers null, and takes a copy of the key before it returns, as does `loadMany`.
   * Default false.
   */
  readonly answersLoads?: boolean | undefined
  /** Point reads of text, where the backend reads it faster than bytes. */
  readonly texts?: TextReads | undefined
  cursor(options: CursorOptions): Cursor
  close(): void
}

/** Point reads with values as UTF-8 text; what is no UTF-8 comes out as `Buffer#toString` has it. */
export interface TextReads {
  /** As `ReadView#getSync`. */
  getSync(key: Uint8Array): string | undefined
  /** What `tryGet` answered null for; takes a copy of the key before it returns. */
  load(key: Uint8Array): Promise<string | undefined>
  /** As `ReadView#loadMany`, with copies of the keys; values that are there stay as they are. */
  loadMany(
    keys: readonly Uint8Array[],
    values: (Buffer | string | undefined | null)[]
  ): Promise<void>
}

export interface CursorOptions {
  readonly range: ByteRange
  readonly reverse: boolean
  /** What chunks have to carry; the other half stays empty. */
  readonly keys: boolean
  readonly values: boolean
  /** Chunks may have `entries` in these encodings instead; both halves then are there. */
  readonly ready?: {
    readonly keyEncoding: Encoding
    readonly valueEncoding: Encoding
  }
}

/** Reads a range of a view in chunks: a loop over a chunk calls nothing and allocates little. */
export interface Cursor {
  /**
   * The next entries in order, at most `maxEntries` and about 64 KiB, at least one; undefined at
   * the end. Waits for the disk. The chunk is the caller's own.
   */
  nextChunkSync(maxEntries: number): EntryChunk | undefined
  /** The same without waiting: `null` when not in memory; then `load`, and again. */
  tryNextChunk(maxEntries: number): EntryChunk | undefined | null
  load(): Promise<void>
  /** Moves to the first entry at or behind `key` in the cursor's direction, within its range. */
  seek(key: Uint8Array): void
  close(): void
}

/**
 * Copies of entries in the cursor's order. With `b = firstBound + 4i`, entry i has its key at
 * `bytes[bounds[b], bounds[b+1])` and its value at `bytes[bounds[b+2], bounds[b+3])`. Memory and
 * bounds may hold more than this chunk.
 */
export interface EntryChunk {
  readonly count: number
  /**
   * Instead of bytes and bounds, where a cursor was asked for it and has them: entry i is
   * `entries[firstBound + i]`, the caller's own.
   */
  readonly entries?: readonly ReadyEntry[] | undefined
  /** All of `memory`. */
  readonly bytes: Buffer
  readonly memory: ArrayBuffer
  readonly bounds: Uint32Array
  readonly firstBound: number
}

/** Key and value as an iterator hands them out. */
export type ReadyEntry = [key: Buffer | string, value: Buffer | string]

/** How thorough a check is; each level does what those before it do. */
export const verifyLevels = ['basic', 'standard', 'comprehensive'] as const
/** How much a verification looks at: see `Store#verify`. */
export type VerifyLevel = (typeof verifyLevels)[number]

/** What a check found. `error`: data is damaged or lost; `warning`: harmless but not as it should. */
export interface Finding {
  readonly severity: 'error' | 'warning'
  /** Stable name of the kind of damage, such as `checksum-mismatch`. */
  readonly kind: string
  /** What was found and what to do, for people. */
  readonly message: string
  /** File or directory concerned. */
  readonly path: string
  /** Byte offset in that file. */
  readonly offset?: number
  /** Page number in that file. */
  readonly page?: number
  /** First sequence number concerned. */
  readonly firstSeq?: number
  /** Last sequence number concerned. */
  readonly lastSeq?: number
  /** Lower bound of the keys concerned, itself included; absent: unbounded. */
  readonly lowKey?: Uint8Array
  /** Upper bound of the keys concerned, itself not included; absent: unbounded. */
  readonly highKey?: Uint8Array
}

/** Keys that cannot be read or vouched for, and why. */
export interface DamagedRange {
  /** Lower bound, itself included; undefined: from the first key. */
  readonly lowKey: Uint8Array | undefined
  /** Upper bound, itself not included; undefined: to the last key. */
  readonly highKey: Uint8Array | undefined
  /** What happened to them, for people. */
  readonly reason: string
}

/** How long work reports and is interrupted: `done` of `total` units; total 0 where unknown. */
export interface Progress {
  report(done: number, total: number, unit: string): void
  readonly signal: AbortSignal | undefined
}

/** What a backend gets to work with; nothing is global. */
export interface BackendContext {
  readonly vfs: Vfs
  /** The backend's own directory; for `create` it exists and is empty. */
  readonly directory: string
  /** Sixteen random bytes that every file of the store carries in its seeds. */
  readonly storeId: Uint8Array
  readonly checksum: Checksum
  readonly clock: Clock
  /** For salts of files; see `wal/format.md`. */
  readonly random: Random
  readonly options: ResolvedOptions
  readonly readOnly: boolean
  /** Where files go that the backend cannot explain; made when it is needed. */
  readonly quarantine: string
  /** Epoch of this opening: rises with every recovery (rule F4). */
  readonly epoch: number
  /**
   * The log holds everything from here on. What is durable only for less is older than the store
   * (rule B1): then nothing may be removed, and the log's recovery refuses. Absent: unknown.
   */
  readonly logFirstSeq?: number
  /** Tells of background work. */
  readonly notify: (event: BackendEvent) => void
}

/** What a backend's background work tells. */
export type BackendEvent =
  | { readonly name: 'compaction'; readonly detail: CompactionSummary }
  | { readonly name: 'compaction-failed'; readonly detail: CompactionFailure }

/** A kind of backend, as the registry knows it. */
export interface BackendKind {
  readonly name: string
  /** Options that fix the format when a store is created; kept in its identity. */
  readonly formatOptions: readonly ('pageBytes' | 'blockBytes')[]
  /** Makes the files of an empty store, durable when it resolves, the directory's entries included. */
  create(context: BackendContext): Promise<Backend>
  open(context: BackendContext): Promise<Backend>
  /**
   * Offline: what is wrong with the files of data that may not open; changes nothing. Absent where
   * opening itself says all that there is to be said.
   */
  inspect?(context: BackendContext, level: VerifyLevel, progress: Progress): Promise<Finding[]>
  /**
   * Offline: reads everything in `source` that proves itself and writes it as a new store of this
   * kind into the context's directory. Never changes the source.
   */
  salvage(source: string, context: BackendContext, progress: Progress): Promise<SalvageReport>
  /**
   * The same, believing the tables alone and not the manifest that lists them; absent where there is
   * no such list.
   */
  rebuildManifest?(
    source: string,
    context: BackendContext,
    progress: Progress
  ): Promise<SalvageReport>
}

export interface SalvageReport {
  readonly entries: number
  readonly pagesRead: number
  readonly pagesKept: number
  /** Everything up to here is in the result, apart from the ranges named. */
  readonly seq: number
  readonly lost: readonly DamagedRange[]
  /** Ranges where an older value or a deleted key may have come back. */
  readonly possiblyStale: readonly DamagedRange[]
  readonly findings: readonly Finding[]
}
