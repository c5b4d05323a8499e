import type { KeySpan } from '../../memtable/key-span.js'
import { KeySpace } from './format.js'

/** Keys up to this length share one piece of memory for each length. */
const maxScratchBytes = 256

const behindUserKeys = Buffer.from([KeySpace.user + 1])

/** The key under which LevelDB has a user's, in memory of its own. */
export function storedKey(key: Uint8Array): Buffer {
  const stored = Buffer.allocUnsafe(key.length + 1)
  stored[0] = KeySpace.user
  stored.set(key, 1)
  return stored
}

/** The user's key; a view. */
export function userKey(stored: Buffer): Buffer {
  return stored.subarray(1)
}

/** The keys of a span as LevelDB has them. */
export function storedSpan({ low, high }: KeySpan): { gte: Buffer; lt: Buffer } {
  return { gte: storedKey(low), lt: high === undefined ? behindUserKeys : storedKey(high) }
}

/** Makes stored keys that are read before the next one is made: without taking memory for each. */
export class KeyScratch {
  readonly #byLength: (Buffer | undefined)[] = []

  storedKey(key: Uint8Array): Buffer {
    const { length } = key
    if (length > maxScratchBytes) return storedKey(key)
    const stored = (this.#byLength[length] ??= this.#make(length))
    for (let i = 0; i < length; i++) stored[i + 1] = key[i]
    return stored
  }

  #make(length: number): Buffer {
    const stored = Buffer.allocUnsafeSlow(length + 1)
    stored[0] = KeySpace.user
    return stored
  }
}

/** Stored keys of a span from a key on, itself included, in a direction; undefined: from its end. */
export function storedRange(
  span: KeySpan,
  from: Uint8Array | undefined,
  reverse: boolean
): { gte: Buffer; lt?: Buffer; lte?: Buffer } {
  const whole = storedSpan(span)
  if (from === undefined) return whole
  const key = storedKey(from)
  return reverse ? { gte: whole.gte, lte: key } : { gte: key, lt: whole.lt }
}
