import type { LongKeys, PageBytes } from '../page/format.js'
import type { Lookup } from '../memtable/lookup.js'

/** A sorted page whose entries a cursor can take several at a time. */
export interface SourcePage {
  readonly memory: PageBytes
  /** First byte of the page. */
  readonly region: number
  /** The entry that the cursor stands at, of so many. */
  readonly index: number
  readonly count: number
  /** Each entry is one version of a key, with its value beside it. */
  readonly plain: boolean
  /** The highest sequence number in it. */
  readonly maxSeq: number
  readonly longKeys: LongKeys
  /** Bytes of an entry's value that are not the user's: they come first. */
  readonly tagBytes: number
}

/**
 * Walks the keys of one source, a memtable or a level, in the direction of its last `seek`. Methods
 * that answer null found something not in memory: `load`, then call them again.
 */
export interface SourceCursor {
  /** Place among the sources of a cursor, 0 the newest; the cursor sets it. */
  age: number
  /**
   * The current key, where the cursor stands on one. It begins at a multiple of 4 and is followed by
   * zeros up to the next: keys are compared by words.
   */
  readonly key: PageBytes
  readonly keyStart: number
  readonly keyEnd: number
  /**
   * Of a table of level 0 its highest sequence number: a version of it may be newer than one in a
   * table that comes before. 0: every source that comes before is newer through and through.
   */
  readonly maxUnorderedSeq: number
  /** The page that the cursor stands in, for copying several entries at once; see `skip`. */
  readonly page: SourcePage | undefined

  /**
   * Moves to the first key at or behind `key`, or to the first of all; false at the end. With `wait`
   * it waits for the disk and never answers null.
   */
  seek(key: Uint8Array | undefined, reverse: boolean, wait: boolean): boolean | null
  next(wait: boolean): boolean | null
  /** Passes so many entries of the page, of which there are more. */
  skip(entries: number): void
  /**
   * The newest version of the current key that is not newer than `maxSeq`; false: there is none. The
   * value is looked for only `withValue`.
   */
  resolve(maxSeq: number, lookup: Lookup, withValue: boolean, wait: boolean): boolean | null
  load(): Promise<void>
  close(): void
}
