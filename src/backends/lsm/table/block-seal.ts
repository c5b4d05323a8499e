import type { Checksum } from '../../../codec/checksum.js'
import { KintsugiError } from '../../../errors.js'
import {
  BlockHeader,
  blockAlignment,
  blockHeaderBytes,
  blockMagic,
  hashPieceBytes
} from './format.js'
import type { BlockKind } from './format.js'

const wordRange = 0x1_0000_0000

/**
 * Headers and checksums of the blocks of one table. A block proves by itself that it belongs to this
 * store, this table and this place.
 */
export class BlockSeal {
  readonly path: string
  readonly number: number
  readonly #checksum: Checksum
  readonly #seedLow: number
  readonly #seedHigh: number

  constructor(path: string, number: number, storeId: Uint8Array, checksum: Checksum) {
    this.path = path
    this.number = number
    this.#checksum = checksum
    checksum.hash(storeId, number % wordRange, Math.floor(number / wordRange))
    this.#seedLow = checksum.low
    this.#seedHigh = checksum.high
  }

  /** Writes header and checksum of a block whose payload stands behind its header already. */
  seal(
    block: Buffer,
    units: number,
    kind: BlockKind,
    level: number,
    compression: number,
    rawBytes: number
  ): void {
    block.writeUInt32LE(blockMagic, BlockHeader.magic)
    block[BlockHeader.kind] = kind
    block[BlockHeader.compression] = compression
    block[BlockHeader.level] = level
    block[BlockHeader.reserved] = 0
    block.writeUInt32LE(block.length - blockHeaderBytes, BlockHeader.storedBytes)
    block.writeUInt32LE(rawBytes, BlockHeader.rawBytes)
    block.writeUInt32LE(this.number % wordRange, BlockHeader.numberLow)
    block.writeUInt32LE(Math.floor(this.number / wordRange), BlockHeader.numberHigh)
    this.#hash(block, units)
    block.writeUInt32LE(this.#checksum.low, BlockHeader.sumLow)
    block.writeUInt32LE(this.#checksum.high, BlockHeader.sumHigh)
  }

  /** What is wrong with a block as it was read, or undefined: then its header can be believed. */
  check(block: Buffer, units: number, kind: number, level: number): string | undefined {
    const wrong = this.prove(block, units)
    if (wrong !== undefined) return wrong
    if (block[BlockHeader.kind] !== kind || block[BlockHeader.level] !== level) {
      return `it is of kind ${block[BlockHeader.kind]}, level ${block[BlockHeader.level]}`
    }
    return undefined
  }

  /** The same for a block of any kind. */
  prove(block: Buffer, units: number): string | undefined {
    if (block.length < blockHeaderBytes) return 'it is shorter than a header'
    this.#hash(block, units)
    if (
      block.readUInt32LE(BlockHeader.sumLow) !== this.#checksum.low ||
      block.readUInt32LE(BlockHeader.sumHigh) !== this.#checksum.high
    ) {
      return 'its checksum does not match its contents'
    }
    if (block.readUInt32LE(BlockHeader.magic) !== blockMagic) return 'it has no block header'
    const stored = block.readUInt32LE(BlockHeader.storedBytes)
    if (stored !== block.length - blockHeaderBytes) return `it says it has ${stored} bytes`
    const low = block.readUInt32LE(BlockHeader.numberLow)
    const number = low + block.readUInt32LE(BlockHeader.numberHigh) * wordRange
    return number === this.number ? undefined : `it says it belongs to table ${number}`
  }

  corruption(
    units: number,
    reason: string,
    lowKey?: Uint8Array,
    highKey?: Uint8Array,
    cause?: unknown
  ): KintsugiError {
    const offset = units * blockAlignment
    return new KintsugiError(
      'KINTSUGI_CORRUPTION',
      `the block at ${offset} of ${this.path} is damaged: ${reason}; the rest keeps working, ` +
        'run a verification and restore or repair what it names',
      { path: this.path, offset, ...(lowKey && { lowKey }), ...(highKey && { highKey }) },
      cause
    )
  }

  #hash(block: Buffer, units: number): void {
    const checksum = this.#checksum
    let end = Math.min(block.length, hashPieceBytes)
    checksum.hash(
      block.subarray(BlockHeader.magic, end),
      (this.#seedLow + units) % wordRange,
      this.#seedHigh
    )
    while (end < block.length) {
      const start = end
      end = Math.min(block.length, start + hashPieceBytes)
      checksum.hash(block.subarray(start, end), checksum.low, checksum.high)
    }
  }
}
