import { keyTrailerBytes } from './format.js'

const wordRange = 0x1_0000_0000

/** Order of keys with their trailers: user keys ascending, of one user key the newest first. */
export function compareInternal(a: Buffer, b: Buffer): number {
  const aEnd = a.length - keyTrailerBytes
  const bEnd = b.length - keyTrailerBytes
  const order = a.compare(b, 0, bEnd, 0, aEnd)
  if (order !== 0) return order
  const high = b.readUInt32LE(bEnd + 4) - a.readUInt32LE(aEnd + 4)
  return high !== 0 ? high : b.readUInt32LE(bEnd) - a.readUInt32LE(aEnd)
}

/** What stands before the trailer; a view. */
export function withoutTrailer(key: Buffer): Buffer {
  return key.subarray(0, key.length - keyTrailerBytes)
}

/** LevelDB's sequence number in the trailer. */
export function sequenceOf(key: Buffer): number {
  const end = key.length - keyTrailerBytes
  return key.readUInt32LE(end + 4) * (wordRange / 256) + (key.readUInt32LE(end) >>> 8)
}

/** True for what LevelDB puts between two blocks: no entry has this sequence number. */
export function isSeparator(key: Buffer): boolean {
  const end = key.length - keyTrailerBytes
  return key.readUInt32LE(end + 4) === 0xffffffff && key.readUInt32LE(end) >>> 8 === 0xffffff
}

export function entryTypeOf(key: Buffer): number {
  return key[key.length - keyTrailerBytes]
}
