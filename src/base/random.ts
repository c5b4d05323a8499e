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
    // Neighbouring seeds must not give neighbouring runs, and xorshift alone mixes slowly.
    this.#state = mix(seed | 0) || 0x9e3779b9
  }

  /** A whole number from 0 to `bound` - 1. */
  below(bound: number): number {
    return this.#next() % bound
  }

  /** True with a probability of `numerator` in `denominator`. */
  chance(numerator: number, denominator: number): boolean {
    return this.below(denominator) < numerator
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!
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

/** Spreads a 32-bit number over all 32 bits, one to one. */
export function mix(value: number): number {
  let x = value
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad)
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97)
  return x ^ (x >>> 15)
}
