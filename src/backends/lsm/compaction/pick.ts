import { compareBytes } from '../../../base/bytes.js'
import { isBelow, spansOverlap } from '../../../memtable/key-span.js'
import type { KeySpan } from '../../../memtable/key-span.js'
import type { TableMeta } from '../table-meta.js'

/** Work for a compaction: tables of one level and what they overlap in the level they go to. */
export interface Pick {
  readonly level: number
  readonly outputLevel: number
  /** Of `level`; from level 0 newest first, else in key order. */
  readonly upper: readonly TableMeta[]
  /** Of `outputLevel`, in key order; none where tables of a level are written anew. */
  readonly lower: readonly TableMeta[]
  /** From the first key of all of them to the last. */
  readonly span: KeySpan
  /** The tables only change their level; nothing is read or written. */
  readonly isMove: boolean
  /** How much it is needed; from 1 on it is. */
  readonly score: number
}

/** What a pick has to keep clear of. */
export interface Occupied {
  /** Tables of running compactions, and those set aside as damaged. */
  readonly tables: ReadonlySet<number>
  /** Where running compactions will put their outputs. */
  readonly outputs: readonly (KeySpan & { readonly level: number })[]
  /** Of the open views; larger than every number where there is none. */
  readonly oldestViewSeq: number
}

/** Indexes [first, end) of the tables that overlap the span; they are in key order and disjoint. */
export function overlapOf(tables: readonly TableMeta[], span: KeySpan): [number, number] {
  let low = 0
  let high = tables.length
  while (low < high) {
    const middle = (low + high) >> 1
    const isBefore = !isBelow(span.low, tables[middle].high)
    if (isBefore) low = middle + 1
    else high = middle
  }
  let end = low
  while (end < tables.length && isBelow(tables[end].low, span.high)) end++
  return [low, end]
}

export function overlapping(
  tables: readonly TableMeta[] | undefined,
  span: KeySpan
): readonly TableMeta[] {
  if (tables === undefined) return []
  const [first, end] = overlapOf(tables, span)
  return tables.slice(first, end)
}

/** True where the output of a running compaction may come to lie in the span. */
export function meetsOutput({ outputs }: Occupied, level: number, span: KeySpan): boolean {
  return outputs.some((output) => output.level === level && spansOverlap(output, span))
}

export function isAnyOccupied({ tables }: Occupied, wanted: readonly TableMeta[]): boolean {
  return wanted.some(({ number }) => tables.has(number))
}

export function byLowKey(a: KeySpan, b: KeySpan): number {
  return compareBytes(a.low, b.low)
}
