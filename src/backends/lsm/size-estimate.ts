import { isBelow, spanHolds, spansOverlap, type KeySpan } from '../../memtable/key-span.js'
import type { Version } from './manifest/version.js'
import type { TableMeta } from './table-meta.js'

/** Bytes of a key that an estimate looks at, behind what the bounds have in common. */
const comparedBytes = 6

/** Bytes on disk of the tables in a span; of those partly in it, a share by where its bounds lie. */
export function estimateSize(version: Version, span: KeySpan): number {
  let bytes = 0
  for (const table of version.tables()) {
    if (spansOverlap(table, span)) bytes += table.sizeBytes * shareOf(table, span)
  }
  return Math.round(bytes)
}

function shareOf(table: TableMeta, span: KeySpan): number {
  const from = spanHolds(table, span.low) ? placeOf(table, span.low) : 0
  const isCut = span.high !== undefined && isBelow(span.high, table.high)
  const to = isCut && span.high !== undefined ? placeOf(table, span.high) : 1
  return Math.max(0, to - from)
}

/** Where in a table's span a key lies, from 0 to 1, as if its keys were evenly spread. */
function placeOf({ low, high }: TableMeta, key: Uint8Array): number {
  if (high === undefined) return 0.5
  let common = 0
  while (common < low.length && low[common] === high[common]) common++
  const first = numberAt(low, common)
  const width = numberAt(high, common) - first
  if (width <= 0) return 0.5
  return Math.min(1, Math.max(0, (numberAt(key, common) - first) / width))
}

function numberAt(key: Uint8Array, start: number): number {
  let number = 0
  for (let i = start; i < start + comparedBytes; i++) number = number * 256 + (key[i] ?? 0)
  return number
}
