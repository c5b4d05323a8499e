import type { Checksum } from '../codec/checksum.js'
import { KintsugiError } from '../errors.js'
import type { VfsFile } from '../vfs/vfs.js'
import { readU64, viewOf } from './bytes.js'
import {
  CommitFlags,
  frameAlignment,
  frameBytes,
  FrameField as Field,
  frameHeaderBytes,
  FrameKind,
  frameMagic,
  SealField,
  sealPayloadBytes,
  segmentHeaderBytes
} from './format.js'
import type { SealedHeader } from './segment-header.js'

/** Read at once; also how long replay goes on between two turns of the event loop (about 2 ms). */
const blockBytes = 512 * 1024

const magicBytes = Buffer.alloc(4)
magicBytes.writeUInt32LE(frameMagic)

/** Checksum of a frame or header: what the next frame has as its previous one. */
export interface ChainValue {
  readonly low: number
  readonly high: number
}

/**
 * Reads the frames of one segment. `load(offset)` brings the frame at an offset into memory if
 * there is one; `parse(offset)` then tells whether it proves itself and fills the fields. Nothing
 * is allocated per frame.
 */
export class SegmentReader {
  readonly header: SealedHeader
  readonly path: string
  /** Bytes that can hold frames: what the header says, or less where the file is shorter. */
  readonly sizeBytes: number
  /** The file has lost its end: its size was durable before its first frame (rule W3). */
  readonly isShort: boolean
  readonly #file: VfsFile
  readonly #checksum: Checksum

  /** `buffer[payloadStart, payloadEnd)` is the payload of the frame parsed last. */
  buffer: Buffer = Buffer.alloc(0)
  #view = viewOf(this.buffer)
  /** Offset in the file of the first byte in the buffer, and how many are valid. */
  #base = 0
  #length = 0

  kind = 0
  flags = 0
  operationCount = 0
  seq = 0
  syncedSeq = 0
  commitTimeMs = 0
  prevLow = 0
  prevHigh = 0
  checksumLow = 0
  checksumHigh = 0
  payloadStart = 0
  payloadEnd = 0
  frameEnd = 0

  bytesRead = 0

  constructor(file: VfsFile, header: SealedHeader, checksum: Checksum) {
    this.#file = file
    this.header = header
    this.path = file.path
    this.#checksum = checksum
    this.sizeBytes = Math.min(header.sizeBytes, file.sizeSync())
    this.isShort = this.sizeBytes < header.sizeBytes
  }

  /** True when what stands at the offset is in memory as far as `parse` will look. */
  isLoaded(offset: number): boolean {
    const start = offset - this.#base
    if (start < 0) return false
    const available = this.#length - start
    const reachesEnd = this.#base + this.#length >= this.sizeBytes
    if (available < frameHeaderBytes) return reachesEnd
    return reachesEnd || available >= this.#claimedBytes(start)
  }

  /** Loads the frame at `offset`, with as much behind it as one block holds. */
  async load(offset: number): Promise<void> {
    await this.#fill(offset, blockBytes)
    while (!this.isLoaded(offset)) await this.#fill(offset, this.#claimedBytes(offset - this.#base))
  }

  /** How long the frame at `start` in the buffer says it is; bounded by the segment. */
  #claimedBytes(start: number): number {
    if (this.#view.getUint32(start + Field.magic, true) !== frameMagic) return frameHeaderBytes
    const bytes = frameBytes(this.#view.getUint32(start + Field.payloadBytes, true))
    const fits = this.#base + start + bytes <= this.sizeBytes
    return fits ? bytes : frameHeaderBytes
  }

  async #fill(offset: number, bytes: number): Promise<void> {
    const wanted = Math.min(bytes, this.sizeBytes - offset)
    if (this.buffer.length < wanted) {
      this.buffer = Buffer.allocUnsafeSlow(wanted)
      this.#view = viewOf(this.buffer)
    }
    this.#base = offset
    this.#length = 0
    if (wanted > 0) {
      // The whole of it or up to the end of the file; an I/O error is an error (rule W5).
      this.#length = await this.#file.read(this.buffer.subarray(0, wanted), offset)
      this.bytesRead += this.#length
    }
    // A file cut short meanwhile: what is missing reads as nothing.
    if (this.#length < wanted) this.buffer.fill(0, this.#length, wanted)
    this.#length = Math.max(wanted, 0)
  }

  /** True when the frame at a loaded offset proves itself; its place in the chain is not checked. */
  parse(offset: number): boolean {
    const start = offset - this.#base
    if (this.#length - start < frameHeaderBytes) return false
    const view = this.#view
    if (view.getUint32(start + Field.magic, true) !== frameMagic) return false
    const payloadBytes = view.getUint32(start + Field.payloadBytes, true)
    const sizeBytes = frameBytes(payloadBytes)
    if (sizeBytes > this.#length - start) return false
    const { header } = this
    const checksum = this.#checksum
    checksum.hash(
      this.buffer.subarray(start + Field.magic, start + sizeBytes),
      (header.seedLow ^ offset) >>> 0,
      header.seedHigh
    )
    this.checksumLow = view.getUint32(start + Field.checksum, true)
    this.checksumHigh = view.getUint32(start + Field.checksum + 4, true)
    if (checksum.low !== this.checksumLow || checksum.high !== this.checksumHigh) return false
    this.kind = this.buffer[start + Field.kind]
    this.flags = this.buffer[start + Field.flags]
    this.operationCount = view.getUint32(start + Field.operationCount, true)
    this.seq = readU64(view, start + Field.seq)
    this.syncedSeq = readU64(view, start + Field.syncedSeq)
    this.commitTimeMs = readU64(view, start + Field.commitTimeMs)
    this.prevLow = view.getUint32(start + Field.prevChecksum, true)
    this.prevHigh = view.getUint32(start + Field.prevChecksum + 4, true)
    this.payloadStart = start + Field.payload
    this.payloadEnd = this.payloadStart + payloadBytes
    this.frameEnd = offset + sizeBytes
    this.#checkMeaning(offset, payloadBytes)
    return true
  }

  /** A frame that proves itself but says something unknown was written by a newer release. */
  #checkMeaning(offset: number, payloadBytes: number): void {
    const { kind, flags } = this
    const isKnown =
      (kind === FrameKind.commit && flags <= (CommitFlags.continued | CommitFlags.continues)) ||
      (kind === FrameKind.seal && flags === 0 && payloadBytes === sealPayloadBytes) ||
      ((kind === FrameKind.watermark || kind === FrameKind.gap) && flags === 0)
    if (isKnown && this.seq <= Number.MAX_SAFE_INTEGER) return
    throw new KintsugiError(
      'KINTSUGI_UNSUPPORTED_VERSION',
      `log segment ${this.path} has a frame of kind ${kind} with flags ${flags} at ${offset}, ` +
        'which this release does not know: open the store with the release that wrote it',
      { path: this.path, offset, segment: this.header.number }
    )
  }

  /** Number of the successor that the seal parsed last names. */
  get sealNumber(): number {
    return readU64(this.#view, this.payloadStart + SealField.number)
  }

  /** True when the seal parsed last names exactly this header. */
  sealNames(header: SealedHeader): boolean {
    const start = this.payloadStart + SealField.checksum
    return (
      this.sealNumber === header.number &&
      this.#view.getUint32(start, true) === header.checksumLow &&
      this.#view.getUint32(start + 4, true) === header.checksumHigh
    )
  }

  /**
   * How many bytes a frame that does not prove itself claims at a loaded offset, if its header at
   * least continues the chain: then a frame was begun here. 0 where nothing can be recognised.
   */
  tornBytes(offset: number, chainLow: number, chainHigh: number): number {
    const start = offset - this.#base
    if (start < 0 || this.#length - start < frameHeaderBytes) return 0
    const view = this.#view
    const isBegun =
      view.getUint32(start + Field.magic, true) === frameMagic &&
      view.getUint32(start + Field.prevChecksum, true) === chainLow &&
      view.getUint32(start + Field.prevChecksum + 4, true) === chainHigh
    if (!isBegun) return 0
    const claimed = frameBytes(view.getUint32(start + Field.payloadBytes, true))
    return Math.min(claimed, this.sizeBytes - offset)
  }

  /**
   * The chain values that a damaged frame without payload at a loaded offset can have had: damage in
   * one place hits either its checksum or what the checksum is of. None beyond the end.
   */
  markerChains(offset: number): readonly ChainValue[] {
    const start = offset - this.#base
    if (start < 0 || this.#length - start < frameHeaderBytes) return []
    const view = this.#view
    const stored = {
      low: view.getUint32(start + Field.checksum, true),
      high: view.getUint32(start + Field.checksum + 4, true)
    }
    const { seedLow, seedHigh } = this.header
    const bytes = this.buffer.subarray(start + Field.magic, start + frameHeaderBytes)
    this.#checksum.hash(bytes, (seedLow ^ offset) >>> 0, seedHigh)
    return [stored, { low: this.#checksum.low, high: this.#checksum.high }]
  }

  /**
   * Offset of the next frame that proves itself, at or behind `offset` and before `limit`, parsed;
   * -1 where there is none (rule W5).
   */
  async find(offset: number, limit: number): Promise<number> {
    const end = Math.min(limit, this.sizeBytes)
    for (let at = align(offset); at + frameHeaderBytes <= end;) {
      if (!this.#isBuffered(at)) await this.#fill(at, blockBytes)
      at = this.#nextMagic(at)
      if (at + frameHeaderBytes > end) return -1
      if (!this.#isBuffered(at)) continue
      if (!this.isLoaded(at)) await this.load(at)
      if (this.parse(at)) return at
      at += frameAlignment
    }
    return -1
  }

  #isBuffered(offset: number): boolean {
    const start = offset - this.#base
    return start >= 0 && start + frameHeaderBytes <= this.#length
  }

  /** The next aligned offset with a frame's magic, or the first one beyond the buffer. */
  #nextMagic(offset: number): number {
    const valid = this.buffer.subarray(0, this.#length)
    let start = offset - this.#base
    for (;;) {
      const found = valid.indexOf(magicBytes, start + Field.magic)
      if (found < 0) {
        // Frames that begin in the last bytes are looked at again with the next block.
        const rest = Math.max(start, this.#length - frameHeaderBytes + frameAlignment)
        return alignUp(this.#base + rest)
      }
      start = found - Field.magic
      if ((this.#base + start) % frameAlignment === 0) return this.#base + start
      start += 1
    }
  }
}

function align(offset: number): number {
  return alignUp(Math.max(offset, segmentHeaderBytes))
}

function alignUp(offset: number): number {
  return Math.ceil(offset / frameAlignment) * frameAlignment
}
