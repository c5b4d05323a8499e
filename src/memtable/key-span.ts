import type { ByteRange } from '../batch/batch.js'
import { compareBytes } from '../base/bytes.js'

/** Keys from `low` up to but not including `high`; `high` undefined: all from `low` on. */
export interface KeySpan {
  readonly low: Uint8Array
  readonly high: Uint8Array | undefined
}

/** The lowest key there can be. */
const noBytes = Buffer.alloc(0)

/** The smallest key behind `key`. May be one byte longer than a key can be. */
export function successor(key: Uint8Array): Buffer {
  const next = Buffer.alloc(key.length + 1)
  next.set(key)
  return next
}

/** A range of keys with its bounds made inclusive below and exclusive above. */
export function spanOf({ gt, gte, lt, lte }: ByteRange): KeySpan {
  const low = gte ?? (gt === undefined ? noBytes : successor(gt))
  return { low, high: lt ?? (lte === undefined ? undefined : successor(lte)) }
}

/** True where the span holds no key. */
export function isEmptySpan({ low, high }: KeySpan): boolean {
  return high !== undefined && compareBytes(low, high) >= 0
}

/** Order of two upper bounds; undefined is above all. */
export function compareHighs(a: Uint8Array | undefined, b: Uint8Array | undefined): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined)
  return compareBytes(a, b)
}

/** True where the key lies before the upper bound. */
export function isBelow(key: Uint8Array, high: Uint8Array | undefined): boolean {
  return high === undefined || compareBytes(key, high) < 0
}

export function spansOverlap(a: KeySpan, b: KeySpan): boolean {
  return isBelow(a.low, b.high) && isBelow(b.low, a.high)
}

export function spanHolds({ low, high }: KeySpan, key: Uint8Array): boolean {
  return compareBytes(low, key) <= 0 && isBelow(key, high)
}

/** The smallest span that holds both. */
export function joinSpans(a: KeySpan, b: KeySpan): KeySpan {
  return {
    low: compareBytes(a.low, b.low) <= 0 ? a.low : b.low,
    high: compareHighs(a.high, b.high) >= 0 ? a.high : b.high
  }
}
