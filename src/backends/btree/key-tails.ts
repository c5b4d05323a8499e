import type { LongKeys, PageBytes } from '../../page/format.js'
import { readExtentRef } from './node.js'
import type { Overflow } from './overflow.js'
import type { ExtentRef } from './page-content.js'

/** Thrown through a page search that may not wait, when it needs a key that is not in memory. */
class NotResident extends Error {}

/** Compares with keys whose whole length lies in an extent. */
export class KeyTails implements LongKeys {
  /** False while a caller must not wait for the disk; `compare` then throws `notResident`. */
  mayWait = true
  readonly notResident: Error = new NotResident('a long key is not in memory')
  /** The extent that `notResident` was thrown for. */
  missing: ExtentRef | undefined

  readonly #overflow: Overflow

  constructor(overflow: Overflow) {
    this.#overflow = overflow
  }

  /** The whole key; the bytes are not to be changed, and valid for this turn only. */
  bytes(ref: ExtentRef): Buffer {
    const resident = this.#overflow.peek(ref.page)
    if (resident !== null) return resident
    if (!this.mayWait) {
      const loaded = this.#overflow.tryLoad(ref) ? this.#overflow.peek(ref.page) : null
      if (loaded !== null) return loaded
      this.missing = ref
      throw this.notResident
    }
    return this.#overflow.readSync(ref.page, ref.sizeBytes, ref.sumLow, ref.sumHigh)
  }

  compare(
    page: PageBytes,
    reference: number,
    key: Uint8Array,
    start: number,
    end: number,
    equalBytes: number
  ): number {
    const whole = this.bytes(readExtentRef(page, reference))
    const keyBytes = end - start
    const length = Math.min(keyBytes, whole.length)
    for (let i = equalBytes; i < length; i++) {
      const difference = key[start + i] - whole[i]
      if (difference !== 0) return difference
    }
    return keyBytes - whole.length
  }
}
