/** Constants of table files; see format.md beside this file. */

export const formatVersion = 1

export const blockAlignment = 8
export const blockHeaderBytes = 32
/** `KTBL` */
export const blockMagic = 0x4c42_544b

/** Byte offsets in a block's header. The checksum covers everything from `magic` on. */
export const BlockHeader = {
  sumLow: 0,
  sumHigh: 4,
  magic: 8,
  kind: 12,
  compression: 13,
  level: 14,
  reserved: 15,
  storedBytes: 16,
  rawBytes: 20,
  numberLow: 24,
  numberHigh: 28
} as const

export const BlockKind = {
  data: 1,
  index: 2,
  filter: 3,
  rangeTombstones: 4,
  largeValue: 5,
  versions: 6,
  properties: 7
} as const
export type BlockKind = (typeof BlockKind)[keyof typeof BlockKind]

/** Byte offsets in the payload of data and index blocks. */
export const PackedHeader = {
  count: 0,
  prefix: 2,
  pageBytes: 4,
  firstSeq: 8,
  minSeq: 16,
  maxSeq: 24
} as const
export const packedHeaderBytes = 32

/** In a packed version's tag, over the kind: a further, older version of the key follows. */
export const moreFlag = 4
export const packedSeqShift = 3
/** Further than this from the block's first sequence number a version does not go. */
export const maxSeqDistance = 2 ** 27

/** In a tag: the versions of the key stand in a block of their own, or in a page in a list. */
export const severalVersions = 3
export const tagKindMask = 3
export const tagSeqShift = 2
export const tagBytes = 4
/** Of each version in a list: in a page tag and length; in a block of its own the number as well. */
export const listedVersionBytes = 8
export const storedVersionBytes = 16

/** Block number or original size, place in units of `blockAlignment`, size with the header. */
export const handleBytes = 12
export const HandleField = { rawBytes: 0, block: 0, units: 4, bytes: 8 } as const

export const maxKeyBytes = 65_535
export const maxValueBytes = 2 ** 30
/** Checksums are computed piece by piece, because the hash's own memory grows to what it is given. */
export const hashPieceBytes = 128 * 1024
/** Places in a table are 32-bit numbers of units. */
export const maxTableBytes = 2 ** 32 * blockAlignment
export const maxIndexLevels = 32

/** Longer keys stand in a page with their beginning only. */
export function maxInlineKeyBytes(blockBytes: number): number {
  return blockBytes >>> 2
}

/** Longer values, and longer lists of versions, stand in blocks of their own. */
export function maxInlineValueBytes(blockBytes: number): number {
  return blockBytes >>> 2
}

/** A page has room for fewer than five long keys. */
export function maxPackedBytes(blockBytes: number): number {
  return packedHeaderBytes + 5 * (maxKeyBytes + blockBytes)
}

export function alignedBytes(bytes: number): number {
  return Math.ceil(bytes / blockAlignment) * blockAlignment
}

export const footerBytes = 256
/** `KINTSST` and a zero, at the very end of the file. */
export const footerMagic = Buffer.from('KINTSST\0', 'latin1')

/** Byte offsets in the footer. The checksum covers everything behind itself. */
export const Footer = {
  sum: 0,
  storeId: 8,
  number: 24,
  level: 32,
  blockBytes: 36,
  contentBytes: 40,
  contentSum: 48,
  minSeq: 56,
  maxSeq: 64,
  entries: 72,
  deletes: 80,
  rawBytes: 88,
  rangeTombstones: 96,
  keys: 104,
  blockCount: 112,
  indexLevels: 116,
  root: 120,
  filter: 132,
  tombstones: 144,
  properties: 156,
  reserved: 168,
  version: 240,
  footerBytes: 244,
  magic: 248
} as const
