import { compareBytes } from '../../base/bytes.js'

/** Keys from `low` (inclusive) to `high` (exclusive); undefined: unbounded. */
export interface KeySpan {
  readonly low: Buffer | undefined
  readonly high: Buffer | undefined
}

/** Ranges in order of their low keys, those that touch or overlap as one. */
export function joined(ranges: readonly KeySpan[]): KeySpan[] {
  const result: KeySpan[] = []
  for (const { low, high } of ranges) {
    const last = result.at(-1)
    if (last === undefined || startsBehind(low, last.high)) result.push({ low, high })
    else result[result.length - 1] = { low: last.low, high: laterHigh(last.high, high) }
  }
  return result
}

/** The ranges of keys for which nothing has been found yet: disjoint, in key order. */
export class KeyGaps {
  #gaps: KeySpan[]

  /** `gaps` come in order of their low keys; they may overlap. */
  constructor(gaps: readonly KeySpan[]) {
    this.#gaps = joined(gaps)
  }

  get ranges(): readonly KeySpan[] {
    return this.#gaps
  }

  /** Takes a range out; returns the parts of it that were gaps. */
  fill(low: Buffer | undefined, high: Buffer | undefined): KeySpan[] {
    const filled: KeySpan[] = []
    const gaps = this.#gaps
    const first = this.#firstEndingBehind(low)
    let index = first
    const left: KeySpan[] = []
    for (; index < gaps.length && startsBefore(gaps[index].low, high); index++) {
      const gap = gaps[index]
      const from = laterLow(gap.low, low)
      const to = earlierHigh(gap.high, high)
      if (!isOrdered(from, to)) {
        left.push(gap)
        continue
      }
      filled.push({ low: from, high: to })
      if (from !== gap.low && isOrdered(gap.low, from)) left.push({ low: gap.low, high: from })
      if (to !== gap.high && isOrdered(to, gap.high)) left.push({ low: to, high: gap.high })
    }
    if (filled.length > 0) gaps.splice(first, index - first, ...left)
    return filled
  }

  #firstEndingBehind(low: Buffer | undefined): number {
    if (low === undefined) return 0
    let from = 0
    let to = this.#gaps.length
    while (from < to) {
      const middle = (from + to) >>> 1
      const { high } = this.#gaps[middle]
      if (high !== undefined && compareBytes(high, low) <= 0) from = middle + 1
      else to = middle
    }
    return from
  }
}

/** Whether a range from `low` to `high` has room for a key. */
function isOrdered(low: Buffer | undefined, high: Buffer | undefined): boolean {
  return low === undefined || high === undefined
    ? high === undefined || high.length > 0
    : compareBytes(low, high) < 0
}

function startsBefore(low: Buffer | undefined, high: Buffer | undefined): boolean {
  return low === undefined || high === undefined || compareBytes(low, high) < 0
}

function laterLow(a: Buffer | undefined, b: Buffer | undefined): Buffer | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return compareBytes(a, b) >= 0 ? a : b
}

/** Whether there are keys between a range that ends at `high` and one that starts at `low`. */
function startsBehind(low: Buffer | undefined, high: Buffer | undefined): boolean {
  return low !== undefined && high !== undefined && compareBytes(low, high) > 0
}

function laterHigh(a: Buffer | undefined, b: Buffer | undefined): Buffer | undefined {
  if (a === undefined || b === undefined) return undefined
  return compareBytes(a, b) >= 0 ? a : b
}

function earlierHigh(a: Buffer | undefined, b: Buffer | undefined): Buffer | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return compareBytes(a, b) <= 0 ? a : b
}
