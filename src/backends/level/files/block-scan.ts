import { mask } from './crc.js'
import { blockTrailerBytes, BlockType } from './format.js'

const polynomial = 0x82f63b78

const crcTable = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1
  return crc
})

/**
 * Finds the block that begins at `start` where nothing tells how long it is: the first end at which
 * a block trailer with the right checksum stands. Returns the offset behind that trailer, or -1.
 *
 * A wrong end passes once in 2^32 positions; what it would yield is no sequence of entries.
 */
export function findBlockEnd(bytes: Buffer, start: number): number {
  let crc = -1
  const last = bytes.length - blockTrailerBytes
  for (let end = start; end <= last; end++) {
    const byte = bytes[end]
    crc = (crc >>> 8) ^ crcTable[(crc ^ byte) & 0xff]
    // The type counts as the last byte under the checksum.
    if (byte !== BlockType.raw && byte !== BlockType.snappy) continue
    if (mask(~crc) === bytes.readUInt32LE(end + 1)) return end + blockTrailerBytes
  }
  return -1
}
