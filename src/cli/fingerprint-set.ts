/**
 * A set of keys seen, kept as 64-bit fingerprints in eight bytes each, that stops at a size limit.
 * With ten million keys the chance that any two of them are taken for one is about 1 in 400,000.
 */
export class FingerprintSet {
  readonly #maxBytes: number
  #high = new Uint32Array(1024)
  #low = new Uint32Array(1024)
  #size = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get size(): number {
    return this.#size
  }

  /** Adds a key: true when it is new, false when it was there, undefined when the set is full. */
  add(key: Uint8Array): boolean | undefined {
    if (this.#size * 4 >= this.#high.length * 3 && !this.#grow()) return undefined
    let high = 0x811c9dc5
    let low = 0x9e3779b9 ^ key.length
    for (let i = 0; i < key.length; i++) {
      high = Math.imul(high ^ key[i], 0x01000193)
      low = Math.imul(low ^ key[i], 0x85ebca6b)
      low ^= low >>> 15
    }
    high = Math.imul(high ^ (high >>> 16) ^ low, 0xc2b2ae35) >>> 0
    // Zero in both halves marks a free place.
    low = (Math.imul(low ^ (low >>> 13), 0x27d4eb2f) ^ high) >>> 0 || 1
    if (!this.#insert(high, low)) return false
    this.#size++
    return true
  }

  #insert(high: number, low: number): boolean {
    const mask = this.#high.length - 1
    for (let at = low & mask; ; at = (at + 1) & mask) {
      if (this.#low[at] === 0) {
        this.#high[at] = high
        this.#low[at] = low
        return true
      }
      if (this.#low[at] === low && this.#high[at] === high) return false
    }
  }

  #grow(): boolean {
    const capacity = this.#high.length * 2
    if (capacity * 8 > this.#maxBytes) return false
    const [high, low] = [this.#high, this.#low]
    this.#high = new Uint32Array(capacity)
    this.#low = new Uint32Array(capacity)
    for (let i = 0; i < low.length; i++) if (low[i] !== 0) this.#insert(high[i], low[i])
    return true
  }
}
