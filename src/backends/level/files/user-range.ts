import { compareBytes } from '../../../base/bytes.js'
import { successor, type KeySpan } from '../../../memtable/key-span.js'
import { KeySpace } from '../format.js'
import { withoutTrailer } from './internal-key.js'

/**
 * The span of users' keys in a span of stored keys. `low`: itself included, undefined: from the
 * first on; `high`: itself not included, undefined: to the last. Undefined where it holds none.
 */
export function userSpan(low: Uint8Array | undefined, high: Uint8Array | undefined) {
  const firstByte = low?.[0] ?? 0
  const isLowUser = low !== undefined && firstByte === KeySpace.user
  if (low !== undefined && firstByte > KeySpace.user) return undefined
  const isHighUser = high !== undefined && high.length > 0 && high[0] === KeySpace.user
  const isHighBelow = high !== undefined && (high.length === 0 || high[0] < KeySpace.user)
  if (isHighBelow) return undefined
  const span: KeySpan = {
    low: isLowUser ? Buffer.from(low.subarray(1)) : Buffer.alloc(0),
    high: isHighUser ? Buffer.from(high.subarray(1)) : undefined
  }
  return span.high !== undefined && compareBytes(span.low, span.high) >= 0 ? undefined : span
}

/** The same for bounds with trailers, both included. */
export function userSpanOfTable(smallest: Buffer, largest: Buffer): KeySpan | undefined {
  return userSpan(withoutTrailer(smallest), successor(withoutTrailer(largest)))
}

/** The span of one user's key, given as stored. */
export function spanOfKey(storedKey: Buffer): KeySpan {
  const low = Buffer.from(storedKey.subarray(1))
  return { low, high: successor(low) }
}
