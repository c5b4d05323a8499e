import { assert } from '../base/assert.js'
import type { Timer } from '../base/clock.js'
import { KintsugiError } from '../errors.js'
import type { FrameQueue } from './frame-queue.js'
import { type Procedure, runAsync, runSync } from './io-step.js'
import type { LogContext } from './log-context.js'
import type { LogWriter } from './log-writer.js'
import type { SegmentStock } from './segment-stock.js'
import type { Staged } from './staging.js'
import type { CleanMark, LogFloor } from './witness.js'

/**
 * Groups up to this size that need no sync are written on the event loop. Measured here: a write on
 * the loop takes 5 µs for 128 bytes, 10 µs for 64 KiB, 18 µs for 256 KiB and 58 µs for 1 MiB; a trip
 * to the thread pool takes 45 µs for small writes, 60 µs and 135 µs for the last two.
 */
const loopWriteBytes = 256 * 1024

/** What waits for the operation in flight; one for everybody who asks meanwhile. */
class PendingDrain {
  datasync = false
  readonly settled: Promise<void>
  resolve!: () => void
  reject!: (error: unknown) => void

  /** `discards`: how often commits had been taken out of the log when the waiting began. */
  constructor(readonly discards: number) {
    this.settled = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }
}

/**
 * The write-ahead log, as the commit queue uses it:
 *
 * ```
 * const room = log.stage(bytes)           // encode the payload into room.buffer[room.start, room.end)
 * log.commit(seq, operationCount, timeMs) // queued, in memory
 * await log.sync()                        // written and synced; or write(): handed to the system
 * // apply from room.buffer, then
 * log.release(seq)
 * ```
 *
 * A payload's memory keeps its bytes until `release` was called with its sequence number or a later
 * one, however long that takes; bytes not released are never reused.
 *
 * When `write` or `sync` fails, `committedSeq` says what is still in the log: commits up to it will
 * be written again by the next call and have to be applied; later ones were taken out and their
 * numbers are free again. The error says whether taken-out commits may reappear after a crash
 * (OUTCOME_UNKNOWN) or never reached a file (DISK_FULL, IO and the like). Acknowledged commits
 * are never taken out.
 */
export class Log {
  readonly #context: LogContext
  readonly #writer: LogWriter
  readonly #queue: FrameQueue
  readonly #stock: SegmentStock
  #releasedSeq: number

  /** The asynchronous operation in flight; settles without ever rejecting. */
  #running: Promise<void> | undefined
  #pending: PendingDrain | undefined
  /** Rises when the synchronous path overtakes; an operation of an older turn changes nothing. */
  #turn = 0
  #runningSync = false
  /** The operation in flight was overtaken: nothing depends on its outcome any more. */
  #wasTurned = false
  /** How the overtaking went wrong. */
  #turnFailure: { readonly error: unknown } | undefined

  #watermarkTimer: Timer | undefined
  #wasBusy = false
  #isClosed = false

  constructor(context: LogContext, writer: LogWriter, stock: SegmentStock) {
    this.#context = context
    this.#writer = writer
    this.#queue = writer.queue
    this.#stock = stock
    this.#releasedSeq = writer.queue.committedSeq
    stock.refill()
  }

  /** Highest sequence number in the log, queued ones included. */
  get committedSeq(): number {
    return this.#queue.committedSeq
  }

  /** Handed to the operating system: survives the process. */
  get writtenSeq(): number {
    return this.#writer.writtenSeq
  }

  /** Survives power loss. */
  get syncedSeq(): number {
    return this.#queue.syncedSeq
  }

  /** Bytes of frames that no sync covers yet. */
  get unsyncedBytes(): number {
    return this.#queue.unsyncedBytes
  }

  /** Bytes of frames since opening. */
  get committedBytes(): number {
    return this.#queue.committedBytes
  }

  /** Why writing is impossible at the moment; the next write or sync tries again. */
  get poison(): unknown {
    return this.#writer.poison
  }

  get epoch(): number {
    return this.#writer.epoch
  }

  /** Room for one payload. Encode and `commit` (or `unstage`) in the same turn of the event loop. */
  stage(payloadBytes: number): Staged {
    this.#checkOpen()
    return this.#queue.staging.stage(payloadBytes)
  }

  commit(seq: number, operationCount: number, commitTimeMs: number): void {
    this.#queue.commit(seq, operationCount, commitTimeMs)
    this.#wasBusy = true
  }

  unstage(): void {
    this.#queue.staging.unstage()
  }

  /** The payloads up to `seq` are applied: their memory may be reused once they are synced. */
  release(seq: number): void {
    this.#releasedSeq = seq
    this.#queue.appliedSeq = seq
    if (!this.#running) this.#writer.settle(seq)
  }

  /**
   * Hands everything committed so far to the operating system. Returns undefined when that is done
   * already, which is the usual case for a small group.
   */
  write(): Promise<void> | undefined {
    this.#checkOpen()
    const writer = this.#writer
    const queue = this.#queue
    if (writer.writtenSeq === queue.committedSeq && writer.poison === undefined) return undefined
    if (!this.#writeOnLoop()) return this.#request(this.#mustSync())
    const { maxUnsyncedBytes, segmentBytes } = this.#context.options
    if (queue.unsyncedBytes >= maxUnsyncedBytes) return this.#request(true)
    // Early enough that neither the bound nor the end of the segment has much left to wait for.
    const early = Math.min(maxUnsyncedBytes / 2, segmentBytes / 4)
    if (queue.unsyncedBytes >= early && !this.#running) {
      // In the background; a failure stays visible in `poison` and the next call deals with it.
      this.#request(true).catch(() => undefined)
    }
    return undefined
  }

  writeSync(): void {
    this.#checkOpen()
    const writer = this.#writer
    if (writer.writtenSeq === this.#queue.committedSeq && writer.poison === undefined) return
    if (this.#mustSync()) this.syncSync()
    else if (!this.#writeOnLoop()) this.#overtake(false)
  }

  /** Makes everything committed so far survive power loss. */
  sync(): Promise<void> {
    this.#checkOpen()
    return this.#needsSync() ? this.#request(true) : Promise.resolve()
  }

  /** The same without giving the event loop back; overtakes a group in flight (rule W9). */
  syncSync(): void {
    this.#checkOpen()
    if (this.#needsSync()) this.#overtake(true)
  }

  /** What STORE has to state before `retire` may be called for commits up to `seq` (rule B1). */
  floorFor(seq: number): LogFloor {
    const { syncedSeq, syncedPosition } = this.#queue
    return this.#writer.segments.floorFor(Math.min(seq, syncedSeq), syncedPosition.segment)
  }

  /** Gives up the segments below a floor that STORE states durably. */
  async retire(floor: LogFloor): Promise<void> {
    while (this.#running) await this.#running
    this.#writer.settle(this.#releasedSeq)
    await this.#stock.retire(this.#writer.segments.dropBelow(floor).map(({ path }) => path))
  }

  /** Live segments, oldest first. */
  segments(): { number: number; path: string; baseSeq: number }[] {
    return this.#writer.segments.live.map(({ number, baseSeq, file }) => ({
      number,
      path: file.path,
      baseSeq
    }))
  }

  stats(): Record<string, number> {
    const writer = this.#writer
    const queue = this.#queue
    return {
      committedSeq: queue.committedSeq,
      writtenSeq: writer.writtenSeq,
      syncedSeq: queue.syncedSeq,
      epoch: writer.epoch,
      committedBytes: queue.committedBytes,
      unsyncedBytes: queue.unsyncedBytes,
      segments: writer.segments.live.length,
      spares: this.#stock.spareCount,
      switches: writer.switches,
      poisonSwitches: writer.poisonSwitches
    }
  }

  /**
   * Ends the log. `clean` syncs everything, gives back spare files and returns the mark for STORE;
   * without it nothing is written any more. Closing twice is allowed.
   */
  async close(options: {
    readonly clean: boolean
    /** States the mark durably; only then the last segment gives back what it did not use. */
    readonly stated?: (mark: CleanMark) => Promise<void>
  }): Promise<CleanMark | undefined> {
    if (this.#isClosed) return undefined
    this.#isClosed = true
    this.#watermarkTimer?.cancel()
    try {
      while (this.#running) await this.#running
      if (!options.clean) return undefined
      let mark: CleanMark | undefined
      await this.#run(
        this.#finish((done) => (mark = done)),
        true
      )
      await this.#stock.close()
      if (mark && options.stated) {
        await options.stated(mark)
        // Without the mark a segment that is shorter than it was made would be damage.
        await runAsync(this.#writer.trim())
      }
      return mark
    } finally {
      await this.#stock.close()
      this.#writer.closeSync()
    }
  }

  *#finish(done: (mark: CleanMark) => void): Procedure<void> {
    const position = yield* this.#writer.finish()
    done({ ...position, epoch: this.#writer.epoch })
  }

  // --- the two paths

  #writeOnLoop(): boolean {
    const writer = this.#writer
    const queue = this.#queue
    const isFree = !this.#running || this.#wasTurned || writer.isOnlySyncing
    if (!isFree || queue.hasUnwrittenRuns) return false
    if (queue.queuedBytes > loopWriteBytes || !writer.tryWriteSync()) return false
    this.#afterGroup()
    return true
  }

  #needsSync(): boolean {
    const { syncedSeq, committedSeq } = this.#queue
    return syncedSeq < committedSeq || this.#writer.poison !== undefined
  }

  #mustSync(): boolean {
    return this.#queue.unsyncedBytes >= this.#context.options.maxUnsyncedBytes
  }

  /** Queues an operation behind the one in flight; waiting requests become one. */
  #request(datasync: boolean): Promise<void> {
    if (!this.#running) return this.#run(this.#writer.drain(datasync), datasync)
    this.#pending ??= new PendingDrain(this.#queue.discards)
    this.#pending.datasync ||= datasync
    return this.#pending.settled
  }

  /**
   * At once when the operation before has settled: its callers, who are told next, may ask for more,
   * and must find this one in flight.
   */
  #startPending(): void {
    const pending = this.#pending
    if (!pending) return
    this.#pending = undefined
    const { datasync, discards } = pending
    if (this.#queue.discards === discards) {
      this.#run(this.#writer.drain(datasync), datasync).then(pending.resolve, pending.reject)
    } else {
      // The operation before failed and took the commits that waited here out of the log with it.
      pending.reject(this.#queue.lastDiscardCause)
    }
  }

  #run(procedure: Procedure<void>, datasync: boolean): Promise<void> {
    assert(this.#running === undefined, 'one group is in flight')
    this.#runningSync = datasync
    const operation = this.#drive(procedure)
    const settled = () => {
      this.#running = undefined
      this.#wasTurned = false
      this.#turnFailure = undefined
      this.#afterGroup()
      this.#startPending()
    }
    this.#running = operation.then(settled, settled)
    // Whoever waits for `#running` continues after this operation's own callers were told.
    return operation
  }

  async #drive(procedure: Procedure<void>): Promise<void> {
    const turn = this.#turn
    let next = procedure.next()
    while (!next.done) {
      const step = next.value
      let result: unknown
      let failure: { readonly error: unknown } | undefined
      try {
        result = await step.async()
      } catch (error) {
        failure = { error }
      }
      if (turn !== this.#turn) return this.#wasOvertaken(failure)
      next = failure ? procedure.throw(failure.error) : procedure.next(result)
    }
  }

  /** Ends an operation whose work the synchronous path has done, or tried to do. */
  #wasOvertaken(late: { readonly error: unknown } | undefined): void {
    // Even a late error is believed: the segment is left before anything more goes into it (F1).
    if (late) this.#writer.poison ??= late.error
    if (this.#turnFailure) throw this.#turnFailure.error
  }

  /** Runs on this thread; takes over what an operation in flight was to achieve (rule W9). */
  #overtake(datasync: boolean): void {
    const isTurn = this.#running !== undefined && !this.#wasTurned
    if (isTurn) {
      this.#turn++
      this.#wasTurned = true
    }
    try {
      runSync(this.#writer.drain(datasync || (isTurn && this.#runningSync)))
    } catch (error) {
      if (isTurn) this.#turnFailure = { error }
      throw error
    } finally {
      this.#afterGroup()
    }
  }

  #afterGroup(): void {
    if (!this.#running) this.#writer.settle(this.#releasedSeq)
    this.#scheduleWatermark()
  }

  // --- the watermark (rule W7)

  #scheduleWatermark(): void {
    const { options, clock } = this.#context
    if (this.#watermarkTimer || this.#isClosed || options.watermarkDelayMs === 0) return
    this.#wasBusy = false
    this.#watermarkTimer = clock.after(options.watermarkDelayMs, () => this.#whenIdle())
  }

  #whenIdle(): void {
    this.#watermarkTimer = undefined
    if (this.#isClosed) return
    if (this.#running || this.#wasBusy) this.#scheduleWatermark()
    else this.#writer.tryWatermark()
  }

  #checkOpen(): void {
    if (this.#isClosed) {
      throw new KintsugiError('KINTSUGI_NOT_OPEN', 'the log is closed')
    }
  }
}
