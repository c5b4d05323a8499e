import { assert } from '../base/assert.js'
import { KintsugiError } from '../errors.js'
import { readU64 } from './bytes.js'
import {
  frameBytes,
  FrameField as Field,
  frameHeaderBytes,
  sealBytes,
  segmentCapacity,
  segmentHeaderBytes,
  SegmentLink
} from './format.js'
import {
  FramePlacer,
  type LoneFrame,
  partFlags,
  partFrame,
  sealFrame,
  watermarkFrame
} from './frame-encoder.js'
import { perform, type Procedure, type SegmentFile } from './io-step.js'
import type { LogContext } from './log-context.js'
import { encodeSegmentHeader, type SealedHeader } from './segment-header.js'
import type { BlankSegment, SegmentStock } from './segment-stock.js'
import { type Chunk, type Cursor, Staging } from './staging.js'
import type { LogFloor, LogPosition } from './witness.js'

/** A segment of the log that is open for writing, or about to be. */
export interface OpenSegment {
  readonly header: SealedHeader
  readonly headerBytes: Buffer
  readonly file: SegmentFile
}

/** A segment that belongs to the log. */
export interface LiveSegment {
  readonly number: number
  /** Last complete commit before it. */
  readonly baseSeq: number
  /** Open for writing only while it is the current one. */
  readonly file: SegmentFile
}

/** Bytes in memory that have their place in the current segment and are not written yet. */
interface Run {
  readonly bytes: Buffer
  readonly offset: number
}

/** Everything before it is placed: in memory, and in the log. */
interface Mark {
  readonly chunk: Chunk
  readonly offset: number
  readonly bytes: number
  readonly position: LogPosition
}

/**
 * Moves commits from the queue to the disk. A write goes downward in one pass:
 *
 *   queue --place--> runs --write--> operating system --datasync--> synced
 *
 * `place` gives queued frames their offset, chain value and checksum in the current segment, in
 * memory only. When the next frame does not fit, the segment is sealed and left in the order of rule
 * W3. Frames stay in the queue's memory until they are synced, so after a failure they are simply
 * placed again, in a new segment that voids the rest of the old one (rules F1 to F3).
 *
 * The procedures are generators of I/O steps and run on either path. All state changes between two
 * steps are complete, so the synchronous path can overtake the asynchronous one at any step: it goes
 * on from this state, writing what may be in flight once more at the same place (rule W9).
 */
export class LogWriter {
  readonly #context: LogContext
  readonly #stock: SegmentStock
  readonly #epoch: number
  readonly #placer: FramePlacer
  readonly staging = new Staging()

  #current: OpenSegment | undefined
  /** Offset of the next frame in the current segment. */
  #offset = 0
  /** Ready and waiting for the current segment to be sealed. */
  #successor: OpenSegment | undefined
  #isSealed = false
  /** The segment could not be preallocated: whatever comes needs another one. */
  #isFull = false
  #runs: Run[] = []

  readonly #placed: Cursor
  /** Payload bytes of the frame at `#placed` that stand in earlier segments already. */
  #partBytes = 0
  /** Behind the last complete commit that is placed. */
  #boundary: LogPosition
  #synced: Mark
  /** Set while a voiding segment is being filled and its header not yet written. */
  #unpublished: OpenSegment | undefined
  #segments: LiveSegment[]
  /** Files of left segments, and of void ones; closed or reused once no thread works on them. */
  #closing: SegmentFile[] = []
  #abandoned: SegmentFile[] = []
  /** Void once the next segment is published; until then a crash may have to read them. */
  #held: SegmentFile[] = []
  /** The voiding header may be on disk. */
  #isPublishing = false
  /** Highest number given to a segment; a later one always wins over an earlier one. */
  #lastNumber: number

  /** Why nothing may be written to the current segment any more (rule F1). */
  poison: unknown
  committedSeq: number
  placedSeq: number
  writtenSeq: number
  /** Applied, and perhaps acknowledged, whatever has been written: set by whoever applies. */
  appliedSeq: number
  /** Highest sequence number that a reader of the files might find. */
  #exposedSeq: number
  /** Highest `syncedSeq` that some frame states. */
  statedSeq = 0

  /** How often commits were taken out of the log, and why the last time. */
  discards = 0
  lastDiscardCause: unknown
  /** Why there was no new segment the last time. */
  #refusal: unknown
  /** True while the step in flight is a sync that nothing placed later can disturb. */
  isOnlySyncing = false
  committedBytes = 0
  placedBytes = 0
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
    this.#epoch = epoch
    this.#placer = new FramePlacer(context.checksum)
    this.#segments = segments
    this.#lastNumber = position.segment
    this.#boundary = position
    const chunk = this.staging.tail
    this.#placed = { chunk, offset: 0 }
    this.#synced = { chunk, offset: 0, bytes: 0, position }
    this.committedSeq = position.seq
    this.placedSeq = position.seq
    this.writtenSeq = position.seq
    this.appliedSeq = position.seq
    this.#exposedSeq = position.seq
  }

  get syncedSeq(): number {
    return this.#synced.position.seq
  }

  get syncedPosition(): LogPosition {
    return this.#synced.position
  }

  get epoch(): number {
    return this.#epoch
  }

  get segments(): readonly LiveSegment[] {
    return this.#segments
  }

  get current(): OpenSegment | undefined {
    return this.#current
  }

  get queuedBytes(): number {
    return this.committedBytes - this.placedBytes
  }

  get unsyncedBytes(): number {
    return this.committedBytes - this.#synced.bytes
  }

  get hasUnwrittenRuns(): boolean {
    return this.#runs.length > 0
  }

  /** Goes on in an existing segment, right behind the position the writer was made with. */
  attach(segment: OpenSegment, isAllocated: boolean): void {
    const position = this.#boundary
    this.#current = segment
    this.#isFull = !isAllocated
    this.#offset = position.offset
    this.#placer.begin(segment.header)
    this.#placer.chainLow = position.chainLow
    this.#placer.chainHigh = position.chainHigh
  }

  /** Opens the first segment of a new store. */
  *create(): Procedure<void> {
    const blank = yield* this.#stock.take(0)
    const segment = this.#makeSegment(blank, SegmentLink.first, this.#boundary)
    yield* perform(segment.file.writeAndDatasync(segment.headerBytes, 0))
    this.#enter(segment)
    this.#markSynced(this.#placedMark())
  }

  commit(seq: number, operationCount: number, commitTimeMs: number): void {
    assert(seq === this.committedSeq + 1, 'commits are numbered one by one')
    const { tail } = this.staging
    const before = tail.used
    this.staging.commit(seq, operationCount, commitTimeMs)
    this.#committed(seq, tail, before)
  }

  /** Skips sequence numbers that an opening gave up. */
  commitGap(seq: number): void {
    const { tail } = this.staging
    const before = tail.used
    this.staging.gap(seq, this.#context.clock.now())
    this.#committed(seq, tail, before)
  }

  #committed(seq: number, tailBefore: Chunk, usedBefore: number): void {
    const { tail } = this.staging
    this.committedSeq = seq
    this.committedBytes += tail === tailBefore ? tail.used - usedBefore : tail.used
  }

  /**
   * Writes everything committed so far, and syncs it where `datasync` says so. On an error
   * `committedSeq` tells what is still in the log: later commits were taken out.
   */
  *drain(datasync: boolean): Procedure<void> {
    const goal = this.committedSeq
    const { discards } = this
    this.isOnlySyncing = false
    if (this.poison === undefined) {
      try {
        yield* this.#advance(goal, datasync)
      } catch (error) {
        this.poison = error
      }
    }
    if (this.poison !== undefined) yield* this.reopen(true)
    if (this.discards !== discards) throw this.lastDiscardCause
    // Acknowledged commits stay in the log even when they could not be written now.
    if (this.writtenSeq < goal) throw this.#refusal
  }

  /**
   * Places what fits at once and writes it on this thread. False where that is not possible; `drain`
   * then finishes the work.
   */
  tryWriteSync(): boolean {
    const segment = this.#current
    if (!segment || this.poison !== undefined || this.#isSealed) return false
    if (!this.#place(this.committedSeq)) return false
    this.#exposedSeq = Math.max(this.#exposedSeq, this.placedSeq)
    try {
      for (const run of this.#runs) segment.file.writeSync(run.bytes, run.offset)
    } catch (error) {
      this.poison = error
      return false
    }
    this.#runs.length = 0
    this.writtenSeq = this.placedSeq
    return true
  }

  /** States what is synced in a frame of its own, where that is news and costs no switch. */
  tryWatermark(): boolean {
    const idle =
      this.#current && this.poison === undefined && !this.#isSealed && !this.hasUnwrittenRuns
    if (!idle || this.queuedBytes > 0 || this.statedSeq >= this.syncedSeq) return false
    if (this.#offset + frameHeaderBytes > this.#frameLimit()) return false
    this.#placeLone(watermarkFrame(this.#context.clock.now()))
    if (this.#partBytes === 0) this.#boundary = this.#here()
    return this.tryWriteSync()
  }

  // --- placing: memory only

  /** Places frames up to `goal`; false when the next one needs another segment. */
  #place(goal: number): boolean {
    const placed = this.#placed
    while (this.placedSeq < goal) {
      while (placed.offset === placed.chunk.used && placed.chunk.next) {
        placed.chunk = placed.chunk.next
        placed.offset = 0
      }
      const { chunk } = placed
      const sizeBytes = frameBytes(chunk.view.getUint32(placed.offset + Field.payloadBytes, true))
      if (this.#partBytes > 0 || sizeBytes > segmentCapacity(this.#context.options.segmentBytes)) {
        if (!this.#placePart(sizeBytes)) return false
      } else if (!this.#placeRun(goal)) return false
    }
    return true
  }

  /** Places as many whole frames of one chunk as fit; false when not one does. */
  #placeRun(goal: number): boolean {
    const { chunk } = this.#placed
    const { buffer, view, used } = chunk
    const limit = this.#frameLimit()
    const placer = this.#placer
    const syncedSeq = this.syncedSeq
    const start = this.#placed.offset
    const fileStart = this.#offset
    let offset = start
    let seq = this.placedSeq
    while (offset < used && seq < goal) {
      const sizeBytes = frameBytes(view.getUint32(offset + Field.payloadBytes, true))
      const fileOffset = fileStart + offset - start
      if (fileOffset + sizeBytes > limit) break
      placer.place(buffer, view, offset, sizeBytes, fileOffset, syncedSeq)
      seq = readU64(view, offset + Field.seq)
      offset += sizeBytes
    }
    if (offset === start) return false
    this.#runs.push({ bytes: buffer.subarray(start, offset), offset: fileStart })
    this.#placed.offset = offset
    this.#offset = fileStart + offset - start
    this.placedBytes += offset - start
    this.statedSeq = syncedSeq
    this.placedSeq = seq
    this.#boundary = this.#here()
    return true
  }

  /** Places the next part of a commit larger than a segment; false when this one has no room. */
  #placePart(sizeBytes: number): boolean {
    const { chunk, offset } = this.#placed
    const total = chunk.view.getUint32(offset + Field.payloadBytes, true)
    const room = this.#frameLimit() - this.#offset - frameHeaderBytes
    const isFresh = this.#offset === segmentHeaderBytes
    if (room <= 0 || (!isFresh && this.#partBytes === 0)) return false
    const start = this.#partBytes
    const end = Math.min(total, start + room)
    const flags = partFlags(start === 0, end === total)
    this.#placeLone(partFrame(chunk.buffer, chunk.view, offset, start, end, flags))
    this.#partBytes = end
    if (end < total) return false
    this.#partBytes = 0
    this.#placed.offset = offset + sizeBytes
    this.placedBytes += sizeBytes
    this.placedSeq = readU64(chunk.view, offset + Field.seq)
    this.#boundary = this.#here()
    return true
  }

  #placeLone(frame: LoneFrame): void {
    const { bytes, view } = frame
    this.#placer.place(bytes, view, 0, bytes.length, this.#offset, this.syncedSeq)
    this.#runs.push({ bytes, offset: this.#offset })
    this.#offset += bytes.length
    this.statedSeq = this.syncedSeq
  }

  /** End of what may be filled with frames: the seal's room stays free (rule F7). */
  #frameLimit(): number {
    assert(this.#current !== undefined, 'a segment is open')
    return this.#isFull ? 0 : this.#current.header.sizeBytes - sealBytes
  }

  #here(): LogPosition {
    assert(this.#current !== undefined, 'a segment is open')
    return {
      segment: this.#current.header.number,
      offset: this.#offset,
      chainLow: this.#placer.chainLow,
      chainHigh: this.#placer.chainHigh,
      seq: this.placedSeq
    }
  }

  #placedMark(): Mark {
    const { chunk, offset } = this.#placed
    return { chunk, offset, bytes: this.placedBytes, position: this.#boundary }
  }

  // --- writing

  /**
   * Places and writes everything up to `goal`. Commits that need a new segment when none can be had
   * are discarded.
   */
  *#advance(goal: number, datasync: boolean): Procedure<void> {
    for (;;) {
      if (!this.#isSealed && this.#place(goal)) {
        return yield* this.#writeRuns(datasync)
      }
      if (!this.#isSealed) {
        try {
          yield* this.#prepareSuccessor()
        } catch (refusal) {
          if (this.#unpublished) throw refusal
          // Nothing of the later commits reached a file: they leave without a trace.
          this.#discardBehind(Math.min(this.appliedSeq, this.committedSeq), refusal)
          this.#refusal = refusal
          return yield* this.#writeRuns(datasync)
        }
      }
      yield* this.#leaveSegment()
    }
  }

  *#writeRuns(datasync: boolean): Procedure<void> {
    assert(this.#current !== undefined, 'a segment is open')
    const { file } = this.#current
    const mark = this.#placedMark()
    const runs = this.#runs
    const count = runs.length
    if (!this.#unpublished) this.#exposedSeq = Math.max(this.#exposedSeq, this.placedSeq)
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
    runs.splice(0, count)
    if (this.#unpublished) return
    this.writtenSeq = Math.max(this.writtenSeq, mark.position.seq)
    if (datasync) this.#markSynced(mark)
  }

  #markSynced(mark: Mark): void {
    let { chunk } = this.#synced
    while (chunk !== mark.chunk) {
      this.staging.drained(chunk)
      assert(chunk.next !== undefined, 'chunks lead to the mark')
      chunk = chunk.next
    }
    this.#synced = mark
  }

  // --- switching segments (rule W3)

  /** First half: a successor with a durable name and header. The current segment is untouched. */
  *#prepareSuccessor(): Procedure<void> {
    assert(this.#current !== undefined, 'a segment is open')
    if (!this.#successor) {
      const blank = yield* this.#stock.take(this.#lastNumber)
      const base = this.#partBytes > 0 ? this.placedSeq : this.#boundary.seq
      this.#successor = this.#makeSegment(blank, SegmentLink.sealed, { ...this.#here(), seq: base })
    }
    const { file, headerBytes } = this.#successor
    try {
      yield* perform(file.writeAndDatasync(headerBytes, 0))
    } catch (error) {
      this.#abandoned.push(file)
      this.#successor = undefined
      throw error
    }
    this.#placeLone(sealFrame(this.#successor.header, this.#context.clock.now()))
    this.#isSealed = true
  }

  /** Second half: the seal is synced with all that stands before it, then the successor begins. */
  *#leaveSegment(): Procedure<void> {
    yield* this.#writeRuns(true)
    const { file } = this.#current as OpenSegment
    const next = this.#successor
    assert(next !== undefined, 'a sealed segment has a successor')
    this.#closing.push(file)
    this.#enter(next)
    this.switches++
    if (!this.#unpublished) this.#markSynced(this.#placedMark())
    this.#stock.refill()
  }

  #enter(segment: OpenSegment): void {
    this.#current = segment
    this.#successor = undefined
    this.#isSealed = false
    this.#isFull = false
    this.#offset = segmentHeaderBytes
    this.#placer.begin(segment.header)
    this.#segments.push({
      number: segment.header.number,
      baseSeq: segment.header.baseSeq,
      file: segment.file
    })
    if (this.#partBytes === 0) this.#boundary = this.#here()
  }

  #makeSegment(blank: BlankSegment, link: SegmentLink, prev: LogPosition): OpenSegment {
    assert(blank.number > this.#lastNumber, 'segment numbers rise')
    this.#lastNumber = blank.number
    const salt = new Uint32Array(2)
    this.#context.random.fill(new Uint8Array(salt.buffer))
    const { storeId, checksum, options, clock } = this.#context
    const { bytes, header } = encodeSegmentHeader(
      {
        number: blank.number,
        epoch: this.#epoch,
        saltLow: salt[0],
        saltHigh: salt[1],
        sizeBytes: options.segmentBytes,
        link,
        prevNumber: link === SegmentLink.first ? 0 : prev.segment,
        prevCut: link === SegmentLink.first ? 0 : prev.offset,
        prevChainLow: link === SegmentLink.first ? 0 : prev.chainLow,
        prevChainHigh: link === SegmentLink.first ? 0 : prev.chainHigh,
        baseSeq: prev.seq,
        syncedSeq: this.syncedSeq,
        createdMs: clock.now()
      },
      storeId,
      checksum
    )
    return { header, headerBytes: bytes, file: blank.file }
  }

  // --- poison and recovery (rules F1 to F4)

  /**
   * Opens a new segment that continues the log at the last synced position and voids what lies
   * behind it, with every kept frame written again. Its header comes last: until that is durable the
   * log on disk is what it was before.
   */
  *reopen(announce: boolean): Procedure<void> {
    const from = this.#synced.position
    this.#unplace()
    try {
      const blank = yield* this.#stock.take(this.#lastNumber)
      const head = this.#makeSegment(blank, SegmentLink.voiding, from)
      this.#unpublished = head
      this.#enter(head)
      yield* this.#advance(this.committedSeq, true)
      const mark = this.#placedMark()
      this.#exposedSeq = Math.max(this.#exposedSeq, this.placedSeq)
      this.#isPublishing = true
      yield* perform(head.file.writeAndDatasync(head.headerBytes, 0))
      const { segmentOpened } = this.#context
      if (segmentOpened && announce) {
        const opened = {
          segment: head.header.number,
          epoch: this.#epoch,
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
    this.#abandoned.push(...this.#held.splice(0))
    this.poison = undefined
    this.poisonSwitches++
    this.writtenSeq = mark.position.seq
    this.#exposedSeq = mark.position.seq
    this.#markSynced(mark)
    this.#stock.refill()
  }

  /** Takes every frame behind the synced position back into the queue. */
  #unplace(): void {
    const { chunk, offset, bytes, position } = this.#synced
    this.#placed.chunk = chunk
    this.#placed.offset = offset
    this.placedBytes = bytes
    this.placedSeq = position.seq
    this.#boundary = position
    this.#partBytes = 0
    this.#runs = []
    this.#isSealed = false
    for (const segment of [this.#current, this.#successor]) {
      if (segment) this.#closing.push(segment.file)
    }
    this.#current = undefined
    this.#successor = undefined
    this.#abandonAfter(position.segment)
  }

  /**
   * Segments behind the position leave the log. Those of an attempt that was never published are
   * free at once, so that repeated attempts fit on a full disk; all others are what a crash would
   * have to read until the next publication.
   */
  #abandonAfter(number: number): void {
    const isVoid = (file: SegmentFile) => file.number > number
    const files = new Set(this.#closing.filter(isVoid))
    for (const { file } of this.#segments) if (isVoid(file)) files.add(file)
    this.#closing = this.#closing.filter((file) => !isVoid(file))
    this.#segments = this.#segments.filter(({ file }) => !isVoid(file))
    const target = this.#unpublished && !this.#isPublishing ? this.#abandoned : this.#held
    target.push(...files)
    this.#unpublished = undefined
    this.#isPublishing = false
  }

  /**
   * Takes commits nobody was told about out of the log and says what became of them. What was
   * written or applied stays: a `memory` commit is acknowledged before any file has it.
   */
  #giveUp(cause: unknown): unknown {
    this.#unplace()
    const keptSeq = Math.min(Math.max(this.writtenSeq, this.appliedSeq), this.committedSeq)
    const isExposed = this.#exposedSeq > keptSeq
    const firstSeq = keptSeq + 1
    const lastSeq = this.committedSeq
    const error = isExposed ? this.#unknownOutcome(firstSeq, lastSeq, cause) : cause
    this.#discardBehind(keptSeq, error)
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

  /** Takes the commits out of the log that are neither placed nor numbered up to `keptSeq`. */
  #discardBehind(keptSeq: number, cause: unknown): void {
    let { chunk, offset } = this.#placed
    let seq = this.placedSeq
    let bytes = this.placedBytes
    if (seq >= keptSeq) this.#partBytes = 0
    while (seq < keptSeq) {
      while (offset === chunk.used && chunk.next) {
        chunk = chunk.next
        offset = 0
      }
      const sizeBytes = frameBytes(chunk.view.getUint32(offset + Field.payloadBytes, true))
      seq = readU64(chunk.view, offset + Field.seq)
      bytes += sizeBytes
      offset += sizeBytes
    }
    if (seq < this.committedSeq) {
      this.discards++
      this.lastDiscardCause = cause
    }
    this.staging.discardBehind({ chunk, offset }, seq)
    this.committedSeq = seq
    this.committedBytes = bytes
  }

  // --- files and memory that nobody works on any more; only while no step is in flight

  settle(releasedSeq: number): void {
    for (const file of this.#closing.splice(0)) file.closeSync()
    for (const file of this.#abandoned.splice(0)) this.#stock.putBack({ file })
    this.staging.reclaim(releasedSeq)
    this.#rewindTail(releasedSeq)
  }

  /** An idle log starts again at the front of its memory, which is still in the CPU's cache. */
  #rewindTail(releasedSeq: number): void {
    const { tail } = this.staging
    const { chunk, offset } = this.#synced
    if (chunk !== tail || offset !== tail.used || offset === 0) return
    if (releasedSeq < tail.lastSeq || this.staging.isStaged) return
    tail.used = 0
    this.#placed.chunk = tail
    this.#placed.offset = 0
    this.#synced = { ...this.#synced, offset: 0 }
  }

  /** What the log has to keep when commits up to `seq` are not needed any more. */
  floorFor(seq: number): LogFloor {
    // A failure may still have to continue the log from the synced position.
    const isDispensable = ({ number, baseSeq }: LiveSegment) =>
      baseSeq <= seq && number <= this.syncedPosition.segment
    const last = this.#segments.findLast(isDispensable) ?? this.#segments[0]
    // Segments with the same base may hold the parts of one large commit: its first one counts.
    const { baseSeq } = last
    const first = this.#segments.find((segment) => segment.baseSeq === baseSeq) ?? last
    return { segment: first.number, seq: baseSeq + 1 }
  }

  /** Takes the segments below a floor out of the log. */
  dropBelow(floor: LogFloor): SegmentFile[] {
    const dropped = this.#segments.filter(({ number }) => number < floor.segment)
    this.#segments = this.#segments.filter(({ number }) => number >= floor.segment)
    return dropped.map(({ file }) => file)
  }

  /** Makes the synced position the very end of the log, trailing watermarks included. */
  *finish(): Procedure<LogPosition> {
    yield* this.drain(true)
    if (this.#boundary !== this.#synced.position) yield* this.#writeRuns(true)
    return this.#synced.position
  }

  /** Gives back what the current segment did not use and every spare. Only after `finish`. */
  *trim(): Procedure<void> {
    const { file } = this.#current as OpenSegment
    yield* perform(file.truncate(this.#boundary.offset))
    yield* perform(file.datasync())
    yield* this.#stock.trim()
  }

  closeSync(): void {
    for (const file of this.#closing.splice(0)) file.closeSync()
    for (const file of this.#abandoned.splice(0)) file.closeSync()
    for (const file of this.#held.splice(0)) file.closeSync()
    this.#successor?.file.closeSync()
    this.#current?.file.closeSync()
    this.#current = undefined
    this.#successor = undefined
  }
}
