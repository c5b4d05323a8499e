import type { SegmentFile } from './segment-file.js'
import type { OpenSegment } from './segment-maker.js'
import type { SegmentStock } from './segment-stock.js'
import type { LogFloor } from './witness.js'

/** A segment that belongs to the log. */
export interface LiveSegment {
  readonly number: number
  /** Last complete commit before it. */
  readonly baseSeq: number
  /** Open for writing only while it is the current one. */
  readonly file: SegmentFile
}

/** The segments that make up the log, oldest first, and the files of those that do not any more. */
export class SegmentList {
  #live: LiveSegment[]
  /** Files of left segments, and of void ones; closed or reused once no thread works on them. */
  #closing: SegmentFile[] = []
  readonly #abandoned: SegmentFile[] = []
  /** Void once the next segment is published; until then a crash may have to read them. */
  readonly #held: SegmentFile[] = []

  constructor(live: LiveSegment[]) {
    this.#live = live
  }

  get live(): readonly LiveSegment[] {
    return this.#live
  }

  add({ header, file }: OpenSegment): void {
    this.#live.push({ number: header.number, baseSeq: header.baseSeq, file })
  }

  /** Nothing more is written to the file; the segment stays in the log. */
  leave(file: SegmentFile): void {
    this.#closing.push(file)
  }

  /** The file never became part of the log. */
  abandon(file: SegmentFile): void {
    this.#abandoned.push(file)
  }

  /**
   * Segments behind the position leave the log. Those of an attempt that was never published are
   * free at once, so that repeated attempts fit on a full disk; all others are what a crash would
   * have to read until the next publication.
   */
  voidAfter(number: number, wasNeverPublished: boolean): void {
    const isVoid = (file: SegmentFile) => file.number > number
    const files = new Set(this.#closing.filter(isVoid))
    for (const { file } of this.#live) if (isVoid(file)) files.add(file)
    this.#closing = this.#closing.filter((file) => !isVoid(file))
    this.#live = this.#live.filter(({ file }) => !isVoid(file))
    const target = wasNeverPublished ? this.#abandoned : this.#held
    target.push(...files)
  }

  /** The segment that voids others is durable: no crash has to read those any more. */
  published(): void {
    this.#abandoned.push(...this.#held.splice(0))
  }

  /** Closes or reuses what nobody works on any more. Only while no step is in flight. */
  settle(stock: SegmentStock): void {
    for (const file of this.#closing.splice(0)) file.closeSync()
    for (const file of this.#abandoned.splice(0)) stock.putBack({ file })
  }

  /**
   * What the log has to keep when commits up to `seq` are not needed any more. A failure may still
   * have to continue it in `syncedSegment`, from the synced position.
   */
  floorFor(seq: number, syncedSegment: number): LogFloor {
    const isDispensable = ({ number, baseSeq }: LiveSegment) =>
      baseSeq <= seq && number <= syncedSegment
    const last = this.#live.findLast(isDispensable) ?? this.#live[0]
    // Segments with the same base may hold the parts of one large commit: its first one counts.
    const { baseSeq } = last
    const first = this.#live.find((segment) => segment.baseSeq === baseSeq) ?? last
    return { segment: first.number, seq: baseSeq + 1 }
  }

  /** Takes the segments below a floor out of the log. */
  dropBelow(floor: LogFloor): SegmentFile[] {
    const dropped = this.#live.filter(({ number }) => number < floor.segment)
    this.#live = this.#live.filter(({ number }) => number >= floor.segment)
    return dropped.map(({ file }) => file)
  }

  closeSync(): void {
    for (const file of this.#closing.splice(0)) file.closeSync()
    for (const file of this.#abandoned.splice(0)) file.closeSync()
    for (const file of this.#held.splice(0)) file.closeSync()
  }
}
