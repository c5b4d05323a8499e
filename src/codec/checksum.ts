import xxhash from 'xxhash-wasm'

/**
 * Seeded XXH64 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md). The seed says
 * where the bytes belong, so bytes that are whole but in the wrong place fail as well.
 *
 * The 64-bit result is left in `low` and `high`: two numbers cost no allocation.
 */
export class Checksum {
  /** Lower and upper 32 bits of the last hash, unsigned. */
  low = 0
  high = 0

  readonly #hash: (bytes: Uint8Array, seed?: bigint) => bigint
  readonly #words = new Uint32Array(2)
  readonly #long = new BigUint64Array(this.#words.buffer)

  private constructor(hash: (bytes: Uint8Array, seed?: bigint) => bigint) {
    this.#hash = hash
  }

  static async create(): Promise<Checksum> {
    const hashes = await xxhash()
    return new Checksum((bytes, seed) => hashes.h64Raw(bytes, seed))
  }

  /** Hashes all bytes, with the two halves of the seed as unsigned 32-bit numbers. */
  hash(bytes: Uint8Array, seedLow: number, seedHigh: number): void {
    this.#words[0] = seedLow
    this.#words[1] = seedHigh
    this.#long[0] = this.#hash(bytes, this.#long[0])
    this.low = this.#words[0]
    this.high = this.#words[1]
  }
}
