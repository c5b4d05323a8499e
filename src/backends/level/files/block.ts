import { uncompress } from 'snappyjs'
import { KintsugiError } from '../../../errors.js'
import { malformed } from './byte-reader.js'
import { matchesCrc } from './crc.js'
import { blockTrailerBytes, BlockType } from './format.js'

/** Snappy makes 64 bytes out of three at best. */
const largestRatio = 24

/** True where the block, with its trailer, has the checksum that stands in it. */
export function isBlockWhole(block: Buffer): boolean {
  const end = block.length - 4
  return matchesCrc(block, 0, end, block.readUInt32LE(end))
}

/** What a whole block holds; a view of it where it is not compressed. */
export function unpackBlock(block: Buffer): Buffer {
  const end = block.length - blockTrailerBytes
  const contents = block.subarray(0, end)
  const type = block[end]
  if (type === BlockType.raw) return contents
  if (type !== BlockType.snappy) throw malformed(`a block has the unknown compression ${type}`)
  try {
    return uncompress(contents, (contents.length + 8) * largestRatio) as Buffer
  } catch (error) {
    throw new KintsugiError('KINTSUGI_CORRUPTION', 'a block does not decompress', {}, error)
  }
}
