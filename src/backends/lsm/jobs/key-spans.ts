import { compareBytes } from '../../../base/bytes.js'
import { compareHighs } from '../../../memtable/key-span.js'
import type { KeySpan } from '../../../memtable/key-span.js'
import { RangeTombstones } from '../../../memtable/range-tombstones.js'

/** The spans as disjoint ones in key order. */
export function joinedSpans(spans: readonly KeySpan[]): KeySpan[] {
  const sorted = spans.toSorted((a, b) => compareBytes(a.low, b.low))
  const joined: KeySpan[] = []
  for (const { low, high } of sorted) {
    const last = joined.at(-1)
    if (last === undefined || (last.high !== undefined && compareBytes(last.high, low) < 0)) {
      joined.push({ low, high })
    } else if (compareHighs(last.high, high) < 0) {
      joined[joined.length - 1] = { low: last.low, high }
    }
  }
  return joined
}

/** Answers for rising keys whether they lie in one of the spans, which are disjoint and in order. */
export class SpanWalk {
  readonly #spans: readonly KeySpan[]
  #at = 0

  constructor(spans: readonly KeySpan[]) {
    this.#spans = spans
  }

  /** Keys of successive calls never fall. */
  holds(key: Uint8Array, start: number, end: number): boolean {
    const spans = this.#spans
    while (this.#at < spans.length) {
      const { low, high } = spans[this.#at]
      if (high === undefined || compareKey(key, start, end, high) < 0) {
        return compareKey(key, start, end, low) >= 0
      }
      this.#at++
    }
    return false
  }
}

/**
 * The tombstones that a merge keeps: where one of the spans `below` may hold older versions, all
 * that hide something, elsewhere only those that hide something from some view's successor.
 */
export function retainedTombstones(
  tombstones: RangeTombstones,
  viewSeqs: readonly number[],
  below: readonly KeySpan[]
): RangeTombstones {
  if (tombstones.isEmpty) return tombstones
  const parts: RangeTombstones[] = []
  let from: Uint8Array | undefined = new Uint8Array(0)
  for (const { low, high } of below) {
    parts.push(tombstones.clip(from, low).retain(viewSeqs, true))
    parts.push(tombstones.clip(low, high).retain(viewSeqs, false))
    from = high
    if (from === undefined) return RangeTombstones.merge(parts)
  }
  parts.push(tombstones.clip(from, undefined).retain(viewSeqs, true))
  return RangeTombstones.merge(parts)
}

/** Order of `key[start, end)` and another key. */
export function compareKey(key: Uint8Array, start: number, end: number, other: Uint8Array): number {
  const length = Math.min(end - start, other.length)
  for (let i = 0; i < length; i++) {
    const difference = key[start + i] - other[i]
    if (difference !== 0) return difference
  }
  return end - start - other.length
}
