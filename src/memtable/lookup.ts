import type { CopyPool } from '../page/copy-pool.js'
import type { PageBytes } from '../page/format.js'
import { EntryKind, noSeq } from './entry.js'

/** What a lookup came to. */
export const Found = { notResident: -1, absent: 0, present: 1 } as const

/**
 * What a lookup found, in a memtable or a table; one object is used again and again. After `present`
 * it names a version and its value. The bytes stay where they are until something is loaded or
 * changed: copy them in the same turn.
 */
export class Lookup {
  seq = noSeq
  /** `delete` or `put`; the value of a `largePut` is fetched before the lookup is `present`. */
  kind: EntryKind = EntryKind.delete
  /** The value is `memory.u8[start, end)`; `start` is 4-byte aligned. */
  memory!: PageBytes
  start = 0
  end = 0

  /** After `notResident`, for the table that has to load it: kind, level, number and place. */
  missingKind = 0
  missingLevel = 0
  missingBlock = 0
  missingUnits = 0
  missingBytes = 0

  /** Misses what another lookup is missing. */
  miss(other: Lookup): void {
    this.missingKind = other.missingKind
    this.missingLevel = other.missingLevel
    this.missingBlock = other.missingBlock
    this.missingUnits = other.missingUnits
    this.missingBytes = other.missingBytes
  }

  get isDelete(): boolean {
    return this.kind === EntryKind.delete
  }

  /** A copy of the value, the caller's own. */
  value(pool: CopyPool): Buffer {
    return pool.copy(this.memory, this.start, this.end - this.start)
  }
}
