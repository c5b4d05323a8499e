import type { DamagedRange, Finding } from '../../../backend/backend.js'
import { rangeFinding } from '../../../backend/range-finding.js'
import { compareBytes } from '../../../base/bytes.js'
import {
  compareHighs,
  isBelow,
  isEmptySpan,
  type KeySpan,
  spansOverlap
} from '../../../memtable/key-span.js'
import type { TableMeta } from '../table-meta.js'

const everything: KeySpan = { low: Buffer.alloc(0), high: undefined }

/** Keys that a salvage could not save. */
interface Loss extends KeySpan {
  readonly reason: string
  /** Versions up to here may be among them. */
  readonly maxSeq: number
  /** Number of the new table that still shows keys which something lost may have hidden; 0: none. */
  readonly ownTable: number
}

/** What a salvage has lost, and what it may have brought back. */
export class SalvageLosses {
  readonly #losses: Loss[] = []
  readonly #doubtful: KeySpan[] = []
  readonly #findings: Finding[] = []

  /** Versions up to `maxSeq` are lost; `ownTable` is not suspected of what it may bring back. */
  lose(span: KeySpan | undefined, reason: string, maxSeq = Infinity, ownTable = 0): void {
    this.#losses.push({ ...(span ?? everything), reason, maxSeq, ownTable })
  }

  /** Older values or removed keys may have come back. */
  doubt(span: KeySpan): void {
    this.#doubtful.push(span)
  }

  note(kind: string, message: string, path: string, span?: KeySpan): void {
    const bounds = span && { lowKey: span.low, ...(span.high && { highKey: span.high }) }
    this.#findings.push({ severity: 'warning', kind, message, path, ...bounds })
  }

  /** The report, given the tables that there are now. */
  report(
    tables: readonly TableMeta[],
    path: string
  ): {
    lost: DamagedRange[]
    possiblyStale: DamagedRange[]
    findings: Finding[]
  } {
    const lost = this.#losses.map((loss) => rangeOf(loss, loss.reason))
    const stale = [...this.#doubtful]
    for (const loss of this.#losses) {
      for (const table of tables) {
        const isOlder = table.minSeq < loss.maxSeq && table.number !== loss.ownTable
        if (isOlder && spansOverlap(loss, table)) stale.push(intersection(loss, table))
      }
    }
    const possiblyStale = joined(stale).map((span) =>
      rangeOf(span, 'older values or removed keys may have come back')
    )
    const findings = [
      ...lost.map((range) => rangeFinding('entries-lost', 'error', range, path)),
      ...possiblyStale.map((range) => rangeFinding('entries-stale', 'warning', range, path)),
      ...this.#findings
    ]
    return { lost, possiblyStale, findings }
  }
}

function intersection(a: KeySpan, b: KeySpan): KeySpan {
  return {
    low: compareBytes(a.low, b.low) >= 0 ? a.low : b.low,
    high: compareHighs(a.high, b.high) <= 0 ? a.high : b.high
  }
}

/** In key order, those that overlap or touch as one. */
export function joined(spans: readonly KeySpan[]): KeySpan[] {
  const sorted = spans
    .filter((span) => !isEmptySpan(span))
    .sort((a, b) => compareBytes(a.low, b.low))
  const result: { low: Uint8Array; high: Uint8Array | undefined }[] = []
  for (const { low, high } of sorted) {
    const last = result.at(-1)
    if (last && (isBelow(low, last.high) || compareHighs(low, last.high) === 0)) {
      if (compareHighs(high, last.high) > 0) last.high = high
    } else result.push({ low, high })
  }
  return result
}

function rangeOf({ low, high }: KeySpan, reason: string): DamagedRange {
  return { lowKey: low.length === 0 ? undefined : low, highKey: high, reason }
}
