import { randomFillSync } from 'node:crypto'

/** Where randomness comes from; tests pass a seeded one. */
export interface Random {
  /** Fills the buffer and returns it. */
  fill(target: Uint8Array): Uint8Array
}

export const systemRandom: Random = { fill: (target) => randomFillSync(target) }

/** A small seeded generator (xorshift32) for reproducible runs; not for secrets. */
export class SeededRandom implements Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0 || 0x9e3779b9
  }

  /** A whole number from 0 to `bound` - 1. */
  below(bound: number): number {
    return this.#next() % bound
  }

  fill(target: Uint8Array): Uint8Array {
    for (let i = 0; i < target.length; i++) target[i] = this.#next() & 0xff
    return target
  }

  #next(): number {
    let x = this.#state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#state = x
    return x >>> 0
  }
}
