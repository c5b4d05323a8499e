import { formatKey } from '../base/bytes.js'
import type { DamagedRange, Finding } from './backend.js'

/** What a salvage says of a range of keys, and of which file or directory. */
export function rangeFinding(
  kind: string,
  severity: Finding['severity'],
  { lowKey, highKey, reason }: DamagedRange,
  path: string
): Finding {
  const from = lowKey === undefined ? 'the first key' : formatKey(lowKey)
  const to = highKey === undefined ? 'the last' : `before ${formatKey(highKey)}`
  return {
    severity,
    kind,
    message: `keys from ${from} to ${to}: ${reason}`,
    path,
    ...(lowKey && { lowKey }),
    ...(highKey && { highKey })
  }
}
