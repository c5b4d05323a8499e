import { assert } from '../base/assert.js'
import { KintsugiError } from '../errors.js'
import { SegmentLink } from './format.js'
import { FrameQueue, type Mark } from './frame-queue.js'
import { perform, type Procedure } from './io-step.js'
import type { LogContext } from './log-context.js'
import type { SegmentFile } from './segment-file.js'
import { type LiveSegment, SegmentList } from './segment-list.js'
import { type OpenSegment, SegmentMaker } from './segment-maker.js'
import type { SegmentStock } from './segment-stock.js'
import type { LogPosition } from './witness.js'

/**
 * Moves commits from the queue to the disk. A write goes downward in one pass:
 *
 *   queue --place--> runs --write--> operating system --datasync--> synced
 *
 * The queue places frames in the current segment, in memory only. When the next frame does not fit,
 * the segment is sealed and left in the order of rule W3. Frames stay in the queue until they are
 * synced, so after a failure they are simply placed again, in a new segment that voids the rest of
 * the old one (rules F1 to F3).
 *
 * The procedures are generators of I/O steps and run on either path. All state changes between two
 * steps are complete, so the synchronous path can overtake the asynchronous one at any step: it goes
 * on from this state, writing what may be in flight once more at the same place (rule W9).
 */
export class LogWriter {
  readonly #context: LogContext
  readonly #stock: SegmentStock
  readonly #maker: SegmentMaker
  readonly queue: FrameQueue
  readonly segments: SegmentList

  /** The file of the segment that the queue places frames in. */
  #file: SegmentFile | undefined
  /** Ready and waiting for the current segment to be sealed. */
  #successor: OpenSegment | undefined
  #isSealed = false
  /** Set while a voiding segment is being filled and its header not yet written. */
  #unpublished: OpenSegment | undefined
  /** The voiding header may be on disk. */
  #isPublishing = false

  /** Why nothing may be written to the current segment any more (rule F1). */
  poison: unknown
  writtenSeq: number
  /** Highest sequence number that a reader of the files might find. */
  #exposedSeq: number
  /** Why there was no new segment the last time. */
  #refusal: unknown
  /** True while the step in flight is a sync that nothing placed later can disturb. */
  isOnlySyncing = false
  switches = 0
  poisonSwitches = 0

  /** A writer that goes on behind `position`; until `attach` or `reopen` there is no segment. */
  constructor(
    context: LogContext,
    stock: SegmentStock,
    epoch: number,
    position: LogPosition,
    segments: LiveSegment[]
  ) {
    this.#context = context
    this.#stock = stock
    this.#maker = new SegmentMaker(context, epoch, position.segment)
    this.queue = new FrameQueue(context, position)
    this.segments = new SegmentList(segments)
    this.writtenSeq = position.seq
    this.#exposedSeq = position.seq
  }

  get epoch(): number {
    return this.#maker.epoch
  }

  /** Goes on in an existing segment, right behind the position the writer was made with. */
  attach(segment: OpenSegment): void {
    this.#file = segment.file
    this.queue.resume(segment.header)
  }

  /** Opens the first segment of a new store. */
  *create(): Procedure<void> {
    const blank = yield* this.#stock.take(0)
    const { boundary, syncedSeq } = this.queue
    const segment = this.#maker.make(blank, SegmentLink.first, boundary, syncedSeq)
    yield* this.#writeHeader(segment)
    this.#enter(segment)
    this.queue.markSynced(this.queue.placedMark())
  }

  /**
   * Writes everything committed so far, and syncs it where `datasync` says so. On an error
   * the queue's `committedSeq` tells what is still in the log: later commits were taken out.
   */
  *drain(datasync: boolean): Procedure<void> {
    const { committedSeq: goal, discards } = this.queue
    this.isOnlySyncing = false
    if (this.poison === undefined) {
      try {
        yield* this.#advance(goal, datasync)
      } catch (error) {
        this.poison = error
      }
    }
    if (this.poison !== undefined) yield* this.reopen(true)
    if (this.queue.discards !== discards) throw this.queue.lastDiscardCause
    // Acknowledged commits stay in the log even when they could not be written now.
    if (this.writtenSeq < goal) throw this.#refusal
  }

  /**
   * Places what fits at once and writes it on this thread. False where that is not possible; `drain`
   * then finishes the work.
   */
  tryWriteSync(): boolean {
    const { queue } = this
    const file = this.#file
    if (!file || this.poison !== undefined || this.#isSealed) return false
    if (!queue.place(queue.committedSeq)) return false
    this.#exposedSeq = Math.max(this.#exposedSeq, queue.placedSeq)
    try {
      for (const run of queue.runs) file.writeSync(run.bytes, run.offset)
    } catch (error) {
      this.poison = error
      return false
    }
    queue.removeRuns(queue.runs.length)
    this.writtenSeq = queue.placedSeq
    return true
  }

  /** States what is synced in a frame of its own, where that is news and costs no switch. */
  tryWatermark(): boolean {
    const { queue } = this
    const idle =
      this.#file && this.poison === undefined && !this.#isSealed && !queue.hasUnwrittenRuns
    return idle && queue.placeWatermark() ? this.tryWriteSync() : false
  }

  // --- writing

  /**
   * Places and writes everything up to `goal`. Commits that need a new segment when none can be had
   * are discarded.
   */
  *#advance(goal: number, datasync: boolean): Procedure<void> {
    for (;;) {
      if (!this.#isSealed && this.queue.place(goal)) {
        return yield* this.#writeRuns(datasync)
      }
      if (!this.#isSealed) {
        try {
          yield* this.#prepareSuccessor()
        } catch (refusal) {
          if (this.#unpublished) throw refusal
          // Nothing of the later commits reached a file: they leave without a trace.
          const { appliedSeq, committedSeq } = this.queue
          this.queue.discardBehind(Math.min(appliedSeq, committedSeq), refusal)
          this.#refusal = refusal
          return yield* this.#writeRuns(datasync)
        }
      }
      yield* this.#leaveSegment()
    }
  }

  *#writeRuns(datasync: boolean): Procedure<void> {
    const { queue } = this
    const file = this.#openFile()
    const mark = queue.placedMark()
    const { runs } = queue
    const count = runs.length
    if (!this.#unpublished) this.#exposedSeq = Math.max(this.#exposedSeq, queue.placedSeq)
    for (let i = 0; i < count; i++) {
      const { bytes, offset } = runs[i]
      const isLast = i === count - 1
      yield* perform(
        isLast && datasync ? file.writeAndDatasync(bytes, offset) : file.write(bytes, offset)
      )
    }
    if (datasync && count === 0) {
      this.isOnlySyncing = !this.#isSealed && !this.#unpublished
      yield* perform(file.datasync())
      this.isOnlySyncing = false
    }
    queue.removeRuns(count)
    if (this.#unpublished) return
    this.writtenSeq = Math.max(this.writtenSeq, mark.position.seq)
    if (datasync) queue.markSynced(mark)
  }

  #openFile(): SegmentFile {
    assert(this.#file !== undefined, 'a segment is open')
    return this.#file
  }

  // --- switching segments (rule W3)

  /** First half: a successor with a durable name and header. The current segment is untouched. */
  *#prepareSuccessor(): Procedure<void> {
    const { queue } = this
    if (!this.#successor) {
      const blank = yield* this.#stock.take(this.#maker.lastNumber)
      const end = queue.segmentEnd()
      this.#successor = this.#maker.make(blank, SegmentLink.sealed, end, queue.syncedSeq)
    }
    try {
      yield* this.#writeHeader(this.#successor)
    } catch (error) {
      this.#successor = undefined
      throw error
    }
    queue.placeSeal(this.#successor.header)
    this.#isSealed = true
  }

  *#writeHeader({ file, headerBytes }: OpenSegment): Procedure<void> {
    try {
      yield* perform(file.writeAndDatasync(headerBytes, 0))
    } catch (error) {
      this.segments.abandon(file)
      throw error
    }
  }

  /** Second half: the seal is synced with all that stands before it, then the successor begins. */
  *#leaveSegment(): Procedure<void> {
    yield* this.#writeRuns(true)
    const next = this.#successor
    assert(next !== undefined, 'a sealed segment has a successor')
    this.segments.leave(this.#openFile())
    this.#enter(next)
    this.switches++
    if (!this.#unpublished) this.queue.markSynced(this.queue.placedMark())
    this.#stock.refill()
  }

  #enter(segment: OpenSegment): void {
    this.#file = segment.file
    this.#successor = undefined
    this.#isSealed = false
    this.segments.add(segment)
    this.queue.begin(segment.header)
  }

  // --- poison and recovery (rules F1 to F4)

  /**
   * Opens a new segment that continues the log at the last synced position and voids what lies
   * behind it, with every kept frame written again. Its header comes last: until that is durable the
   * log on disk is what it was before.
   */
  *reopen(announce: boolean): Procedure<void> {
    this.#stock.distrustSpares()
    const { queue } = this
    this.#unplace()
    try {
      const blank = yield* this.#stock.take(this.#maker.lastNumber)
      const { syncedPosition: from, syncedSeq } = queue
      const head = this.#maker.make(blank, SegmentLink.voiding, from, syncedSeq)
      this.#unpublished = head
      this.#enter(head)
      yield* this.#advance(queue.committedSeq, true)
      const mark = queue.placedMark()
      this.#exposedSeq = Math.max(this.#exposedSeq, queue.placedSeq)
      this.#isPublishing = true
      yield* perform(head.file.writeAndDatasync(head.headerBytes, 0))
      const { segmentOpened } = this.#context
      if (segmentOpened && announce) {
        const opened = {
          segment: head.header.number,
          epoch: this.epoch,
          syncedSeq: mark.position.seq
        }
        yield* perform({
          async: () => segmentOpened.async(opened),
          sync: () => segmentOpened.sync(opened)
        })
      }
      this.#published(mark)
    } catch (error) {
      this.poison ??= error
      throw this.#giveUp(error)
    }
  }

  #published(mark: Mark): void {
    this.#unpublished = undefined
    this.#isPublishing = false
    this.segments.published()
    this.poison = undefined
    this.poisonSwitches++
    this.writtenSeq = mark.position.seq
    this.#exposedSeq = mark.position.seq
    this.queue.markSynced(mark)
    this.#stock.refill()
  }

  /** Takes every frame behind the synced position back into the queue and leaves its segment. */
  #unplace(): void {
    this.queue.unplace()
    this.#isSealed = false
    if (this.#file) this.segments.leave(this.#file)
    if (this.#successor) this.segments.leave(this.#successor.file)
    this.#file = undefined
    this.#successor = undefined
    const wasNeverPublished = this.#unpublished !== undefined && !this.#isPublishing
    this.segments.voidAfter(this.queue.syncedPosition.segment, wasNeverPublished)
    this.#unpublished = undefined
    this.#isPublishing = false
  }

  /**
   * Takes commits nobody was told about out of the log and says what became of them. What was
   * written or applied stays: a `memory` commit is acknowledged before any file has it.
   */
  #giveUp(cause: unknown): unknown {
    this.#unplace()
    const { appliedSeq, committedSeq } = this.queue
    const keptSeq = Math.min(Math.max(this.writtenSeq, appliedSeq), committedSeq)
    const isExposed = this.#exposedSeq > keptSeq
    const firstSeq = keptSeq + 1
    const error = isExposed ? this.#unknownOutcome(firstSeq, committedSeq, cause) : cause
    this.queue.discardBehind(keptSeq, error)
    this.#exposedSeq = Math.min(this.#exposedSeq, keptSeq)
    return error
  }

  #unknownOutcome(firstSeq: number, lastSeq: number, cause: unknown): KintsugiError {
    return new KintsugiError(
      'KINTSUGI_OUTCOME_UNKNOWN',
      `commits ${firstSeq} to ${lastSeq} could be written neither to the log nor again to a new ` +
        'segment; whether they survive shows when the store is opened again',
      { firstSeq, lastSeq, path: this.#context.directory },
      cause
    )
  }

  // --- files and memory that nobody works on any more; only while no step is in flight

  settle(releasedSeq: number): void {
    this.segments.settle(this.#stock)
    this.queue.reclaim(releasedSeq)
  }

  /** Makes the synced position the very end of the log, trailing watermarks included. */
  *finish(): Procedure<LogPosition> {
    yield* this.drain(true)
    if (this.queue.boundary !== this.queue.syncedPosition) yield* this.#writeRuns(true)
    return this.queue.syncedPosition
  }

  /** Gives back what the current segment did not use and every spare. Only after `finish`. */
  *trim(): Procedure<void> {
    const file = this.#openFile()
    const { segment, offset } = this.queue.boundary
    assert(segment === file.number, 'the log ends in its last segment')
    yield* perform(file.truncate(offset))
    yield* perform(file.datasync())
    yield* this.#stock.trim()
  }

  closeSync(): void {
    this.segments.closeSync()
    this.#successor?.file.closeSync()
    this.#file?.closeSync()
    this.#file = undefined
    this.#successor = undefined
  }
}
