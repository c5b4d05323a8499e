import type { Checksum } from '../codec/checksum.js'
import { writeU64 } from './bytes.js'
import {
  CommitFlags,
  frameBytes,
  FrameField as Field,
  frameHeaderBytes,
  FrameKind,
  frameMagic,
  SealField,
  sealPayloadBytes
} from './format.js'

/**
 * Writes the part of a frame's header that does not depend on where the frame will stand, and the
 * zeros behind the payload. `view` and `bytes` share their memory.
 */
export function writeFrameHeader(
  bytes: Buffer,
  view: DataView,
  offset: number,
  payloadBytes: number,
  kind: number,
  flags: number,
  operationCount: number,
  seq: number,
  commitTimeMs: number
): void {
  view.setUint32(offset + Field.magic, frameMagic, true)
  view.setUint32(offset + Field.payloadBytes, payloadBytes, true)
  view.setUint32(offset + Field.kind, kind | (flags << 8), true)
  view.setUint32(offset + Field.operationCount, operationCount, true)
  writeU64(view, offset + Field.seq, seq)
  writeU64(view, offset + Field.commitTimeMs, commitTimeMs)
  const payloadEnd = offset + frameHeaderBytes + payloadBytes
  const end = offset + frameBytes(payloadBytes)
  for (let i = payloadEnd; i < end; i++) bytes[i] = 0
}

/**
 * Gives frames their place: the chain, what was synced, and the checksum. Follows one segment, from
 * its header on.
 */
export class FramePlacer {
  readonly #checksum: Checksum
  #seedLow = 0
  #seedHigh = 0

  /** Checksum of the last placed frame, or of the segment's header: the chain value. */
  chainLow = 0
  chainHigh = 0

  constructor(checksum: Checksum) {
    this.#checksum = checksum
  }

  begin(segment: {
    readonly seedLow: number
    readonly seedHigh: number
    readonly checksumLow: number
    readonly checksumHigh: number
  }): void {
    this.#seedLow = segment.seedLow
    this.#seedHigh = segment.seedHigh
    this.chainLow = segment.checksumLow
    this.chainHigh = segment.checksumHigh
  }

  /** Finishes the frame at `offset` in memory for `fileOffset` in the segment. */
  place(
    bytes: Buffer,
    view: DataView,
    offset: number,
    sizeBytes: number,
    fileOffset: number,
    syncedSeq: number
  ): void {
    writeU64(view, offset + Field.syncedSeq, syncedSeq)
    view.setUint32(offset + Field.prevChecksum, this.chainLow, true)
    view.setUint32(offset + Field.prevChecksum + 4, this.chainHigh, true)
    const checksum = this.#checksum
    checksum.hash(
      bytes.subarray(offset + Field.magic, offset + sizeBytes),
      (this.#seedLow ^ fileOffset) >>> 0,
      this.#seedHigh
    )
    view.setUint32(offset + Field.checksum, checksum.low, true)
    view.setUint32(offset + Field.checksum + 4, checksum.high, true)
    this.chainLow = checksum.low
    this.chainHigh = checksum.high
  }
}

/** One frame in memory of its own: seals, watermarks, parts of large commits. */
export interface LoneFrame {
  readonly bytes: Buffer
  readonly view: DataView
}

function loneFrame(payloadBytes: number): LoneFrame {
  const memory = new ArrayBuffer(frameBytes(payloadBytes))
  return { bytes: Buffer.from(memory), view: new DataView(memory) }
}

export function watermarkFrame(nowMs: number): LoneFrame {
  const frame = loneFrame(0)
  writeFrameHeader(frame.bytes, frame.view, 0, 0, FrameKind.watermark, 0, 0, 0, nowMs)
  return frame
}

export function sealFrame(
  successor: { number: number; checksumLow: number; checksumHigh: number },
  nowMs: number
): LoneFrame {
  const frame = loneFrame(sealPayloadBytes)
  const { bytes, view } = frame
  writeU64(view, Field.payload + SealField.number, successor.number)
  view.setUint32(Field.payload + SealField.checksum, successor.checksumLow, true)
  view.setUint32(Field.payload + SealField.checksum + 4, successor.checksumHigh, true)
  writeFrameHeader(bytes, view, 0, sealPayloadBytes, FrameKind.seal, 0, 0, 0, nowMs)
  return frame
}

/** Part `[start, end)` of the payload of the commit frame that stands at `offset` in `bytes`. */
export function partFrame(
  bytes: Buffer,
  view: DataView,
  offset: number,
  start: number,
  end: number,
  flags: number
): LoneFrame {
  const frame = loneFrame(end - start)
  const payload = offset + frameHeaderBytes
  // One memory copy: only commits larger than a segment pay it.
  bytes.copy(frame.bytes, frameHeaderBytes, payload + start, payload + end)
  for (const field of [Field.operationCount, Field.seq, Field.seq + 4]) {
    frame.view.setUint32(field, view.getUint32(offset + field, true), true)
  }
  for (const field of [Field.commitTimeMs, Field.commitTimeMs + 4]) {
    frame.view.setUint32(field, view.getUint32(offset + field, true), true)
  }
  frame.view.setUint32(Field.magic, frameMagic, true)
  frame.view.setUint32(Field.payloadBytes, end - start, true)
  frame.view.setUint32(Field.kind, FrameKind.commit | (flags << 8), true)
  return frame
}

export function partFlags(isFirst: boolean, isLast: boolean): number {
  return (isFirst ? 0 : CommitFlags.continued) | (isLast ? 0 : CommitFlags.continues)
}
