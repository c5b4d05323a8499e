import type { Checksum } from '../../../codec/checksum.js'
import { compressBlock, Compression } from '../../../codec/compression.js'
import { KintsugiError } from '../../../errors.js'
import type { VfsFile } from '../../../vfs/vfs.js'
import type { BlockSeal } from './block-seal.js'
import {
  alignedBytes,
  blockAlignment,
  blockHeaderBytes,
  HandleField,
  handleBytes,
  hashPieceBytes,
  maxTableBytes
} from './format.js'
import type { BlockKind } from './format.js'

const initialBytes = 2 * 1024 * 1024

/** Where a block is: place in units of the alignment, size with its header. */
export interface BlockHandle {
  readonly units: number
  readonly bytes: number
  /** Its number, or for a block that has none the size of its contents. */
  readonly block: number
}

export function writeHandle(target: Buffer, at: number, handle: BlockHandle): void {
  target.writeUInt32LE(handle.block, at + HandleField.block)
  target.writeUInt32LE(handle.units, at + HandleField.units)
  target.writeUInt32LE(handle.bytes, at + HandleField.bytes)
}

export function encodeHandle(handle: BlockHandle): Buffer {
  const bytes = Buffer.alloc(handleBytes)
  writeHandle(bytes, 0, handle)
  return bytes
}

export function readHandle(bytes: Buffer, at: number): BlockHandle {
  return {
    block: bytes.readUInt32LE(at + HandleField.block),
    units: bytes.readUInt32LE(at + HandleField.units),
    bytes: bytes.readUInt32LE(at + HandleField.bytes)
  }
}

/**
 * Lays sealed blocks one behind the other and writes them in large pieces. While one piece is on its
 * way to the disk the next is filled: there are two buffers.
 */
export class TableOutput {
  readonly #file: VfsFile
  readonly #seal: BlockSeal
  readonly #checksum: Checksum
  #pending = Buffer.allocUnsafeSlow(initialBytes)
  #pendingBytes = 0
  /** The other buffer, which may be on its way to the disk. */
  #spare = Buffer.allocUnsafeSlow(initialBytes)
  #writing: Promise<void> = Promise.resolve()
  /** Bytes of the file that are written, or being so; what is pending goes behind them. */
  #written = 0
  #sumLow = 0
  #sumHigh = 0

  constructor(file: VfsFile, seal: BlockSeal, checksum: Checksum) {
    this.#file = file
    this.#seal = seal
    this.#checksum = checksum
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  get sizeBytes(): number {
    return this.#written + this.#pendingBytes
  }

  /** Checksum of all that is written, after `flush`. */
  get sumLow(): number {
    return this.#sumLow
  }

  get sumHigh(): number {
    return this.#sumHigh
  }

  /** Appends a block; the payload is copied. The handle has the payload's size as its number. */
  append(kind: BlockKind, level: number, payload: Buffer, compress: boolean): BlockHandle {
    const units = this.sizeBytes / blockAlignment
    let compression: Compression = Compression.none
    let stored: Uint8Array = payload
    if (compress) ({ compression, bytes: stored } = compressBlock(payload))
    const bytes = blockHeaderBytes + stored.length
    const aligned = alignedBytes(bytes)
    if (this.sizeBytes + aligned > maxTableBytes) throw tooLarge(this.#file.path)
    this.#reserve(aligned)
    const start = this.#pendingBytes
    const target = this.#pending
    target.fill(0, start + aligned - blockAlignment, start + aligned)
    target.set(stored, start + blockHeaderBytes)
    const block = target.subarray(start, start + bytes)
    this.#seal.seal(block, units, kind, level, compression, payload.length)
    this.#pendingBytes += aligned
    return { units, bytes, block: payload.length }
  }

  /**
   * Begins to write what makes whole pieces of a checksum, once the piece before is written; the
   * buffer is free again when it resolves. An error comes out of a later call.
   */
  async drain(): Promise<void> {
    const bytes = this.#pendingBytes - (this.#pendingBytes % hashPieceBytes)
    if (bytes > 0) await this.#write(bytes)
  }

  /** Writes everything; nothing but the footer may follow. */
  async flush(): Promise<void> {
    if (this.#pendingBytes > 0) await this.#write(this.#pendingBytes)
    await this.#writing
  }

  /** Waits until nothing is on its way to the disk, in vain or not. */
  async settle(): Promise<void> {
    await Promise.allSettled([this.#writing])
  }

  async #write(bytes: number): Promise<void> {
    await this.#writing
    const full = this.#pending
    const checksum = this.#checksum
    for (let at = 0; at < bytes; at += hashPieceBytes) {
      const piece = full.subarray(at, Math.min(bytes, at + hashPieceBytes))
      checksum.hash(piece, this.#sumLow, this.#sumHigh)
      this.#sumLow = checksum.low
      this.#sumHigh = checksum.high
    }
    const left = this.#pendingBytes - bytes
    const isLarge = this.#spare.length > 2 * initialBytes || this.#spare.length < left
    const next = isLarge ? Buffer.allocUnsafeSlow(Math.max(left, initialBytes)) : this.#spare
    full.copy(next, 0, bytes, this.#pendingBytes)
    this.#pending = next
    this.#pendingBytes = left
    this.#spare = full
    const position = this.#written
    this.#written += bytes
    this.#writing = this.#file.write(full.subarray(0, bytes), position)
    // Whoever waits for it is told; until then nobody has to be.
    this.#writing.catch(() => {})
  }

  #reserve(bytes: number): void {
    const needed = this.#pendingBytes + bytes
    if (needed <= this.#pending.length) return
    const old = this.#pending
    this.#pending = Buffer.allocUnsafeSlow(Math.max(needed, 2 * old.length))
    this.#pending.set(old.subarray(0, this.#pendingBytes))
  }
}

function tooLarge(path: string): KintsugiError {
  return new KintsugiError(
    'KINTSUGI_INTERNAL',
    `the table ${path} would become larger than ${maxTableBytes} bytes; please report this`,
    { path }
  )
}
