import { KintsugiError } from '../errors.js'
import type { WalRecoveryMode } from '../options.js'
import type { FrameQueue } from './frame-queue.js'
import { runAsync } from './io-step.js'
import { Log } from './log.js'
import type { LogContext } from './log-context.js'
import { type CommitSink, LogWalk } from './log-walk.js'
import { LogWriter } from './log-writer.js'
import { CommitFlags, FrameKind } from './format.js'
import { SegmentDirectory, type SegmentEntry } from './segment-directory.js'
import { SegmentFile } from './segment-file.js'
import { encodeSegmentHeader, type SealedHeader } from './segment-header.js'
import type { LiveSegment } from './segment-list.js'
import { SegmentReader } from './segment-reader.js'
import { SegmentStock } from './segment-stock.js'
import type { CleanMark, LogWitness, RecoveryReport } from './witness.js'

export interface RecoveryInput {
  readonly witness: LogWitness
  readonly mode: WalRecoveryMode
  /** Replays in memory and writes nothing (rule S5). */
  readonly readOnly: boolean
  /** Gets every commit above the backend's `durableSeq`, in order. */
  readonly sink: CommitSink
  /** Called when it has got all of them, before anything is written. */
  readonly ended?: () => Promise<void>
}

export interface RecoveredLog {
  /** Undefined when opened read-only. */
  readonly log: Log | undefined
  readonly report: RecoveryReport
  /** What STORE has to state before the first acknowledgement (rule S2). */
  readonly opened: {
    readonly segment: number
    readonly epoch: number
    readonly syncedSeq: number
    /** Of the close before, if it was clean: says that its segment may be short. */
    readonly cleanMark: CleanMark | undefined
  }
}

/** Makes the log of a new store: one empty segment, durable with its name. */
export async function createLog(context: LogContext): Promise<Log> {
  const { vfs, directory, options } = context
  const stock = new SegmentStock(vfs, directory, options.segmentBytes, 1, [])
  const nowhere = { segment: 0, offset: 0, chainLow: 0, chainHigh: 0, seq: 0 }
  const writer = new LogWriter(context, stock, 1, nowhere, [])
  try {
    await runAsync(writer.create())
  } catch (error) {
    writer.closeSync()
    await stock.close()
    throw error
  }
  return new Log(context, writer, stock)
}

/**
 * Opens the log of an existing store: replays it and makes what was replayed durable in a new
 * segment before anything is served (rule F4). After a clean close it goes on where it ended.
 */
export async function recoverLog(context: LogContext, input: RecoveryInput): Promise<RecoveredLog> {
  const startedMs = context.clock.now()
  const { witness, mode } = input
  const directory = await SegmentDirectory.read(context)
  const walk = new LogWalk(context, directory, witness, mode, input.sink)
  await walk.run()
  await input.ended?.()
  const clean = isAtCleanMark(walk, witness)
  const epoch = Math.max(directory.highestEpoch, witness.epoch, witness.cleanMark?.epoch ?? 0) + 1
  const report = (framesRewritten: number, lastSeq: number): RecoveryReport => ({
    mode,
    clean,
    lastSeq,
    provenSeq: walk.provenSeq,
    bytesRead: walk.bytesRead,
    commitsReplayed: walk.commitsDelivered,
    commitsSkipped: walk.commitsSkipped,
    commitsAbandoned: walk.commitsAbandoned,
    framesRewritten,
    dropped: walk.dropped,
    findings: walk.findings,
    durationMs: context.clock.now() - startedMs
  })
  if (input.readOnly) {
    const { segment } = walk.end
    const { cleanMark } = witness
    const opened = { segment, epoch: epoch - 1, syncedSeq: walk.provenSeq, cleanMark }
    return { log: undefined, report: report(0, walk.lastSeq), opened }
  }
  const stock = makeStock(context, directory, witness.floor.segment)
  const live = walk.chain.map(liveSegment)
  const from = clean ? walk.end : walk.proven
  const writer = new LogWriter(context, stock, epoch, from, live)
  try {
    if (clean) await attachLast(context, writer, walk)
    else await rewrite(context, writer, walk)
    writer.settle(writer.queue.committedSeq)
    await stock.retire(unreached(directory, walk, witness.floor.segment))
    await stock.limitSpares()
  } catch (error) {
    await stock.close()
    writer.closeSync()
    throw isUnknownOutcome(error) ? error.cause : error
  }
  const log = new Log(context, writer, stock)
  const segment = writer.segments.live.at(-1)?.number ?? 0
  const cleanMark = clean ? witness.cleanMark : undefined
  const opened = { segment, epoch, syncedSeq: writer.queue.syncedSeq, cleanMark }
  return { log, report: report(walk.unproven.length, writer.queue.committedSeq), opened }
}

function isUnknownOutcome(error: unknown): error is KintsugiError {
  return error instanceof KintsugiError && error.code === 'KINTSUGI_OUTCOME_UNKNOWN'
}

/** The log ends exactly where the last clean close left it, and the mark lets nothing behind it. */
function isAtCleanMark(walk: LogWalk, { cleanMark, durableSeq, syncedSeq }: LogWitness): boolean {
  if (!cleanMark || !walk.isCleanEnd) return false
  const { end } = walk
  return (
    end.segment === cleanMark.segment &&
    end.offset === cleanMark.offset &&
    end.chainLow === cleanMark.chainLow &&
    end.chainHigh === cleanMark.chainHigh &&
    walk.lastSeq === cleanMark.seq &&
    Math.max(durableSeq, syncedSeq) <= walk.lastSeq
  )
}

/**
 * Files that cannot be part of any log may be reused at once. A segment that merely is not reached
 * may be what the next crash would have to read: the one that replaced it is not proven durable.
 * Nothing is believed of their contents or size: a clean close leaves no spares, so they are of a
 * process that died, perhaps after a sync of theirs had failed (rule F1).
 */
function makeStock(context: LogContext, directory: SegmentDirectory, floor: number): SegmentStock {
  const spares = directory.entries.filter(({ number, header }) => !header || number < floor)
  return new SegmentStock(
    context.vfs,
    context.directory,
    context.options.segmentBytes,
    directory.highestNumber + 1,
    spares.map(({ path }) => path),
    true
  )
}

/** Segments that nothing leads to: spares as soon as this opening's own segment is durable. */
function unreached(directory: SegmentDirectory, walk: LogWalk, floor: number): string[] {
  const inLog = new Set(walk.chain.map(({ number }) => number))
  return directory.entries
    .filter(({ number, header }) => header && number >= floor && !inLog.has(number))
    .map(({ path }) => path)
}

function liveSegment({ number, path, header }: SegmentEntry): LiveSegment {
  return {
    number,
    baseSeq: (header as SealedHeader).baseSeq,
    file: new SegmentFile(number, path)
  }
}

/**
 * Goes on behind a segment that a clean close cut to what it held. It takes nothing but its seal any
 * more: made whole again it could lose its new size in a crash, and would look as if it had lost
 * commits.
 */
async function attachLast(context: LogContext, writer: LogWriter, walk: LogWalk): Promise<void> {
  const { vfs, storeId, checksum } = context
  const { number, path, header } = walk.chain[walk.chain.length - 1]
  const file = new SegmentFile(
    number,
    path,
    await vfs.open(path, 'readwrite'),
    await vfs.open(path, 'readwrite')
  )
  const { bytes } = encodeSegmentHeader(header as SealedHeader, storeId, checksum)
  writer.attach({ header: header as SealedHeader, headerBytes: bytes, file })
}

/** Writes everything behind the last proven-synced frame into a new segment (rule F4). */
async function rewrite(context: LogContext, writer: LogWriter, walk: LogWalk): Promise<void> {
  const { queue } = writer
  await restage(context, queue, walk)
  // Numbers that some witness knows are never given out a second time (rule W1).
  const highest = Math.max(walk.lastSeq, walk.provenSeq)
  if (highest > queue.committedSeq) queue.commitGap(highest)
  await runAsync(writer.reopen(false))
}

/** Reads the unproven frames once more and queues them as they were committed. */
async function restage(context: LogContext, queue: FrameQueue, walk: LogWalk): Promise<void> {
  const { unproven } = walk
  let parts: Buffer[] = []
  for (let index = 0; index < unproven.length;) {
    const segment = walk.chain.find(({ number }) => number === unproven.get(index).segment)
    const { path, number, header } = segment as SegmentEntry
    const file = await context.vfs.open(path, 'read')
    try {
      const reader = new SegmentReader(file, header as SealedHeader, context.checksum)
      for (; index < unproven.length; index++) {
        const { segment: at, offset, chainLow, chainHigh } = unproven.get(index)
        if (at !== number) break
        if (!reader.isLoaded(offset)) await reader.load(offset)
        const isSame =
          reader.parse(offset) &&
          reader.checksumLow === chainLow &&
          reader.checksumHigh === chainHigh
        if (!isSame) throw changedMeanwhile(path, offset)
        parts = restageFrame(queue, reader, parts)
      }
    } finally {
      await file.close()
    }
  }
}

function restageFrame(queue: FrameQueue, reader: SegmentReader, parts: Buffer[]): Buffer[] {
  const { kind, flags, seq, operationCount, commitTimeMs } = reader
  if (kind === FrameKind.gap) {
    queue.commitGap(seq)
    return parts
  }
  const payload = reader.buffer.subarray(reader.payloadStart, reader.payloadEnd)
  if (flags & CommitFlags.continues) return [...parts, Buffer.from(payload)]
  if (seq > queue.committedSeq + 1) queue.commitGap(seq - 1)
  const bytes = parts.reduce((sum, part) => sum + part.length, payload.length)
  const room = queue.staging.stage(bytes)
  let at = room.start
  for (const part of parts) at += part.copy(room.buffer, at)
  payload.copy(room.buffer, at)
  queue.commit(seq, operationCount, commitTimeMs)
  return []
}

function changedMeanwhile(path: string, offset: number): KintsugiError {
  return new KintsugiError(
    'KINTSUGI_IO',
    `${path} changed between two reads at offset ${offset}: check the device before going on`,
    { path, offset }
  )
}
