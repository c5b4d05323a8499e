import assert from 'node:assert/strict'
import type { DamagedRange } from '../../dist/backend/backend.js'
import type { RepairReport } from '../../dist/index.js'

/** What a store holds, and everything that it ever held. */
export interface Contents {
  readonly entries: ReadonlyMap<string, Buffer>
  readonly history: ReadonlyMap<string, readonly Buffer[]>
}

/** What differs from the contents: keys without a value, and keys with an older one. */
export interface Differences {
  readonly missing: number
  readonly stale: number
}

/** Sums over the cases, so that a campaign that harms nothing is noticed. */
export class Tally {
  cases = 0
  rebuilt = 0
  missing = 0
  stale = 0
  reported = 0

  add({ report, missing, stale }: Differences & { readonly report: RepairReport }): void {
    this.cases++
    if (report.rebuilt) this.rebuilt++
    if (report.lost.length + report.possiblyStale.length > 0) this.reported++
    this.missing += missing
    this.stale += stale
  }
}

/** Throws where a key is missing, or has an old value, and the report does not say so. */
export function compareWithHistory(
  { entries, history }: Contents,
  found: ReadonlyMap<string, Buffer>,
  { lost, possiblyStale, lostCommits }: RepairReport
): Differences {
  let [missing, stale] = [0, 0]
  for (const key of new Set([...history.keys(), ...found.keys()])) {
    const [expected, actual] = [entries.get(key), found.get(key)]
    if (actual === undefined ? expected === undefined : expected?.equals(actual)) continue
    if (actual === undefined) {
      missing++
      assert.ok(isIn(key, lost) || lostCommits.length > 0, `${key} is missing in silence`)
      continue
    }
    stale++
    const isOld = (history.get(key) ?? []).some((value) => value.equals(actual))
    assert.ok(isOld, `${key} has a value that it never had`)
    const what = expected === undefined ? 'came back' : 'is out of date'
    assert.ok(isIn(key, possiblyStale) || lostCommits.length > 0, `${key} ${what} in silence`)
  }
  return { missing, stale }
}

function isIn(key: string, ranges: readonly DamagedRange[]): boolean {
  const bytes = Buffer.from(key)
  return ranges.some(
    ({ lowKey, highKey }) =>
      (lowKey === undefined || Buffer.compare(lowKey, bytes) <= 0) &&
      (highKey === undefined || Buffer.compare(bytes, highKey) < 0)
  )
}
