import { malformed } from './byte-reader.js'
import { matchesCrc } from './crc.js'
import { blockTrailerBytes, BlockType } from './format.js'
import { unpackSnappy } from './snappy.js'

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
  return unpackSnappy(contents)
}
