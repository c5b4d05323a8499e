import { assert } from '../base/assert.js'
import { SegmentLink } from './format.js'
import type { LogContext } from './log-context.js'
import type { SegmentFile } from './segment-file.js'
import { encodeSegmentHeader, type SealedHeader } from './segment-header.js'
import type { BlankSegment } from './segment-stock.js'
import type { LogPosition } from './witness.js'

/** A segment of the log that is open for writing, or about to be. */
export interface OpenSegment {
  readonly header: SealedHeader
  readonly headerBytes: Buffer
  readonly file: SegmentFile
}

/** Makes the segments of one epoch: rising numbers, a salt of its own each, and the header. */
export class SegmentMaker {
  readonly #context: LogContext
  readonly epoch: number
  #lastNumber: number

  constructor(context: LogContext, epoch: number, lastNumber: number) {
    this.#context = context
    this.epoch = epoch
    this.#lastNumber = lastNumber
  }

  /** Highest number given to a segment; a later one always wins over an earlier one. */
  get lastNumber(): number {
    return this.#lastNumber
  }

  /** A segment that continues the log behind `prev`; its header is in memory only. */
  make(blank: BlankSegment, link: SegmentLink, prev: LogPosition, syncedSeq: number): OpenSegment {
    assert(blank.number > this.#lastNumber, 'segment numbers rise')
    this.#lastNumber = blank.number
    const salt = new Uint32Array(2)
    this.#context.random.fill(new Uint8Array(salt.buffer))
    const { storeId, checksum, options, clock } = this.#context
    const { bytes, header } = encodeSegmentHeader(
      {
        number: blank.number,
        epoch: this.epoch,
        saltLow: salt[0],
        saltHigh: salt[1],
        sizeBytes: options.segmentBytes,
        link,
        prevNumber: link === SegmentLink.first ? 0 : prev.segment,
        prevCut: link === SegmentLink.first ? 0 : prev.offset,
        prevChainLow: link === SegmentLink.first ? 0 : prev.chainLow,
        prevChainHigh: link === SegmentLink.first ? 0 : prev.chainHigh,
        baseSeq: prev.seq,
        syncedSeq,
        createdMs: clock.now()
      },
      storeId,
      checksum
    )
    return { header, headerBytes: bytes, file: blank.file }
  }
}
