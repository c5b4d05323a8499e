import type { SeededRandom } from '../../dist/base/random.js'
import type { Bytes } from '../../dist/index.js'

/** What encodings and orders of bytes are likely to get wrong. */
const pieces: readonly Buffer[] = [
  ...['', '\0', '\u00e9', '\u65e5', '\u{1f600}', '\ufeff', '\ufffd', '\uffff', '\ud7ff', '\ue000'],
  ...['ff', 'ffff', 'ffffff', '80', 'bf', 'f09f', 'eda080', 'c080', 'f4908080'].map((hex) =>
    Buffer.from(hex, 'hex')
  )
].map((piece) => Buffer.from(piece))

/** Strings that are no Unicode among them. */
const strings = ['\ud800', 'a\udfff', 'ab\ud83d\ude00', '\ufeff', '\0', 'ab', '']

const longKeySizes = [255, 256, 1023, 1024, 16384, 20_000, 65_534, 65_535]
/** Around what pages, blocks, entries of caches and the memory of texts are limited to. */
const longValueSizes = [1005, 1007, 1023, 1025, 5461, 5462, 16_366, 16_384, 49_135, 49_152, 65_536]

/** Keys and values of any bytes, some given as strings, a few of them long. */
export class AwkwardBytes {
  readonly #random: SeededRandom
  readonly #keys: readonly Bytes[]

  constructor(random: SeededRandom) {
    this.#random = random
    this.#keys = Array.from({ length: 20 + random.below(100) }, () => this.#newKey())
  }

  /** Mostly one of those that come again and again. */
  key(): Bytes {
    return this.#random.chance(3, 4) ? this.#random.pick(this.#keys) : this.#newKey()
  }

  keys(): Bytes[] {
    return Array.from({ length: 1 + this.#random.below(30) }, () => this.key())
  }

  value(): Bytes {
    const random = this.#random
    if (!random.chance(1, 25)) return this.#short(6)
    const bytes = Buffer.alloc(random.pick(longValueSizes), random.pick(pieces.slice(1)))
    return random.chance(1, 2) ? bytes.toString().slice(0, bytes.length / 3) : bytes
  }

  #newKey(): Bytes {
    const random = this.#random
    if (random.chance(1, 30)) {
      return Buffer.alloc(random.pick(longKeySizes), random.pick(pieces.slice(1)))
    }
    return random.chance(1, 10) ? random.pick(strings) : this.#short(4)
  }

  #short(maxPieces: number): Bytes {
    const random = this.#random
    const parts = Array.from({ length: random.below(maxPieces + 1) }, () =>
      random.chance(1, 4) ? Buffer.from([0x61 + random.below(6)]) : random.pick(pieces)
    )
    const bytes = Buffer.concat(parts)
    return random.chance(2, 5) ? bytes.toString() : bytes
  }
}
