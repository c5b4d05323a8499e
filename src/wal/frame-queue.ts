import { assert } from '../base/assert.js'
import { readU64 } from './bytes.js'
import {
  frameBytes,
  FrameField as Field,
  frameHeaderBytes,
  sealBytes,
  segmentCapacity,
  segmentHeaderBytes
} from './format.js'
import {
  FramePlacer,
  type LoneFrame,
  partFlags,
  partFrame,
  sealFrame,
  watermarkFrame
} from './frame-encoder.js'
import type { LogContext } from './log-context.js'
import type { SealedHeader } from './segment-header.js'
import { type Chunk, type Cursor, Staging } from './staging.js'
import type { LogPosition } from './witness.js'

/** Bytes in memory that have their place in the current segment and are not written yet. */
export interface Run {
  readonly bytes: Buffer
  readonly offset: number
}

/** Everything before it is placed: in memory, and in the log. */
export interface Mark {
  readonly chunk: Chunk
  readonly offset: number
  readonly bytes: number
  readonly position: LogPosition
}

/**
 * The commits that are on their way to the disk, in memory only: committed, then placed, then
 * synced. `place` gives frames their offset, chain value and checksum in the current segment and
 * leaves runs of bytes to be written. Frames stay here until they are synced, so after a failure they
 * are simply placed again, in another segment (rules F1 to F3).
 */
export class FrameQueue {
  readonly staging = new Staging()
  readonly #context: LogContext
  readonly #placer: FramePlacer

  /** The segment that frames are placed in. */
  #header: SealedHeader | undefined
  /** Offset of the next frame in the current segment. */
  #offset = 0
  /** The segment could not be preallocated: whatever comes needs another one. */
  #isFull = false
  #runs: Run[] = []

  readonly #placed: Cursor
  #placedSeq: number
  #placedBytes = 0
  /** Payload bytes of the frame at `#placed` that stand in earlier segments already. */
  #partBytes = 0
  /** Behind the last complete commit that is placed. */
  #boundary: LogPosition
  #synced: Mark
  /** Highest `syncedSeq` that some frame states. */
  #statedSeq = 0

  #committedSeq: number
  #committedBytes = 0
  /** Applied, and perhaps acknowledged, whatever has been written: set by whoever applies. */
  appliedSeq: number

  /** How often commits were taken out of the log, and why the last time. */
  #discards = 0
  #lastDiscardCause: unknown

  /** A queue whose first frame goes behind `position`, once a segment was begun or resumed. */
  constructor(context: LogContext, position: LogPosition) {
    this.#context = context
    this.#placer = new FramePlacer(context.checksum)
    this.#boundary = position
    const chunk = this.staging.tail
    this.#placed = { chunk, offset: 0 }
    this.#synced = { chunk, offset: 0, bytes: 0, position }
    this.#committedSeq = position.seq
    this.#placedSeq = position.seq
    this.appliedSeq = position.seq
  }

  get committedSeq(): number {
    return this.#committedSeq
  }

  get committedBytes(): number {
    return this.#committedBytes
  }

  get placedSeq(): number {
    return this.#placedSeq
  }

  get syncedSeq(): number {
    return this.#synced.position.seq
  }

  get syncedPosition(): LogPosition {
    return this.#synced.position
  }

  /** Behind the last complete commit that is placed; the same object until that changes. */
  get boundary(): LogPosition {
    return this.#boundary
  }

  get queuedBytes(): number {
    return this.#committedBytes - this.#placedBytes
  }

  get unsyncedBytes(): number {
    return this.#committedBytes - this.#synced.bytes
  }

  get runs(): readonly Run[] {
    return this.#runs
  }

  get hasUnwrittenRuns(): boolean {
    return this.#runs.length > 0
  }

  get discards(): number {
    return this.#discards
  }

  get lastDiscardCause(): unknown {
    return this.#lastDiscardCause
  }

  // --- committing

  commit(seq: number, operationCount: number, commitTimeMs: number): void {
    assert(seq === this.#committedSeq + 1, 'commits are numbered one by one')
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
    this.#committedSeq = seq
    this.#committedBytes += tail === tailBefore ? tail.used - usedBefore : tail.used
  }

  // --- the segment that frames are placed in

  /** Frames go into a new segment from here on. */
  begin(header: SealedHeader): void {
    this.#header = header
    this.#isFull = false
    this.#offset = segmentHeaderBytes
    this.#placer.begin(header)
    if (this.#partBytes === 0) this.#boundary = this.#here()
  }

  /** Frames go into an existing segment, right behind the position the queue was made with. */
  resume(header: SealedHeader): void {
    const position = this.#boundary
    this.#header = header
    this.#isFull = true
    this.#offset = position.offset
    this.#placer.begin(header)
    this.#placer.chainLow = position.chainLow
    this.#placer.chainHigh = position.chainHigh
  }

  /** Where the current segment will be sealed, and the last complete commit before that. */
  segmentEnd(): LogPosition {
    const seq = this.#partBytes > 0 ? this.#placedSeq : this.#boundary.seq
    return { ...this.#here(), seq }
  }

  // --- placing: memory only

  /** Places frames up to `goal`; false when the next one needs another segment. */
  place(goal: number): boolean {
    const placed = this.#placed
    while (this.#placedSeq < goal) {
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
    let seq = this.#placedSeq
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
    this.#placedBytes += offset - start
    this.#statedSeq = syncedSeq
    this.#placedSeq = seq
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
    this.#placedBytes += sizeBytes
    this.#placedSeq = readU64(chunk.view, offset + Field.seq)
    this.#boundary = this.#here()
    return true
  }

  /** States what is synced in a frame of its own, where that is news and costs no switch. */
  placeWatermark(): boolean {
    if (this.queuedBytes > 0 || this.#statedSeq >= this.syncedSeq) return false
    if (this.#offset + frameHeaderBytes > this.#frameLimit()) return false
    this.#placeLone(watermarkFrame(this.#context.clock.now()))
    if (this.#partBytes === 0) this.#boundary = this.#here()
    return true
  }

  /** Ends the current segment with a frame that names its successor. */
  placeSeal(successor: SealedHeader): void {
    this.#placeLone(sealFrame(successor, this.#context.clock.now()))
  }

  #placeLone(frame: LoneFrame): void {
    const { bytes, view } = frame
    this.#placer.place(bytes, view, 0, bytes.length, this.#offset, this.syncedSeq)
    this.#runs.push({ bytes, offset: this.#offset })
    this.#offset += bytes.length
    this.#statedSeq = this.syncedSeq
  }

  /** End of what may be filled with frames: the seal's room stays free (rule F7). */
  #frameLimit(): number {
    assert(this.#header !== undefined, 'a segment is open')
    return this.#isFull ? 0 : this.#header.sizeBytes - sealBytes
  }

  #here(): LogPosition {
    assert(this.#header !== undefined, 'a segment is open')
    return {
      segment: this.#header.number,
      offset: this.#offset,
      chainLow: this.#placer.chainLow,
      chainHigh: this.#placer.chainHigh,
      seq: this.#placedSeq
    }
  }

  // --- what became of placed frames

  /** How far placing has come; `markSynced` takes it once everything before it is synced. */
  placedMark(): Mark {
    const { chunk, offset } = this.#placed
    return { chunk, offset, bytes: this.#placedBytes, position: this.#boundary }
  }

  /** Removes the oldest runs: they are handed to the operating system. */
  removeRuns(count: number): void {
    if (count === this.#runs.length) this.#runs.length = 0
    else this.#runs.splice(0, count)
  }

  markSynced(mark: Mark): void {
    let { chunk } = this.#synced
    while (chunk !== mark.chunk) {
      this.staging.drained(chunk)
      assert(chunk.next !== undefined, 'chunks lead to the mark')
      chunk = chunk.next
    }
    this.#synced = mark
  }

  /** Takes every frame behind the synced position back into the queue; no segment is open then. */
  unplace(): void {
    const { chunk, offset, bytes, position } = this.#synced
    this.#placed.chunk = chunk
    this.#placed.offset = offset
    this.#placedBytes = bytes
    this.#placedSeq = position.seq
    this.#boundary = position
    this.#partBytes = 0
    this.#runs = []
    this.#header = undefined
  }

  /** Takes the commits out of the log that are neither placed nor numbered up to `keptSeq`. */
  discardBehind(keptSeq: number, cause: unknown): void {
    let { chunk, offset } = this.#placed
    let seq = this.#placedSeq
    let bytes = this.#placedBytes
    if (seq >= keptSeq && this.#partBytes > 0) this.#abandonParts()
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
    if (seq < this.#committedSeq) {
      this.#discards++
      this.#lastDiscardCause = cause
    }
    this.staging.discardBehind({ chunk, offset }, seq)
    this.#committedSeq = seq
    this.#committedBytes = bytes
  }

  /** What stands in the log of a commit larger than a segment stays there and counts for nothing. */
  #abandonParts(): void {
    this.#partBytes = 0
    this.#boundary = this.#here()
  }

  // --- memory that nobody works on any more; only while no step is in flight

  reclaim(releasedSeq: number): void {
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
}
