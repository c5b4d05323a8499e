import type { LongKeys, PageBytes } from '../../page/format.js'
import { compareEntry, entryAt, entryCount, hasLongKey } from '../../page/read.js'

/**
 * The range of keys that belong to the leaf of the last descent, so that the next operation of a
 * batch need not descend again where its key lies in it. The bounds are the branches' own entries
 * and are compared where they stand: whoever changes a branch, or lets one be evicted, calls
 * `forget`.
 */
export class LeafRange {
  readonly #longKeys: LongKeys
  #isKnown = false
  /** Entries of branches; undefined where the tree ends on that side. */
  #low: PageBytes | undefined
  #lowEntry = 0
  #high: PageBytes | undefined
  #highEntry = 0

  constructor(longKeys: LongKeys) {
    this.#longKeys = longKeys
  }

  forget(): void {
    this.#isKnown = false
  }

  /** A descent begins at the root. */
  begin(): void {
    this.#isKnown = false
    this.#low = undefined
    this.#high = undefined
  }

  /** The descent goes on to the child at `index` of a branch. */
  narrow(branch: PageBytes, region: number, index: number): void {
    if (index > 0) {
      this.#low = branch
      this.#lowEntry = entryAt(branch, region, index)
    }
    if (index + 1 < entryCount(branch, region)) {
      this.#high = branch
      this.#highEntry = entryAt(branch, region, index + 1)
    }
  }

  /** The descent has come to the leaf. */
  end(): void {
    this.#isKnown = true
  }

  /** Whether `key[start, end)` belongs to the leaf; false also where that is not easily said. */
  holds(key: Uint8Array, start: number, end: number): boolean {
    if (!this.#isKnown) return false
    const low = this.#low
    if (low !== undefined) {
      if (hasLongKey(low.u32[this.#lowEntry >>> 2])) return false
      if (compareEntry(low, this.#lowEntry, 0, key, start, end, this.#longKeys) < 0) return false
    }
    const high = this.#high
    if (high === undefined) return true
    if (hasLongKey(high.u32[this.#highEntry >>> 2])) return false
    return compareEntry(high, this.#highEntry, 0, key, start, end, this.#longKeys) < 0
  }
}
