import type { DamagedRange, Finding, SalvageReport } from '../../backend/backend.js'
import { rangeFinding } from '../../backend/range-finding.js'
import type { KeySpan } from '../../memtable/key-span.js'
import type { LevelEntries } from './files/leveldb-entries.js'
import type { LogLoss } from './files/log-salvage.js'

/** What came of a salvage, the entries being written. */
export interface SalvageOutcome {
  /** Undefined: there was nothing to read. */
  readonly read: LevelEntries | undefined
  readonly entries: number
  readonly seq: number
  /** Losses of LevelDB's logs, or of what should have been there. */
  readonly logLosses: readonly Pick<LogLoss, 'path' | 'offset' | 'reason'>[]
  /** The write-ahead log has everything that those can have held. */
  readonly isReplayed: boolean
  /** Why anything may be older than it should be. */
  readonly unverified: string | undefined
  /** LevelDB's directory in the source. */
  readonly path: string
}

const staleReason = 'older values or removed keys may have come back'

/** Says what was saved, lost, and may be stale. */
export function reportSalvage(outcome: SalvageOutcome): SalvageReport {
  const { read, entries, seq, path, isReplayed, logLosses, unverified } = outcome
  const lostLogs = isReplayed ? [] : logLosses
  const lost = [
    ...(read?.losses ?? []).map((loss) => rangeOf(loss, loss.reason)),
    ...lostLogs.map((loss) => everything(`${describe(loss)}; any key may have been in it`)),
    ...(read === undefined ? [everything(`${path} is missing`)] : [])
  ]
  const isAllStale = unverified !== undefined || (lostLogs.length > 0 && entries > 0)
  const possiblyStale = isAllStale
    ? [everything(staleReason)]
    : (read?.stale ?? []).map((span) => rangeOf(span, staleReason))
  const findings = [
    ...lost.map((range) => rangeFinding('entries-lost', 'error', range, path)),
    ...possiblyStale.map((range) => rangeFinding('entries-stale', 'warning', range, path)),
    ...(isReplayed ? logLosses.map(replayed) : [])
  ]
  const { read: pagesRead, kept: pagesKept } = read?.blocks ?? { read: 0, kept: 0 }
  return { entries, pagesRead, pagesKept, seq, lost, possiblyStale, findings }
}

function describe({ path, offset, reason }: Pick<LogLoss, 'path' | 'offset' | 'reason'>): string {
  return offset === 0 ? `${path}: ${reason}` : `${path} at byte ${offset}: ${reason}`
}

function replayed(loss: Pick<LogLoss, 'path' | 'offset' | 'reason'>): Finding {
  return {
    severity: 'warning',
    kind: 'replayed',
    message: `${describe(loss)}; the write-ahead log still has every commit that was in it`,
    path: loss.path,
    offset: loss.offset
  }
}

function rangeOf({ low, high }: KeySpan, reason: string): DamagedRange {
  return { lowKey: low.length === 0 ? undefined : low, highKey: high, reason }
}

function everything(reason: string): DamagedRange {
  return { lowKey: undefined, highKey: undefined, reason }
}
