/**
 * What a version of a key is. Every version in memtables and tables carries the sequence number of
 * its commit; of all versions of a key the one with the highest number counts.
 */
export const EntryKind = {
  /** The key was removed: a tombstone, which hides older versions below it. */
  delete: 0,
  /** The value stands beside the key. */
  put: 1,
  /** The value stands elsewhere in the table; a handle is here. */
  largePut: 2
} as const
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind]

/** Sequence numbers start at 1. */
export const noSeq = 0
/** Larger than every sequence number: a lookup of the newest state. */
export const newestSeq = Number.MAX_SAFE_INTEGER
