import { KintsugiError } from '../errors.js'
import { compressSync, uncompressSync } from 'lz4-napi'

/** How a block is stored; the number stands on disk. */
export const Compression = { none: 0, lz4: 1 } as const
export type Compression = (typeof Compression)[keyof typeof Compression]

export interface CompressedBlock {
  readonly compression: Compression
  readonly bytes: Uint8Array
}

/** Compresses a block, or leaves it as it is where that saves less than an eighth. */
export function compressBlock(bytes: Buffer): CompressedBlock {
  const compressed = compressSync(bytes)
  return compressed.length <= bytes.length - (bytes.length >> 3)
    ? { compression: Compression.lz4, bytes: compressed }
    : { compression: Compression.none, bytes }
}

/**
 * The original block. `sizeBytes` is what the caller's verified metadata says it must be; any
 * other outcome is corruption.
 */
export function decompressBlock(compression: number, bytes: Buffer, sizeBytes: number): Buffer {
  if (compression === Compression.none) {
    if (bytes.length === sizeBytes) return bytes
    throw corrupt(`a raw block has ${bytes.length} bytes instead of ${sizeBytes}`)
  }
  if (compression !== Compression.lz4) throw corrupt(`unknown compression id ${compression}`)
  // lz4-napi prefixes the original size; checked first, so damage cannot ask for huge memory.
  if (bytes.length < 4 || bytes.readUInt32LE(0) !== sizeBytes) {
    throw corrupt('the size inside an LZ4 block differs from its metadata')
  }
  let block: Buffer
  try {
    block = uncompressSync(bytes)
  } catch (error) {
    throw corrupt('an LZ4 block does not decompress', error)
  }
  if (block.length === sizeBytes) return block
  throw corrupt(`an LZ4 block decompresses to ${block.length} bytes instead of ${sizeBytes}`)
}

function corrupt(message: string, cause?: unknown): KintsugiError {
  return new KintsugiError('KINTSUGI_CORRUPTION', message, {}, cause)
}
