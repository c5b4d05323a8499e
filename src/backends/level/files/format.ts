/**
 * The numbers of LevelDB's file formats, as its own documents give them: `doc/log_format.md` and
 * `doc/table_format.md` of https://github.com/google/leveldb, and the tags of its version edits.
 */

/** Logs and manifests are sequences of blocks of this size; no record header crosses two. */
export const logBlockBytes = 32768
/** Checksum (4), length (2), type (1). */
export const logHeaderBytes = 7
export const RecordType = { zero: 0, full: 1, first: 2, middle: 3, last: 4 } as const

/** Metaindex handle and index handle, padded, then the magic. */
export const footerBytes = 48
export const handlesBytes = 40
export const magicLow = 0x8b80fb57
export const magicHigh = 0xdb477524
/** Behind every block of a table: compression type (1), checksum (4). */
export const blockTrailerBytes = 5
export const BlockType = { raw: 0, snappy: 1 } as const

/** Behind every key of a table: type in the lowest byte, sequence number above. */
export const keyTrailerBytes = 8
export const EntryType = { deletion: 0, value: 1 } as const

/** Sequence number (8) and count (4) before the entries of a write batch. */
export const batchHeaderBytes = 12

export const EditTag = {
  comparator: 1,
  logNumber: 2,
  nextFile: 3,
  lastSeq: 4,
  compactPointer: 5,
  deletedFile: 6,
  newFile: 7,
  prevLogNumber: 9
} as const

/** Levels 0 to 6. */
export const levelCount = 7
export const comparatorName = 'leveldb.BytewiseComparator'
