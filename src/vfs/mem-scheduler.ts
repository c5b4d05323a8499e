import type { SeededRandom } from '../base/random.js'

/** Decides when an asynchronous operation takes effect and when its promise settles. */
export interface MemScheduler {
  run<T>(effect: () => T): Promise<T>
}

/** When an operation takes effect: as it is submitted, just before it settles, or either. */
export type EffectTime = 'submission' | 'completion' | 'random'

/** Settles in order of submission, in a later microtask: the fastest. */
export class MicrotaskScheduler implements MemScheduler {
  readonly #early: boolean

  constructor(effectTime: 'submission' | 'completion' = 'completion') {
    this.#early = effectTime === 'submission'
  }

  async run<T>(effect: () => T): Promise<T> {
    if (!this.#early) {
      await Promise.resolve()
      return effect()
    }
    const result = effect()
    await Promise.resolve()
    return result
  }
}

/** Settles in order of submission, in a later turn of the event loop. */
export class MacrotaskScheduler implements MemScheduler {
  readonly #early: boolean

  constructor(effectTime: 'submission' | 'completion' = 'completion') {
    this.#early = effectTime === 'submission'
  }

  run<T>(effect: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const outcome = this.#early ? attempt(effect) : undefined
      setImmediate(() => settle(outcome ?? attempt(effect), resolve, reject))
    })
  }
}

/**
 * Lets operations in flight overtake each other, as a thread pool does: each turn of the event loop
 * advances one of them, chosen by the seed.
 */
export class SeededScheduler implements MemScheduler {
  readonly #random: SeededRandom
  readonly #effectTime: EffectTime
  readonly #waiting: (() => void)[] = []

  constructor(random: SeededRandom, effectTime: EffectTime = 'random') {
    this.#random = random
    this.#effectTime = effectTime
  }

  run<T>(effect: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const early =
        this.#effectTime === 'submission' ||
        (this.#effectTime === 'random' && this.#random.chance(1, 3))
      const late =
        this.#effectTime === 'completion' ||
        (this.#effectTime === 'random' && this.#random.chance(1, 2))
      if (early) {
        const outcome = attempt(effect)
        this.#wait(() => settle(outcome, resolve, reject))
      } else if (late) {
        this.#wait(() => settle(attempt(effect), resolve, reject))
      } else {
        this.#wait(() => {
          const outcome = attempt(effect)
          this.#wait(() => settle(outcome, resolve, reject))
        })
      }
    })
  }

  #wait(step: () => void): void {
    this.#waiting.push(step)
    setImmediate(() => {
      const [chosen] = this.#waiting.splice(this.#random.below(this.#waiting.length), 1)
      chosen!()
    })
  }
}

type Outcome<T> = { readonly value: T } | { readonly error: unknown }

function attempt<T>(effect: () => T): Outcome<T> {
  try {
    return { value: effect() }
  } catch (error) {
    return { error }
  }
}

function settle<T>(
  outcome: Outcome<T>,
  resolve: (value: T) => void,
  reject: (error: unknown) => void
): void {
  if ('error' in outcome) reject(outcome.error)
  else resolve(outcome.value)
}
