/** Layout of manifest and CURRENT on disk; format.md beside this file explains it. */

export const editVersion = 1
export const currentVersion = 1

/** Names in the backend's directory. */
export const manifestName = 'manifest'
export const currentName = 'CURRENT'
export const currentTemporaryName = 'CURRENT.tmp'

/** Byte offsets inside a version edit. */
export const EditField = {
  version: 0,
  flags: 2,
  added: 4,
  removed: 8,
  retired: 12,
  leftovers: 16,
  zero: 20,
  durableSeq: 24,
  nextTable: 32
} as const
export const editHeaderBytes = 40

export const EditFlags = {
  /** The whole version: what was read before it counts no more. */
  snapshot: 1,
  hasDurableSeq: 2,
  hasNextTable: 4
} as const
export const knownEditFlags = EditFlags.snapshot | EditFlags.hasDurableSeq | EditFlags.hasNextTable

/** A table's number in the lists `removed` and `retired`. */
export const numberBytes = 8

/** Byte offsets inside the record of a table whose file may still be there. */
export const LeftoverField = { number: 0, maxSeq: 8, level: 16, flags: 18, zero: 20 } as const
export const leftoverBytes = 24
export const LeftoverFlags = { retired: 1 } as const

/** Byte offsets inside the record of a table; inputs and the two keys follow it. */
export const TableField = {
  number: 0,
  sizeBytes: 8,
  sumLow: 16,
  sumHigh: 20,
  minSeq: 24,
  maxSeq: 32,
  entries: 40,
  deletes: 48,
  rawBytes: 56,
  firstOutput: 64,
  rangeTombstones: 72,
  lowBytes: 76,
  highBytes: 80,
  inputs: 84,
  level: 88,
  flags: 90,
  zero: 92
} as const
export const tableBytes = 96
export const TableFlags = { isLast: 1, hasHigh: 2 } as const

/** Levels are below this. */
export const levelLimit = 64

/** `KINTCUR1` */
export const currentMagic = Buffer.from('KINTCUR1', 'latin1')

/** Byte offsets inside CURRENT. The checksum covers everything before it. */
export const CurrentField = {
  magic: 0,
  version: 8,
  features: 12,
  storeId: 16,
  epoch: 32,
  floorSegment: 40,
  snapshotEdit: 48,
  activeSegment: 56,
  syncedEdit: 64,
  isClean: 72,
  cleanOffset: 76,
  cleanSegment: 80,
  cleanEdit: 88,
  cleanEpoch: 96,
  cleanChainLow: 104,
  cleanChainHigh: 108,
  checksum: 112
} as const
export const currentBytes = 120
