import type { PageBytes } from '../../../page/format.js'
import type { Lookup } from '../lookup.js'

/**
 * Walks the keys of one source, a memtable or a level, in the direction of its last `seek`. Methods
 * that answer null found something not in memory: `load`, then call them again.
 */
export interface SourceCursor {
  /** The current key, where the cursor stands on one. */
  readonly key: PageBytes
  readonly keyStart: number
  readonly keyEnd: number

  /**
   * Moves to the first key at or behind `key`, or to the first of all; false at the end. With `wait`
   * it waits for the disk and never answers null.
   */
  seek(key: Uint8Array | undefined, reverse: boolean, wait: boolean): boolean | null
  next(wait: boolean): boolean | null
  /**
   * The newest version of the current key that is not newer than `maxSeq`; false: there is none. The
   * value is looked for only `withValue`.
   */
  resolve(maxSeq: number, lookup: Lookup, withValue: boolean, wait: boolean): boolean | null
  load(): Promise<void>
  close(): void
}
