import { mix } from '../base/random.js'

/**
 * The 64-bit hash of a user key that memtables and table filters share, in the manner of MurmurHash3
 * (https://github.com/aappleby/smhasher, public domain), seeded by the store id. The halves stay in
 * `low` and `high` as signed 32-bit numbers: computing one allocates nothing.
 *
 * Filters on disk depend on it: it can only change with the table format's version.
 */
export class KeyHash {
  low = 0
  high = 0

  readonly #seedLow: number
  readonly #seedHigh: number

  constructor(storeId: Uint8Array) {
    let low = 0x3c6e_f372
    let high = 0x2b3e_6c1f
    for (let i = 0; i < storeId.length; i++) {
      low = mix(low ^ storeId[i])
      high = mix(high + low)
    }
    this.#seedLow = low
    this.#seedHigh = high
  }

  /** Hashes `key[start, end)`. */
  hash(key: Uint8Array, start: number, end: number): void {
    let a = this.#seedLow
    let b = this.#seedHigh
    let at = start
    for (; at + 8 <= end; at += 8) {
      const first = key[at] | (key[at + 1] << 8) | (key[at + 2] << 16) | (key[at + 3] << 24)
      const second = key[at + 4] | (key[at + 5] << 8) | (key[at + 6] << 16) | (key[at + 7] << 24)
      a = (stir(a ^ spread(first), 19) + b) | 0
      b = (stir(b ^ spread(second), 17) + a) | 0
    }
    if (at < end) {
      a = (stir(a ^ spread(wordOf(key, at, end)), 19) + b) | 0
      b = (stir(b ^ spread(wordOf(key, at + 4, end)), 17) + a) | 0
    }
    a ^= end - start
    b ^= end - start
    a = (a + b) | 0
    b = (b + a) | 0
    a = finish(a)
    b = finish(b)
    this.low = (a + b) | 0
    this.high = (b + this.low) | 0
  }
}

function spread(word: number): number {
  const product = Math.imul(word, 0xcc9e_2d51)
  return Math.imul((product << 15) | (product >>> 17), 0x1b87_3593)
}

function stir(word: number, turn: number): number {
  return (Math.imul((word << turn) | (word >>> (32 - turn)), 5) + 0x561c_cd1b) | 0
}

function finish(word: number): number {
  let x = word
  x = Math.imul(x ^ (x >>> 16), 0x85eb_ca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2_ae35)
  return x ^ (x >>> 16)
}

/** At most four bytes from `at`, little-endian, zeros behind `end`. */
function wordOf(key: Uint8Array, at: number, end: number): number {
  let word = 0
  const last = Math.min(end, at + 4)
  for (let i = at; i < last; i++) word |= key[i] << (8 * (i - at))
  return word
}
