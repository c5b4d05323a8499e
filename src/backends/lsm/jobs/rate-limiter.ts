import type { Clock } from '../../../base/clock.js'

/** Writing this long ahead of the rate is let through at once. */
const burstMs = 100
/** Waiting is cut into pieces, so that an abort is noticed. */
const maxSleepMs = 50

const microsPerMs = 1000

/**
 * Holds the bytes that all jobs of a store write to so many in a second. The state is one number in
 * shared memory, the time up to which the rate is used up, so jobs in several threads share it.
 */
export class RateLimiter {
  readonly memory: SharedArrayBuffer
  /** [0]: microseconds since the epoch up to which the rate is used up; [1]: bytes per second. */
  readonly #state: BigInt64Array
  readonly #clock: Clock

  /** A rate of 0 is no limit. With the memory of another thread's limiter the two are one. */
  constructor(bytesPerSecond: number, clock: Clock, memory?: SharedArrayBuffer) {
    this.memory = memory ?? new SharedArrayBuffer(16)
    this.#state = new BigInt64Array(this.memory)
    this.#clock = clock
    if (memory === undefined) this.#state[1] = BigInt(bytesPerSecond)
  }

  /** Counts bytes that were written, and waits while they are ahead of the rate. */
  async take(bytes: number, isAborted: () => boolean): Promise<void> {
    const rate = Number(Atomics.load(this.#state, 1))
    if (rate === 0 || bytes === 0) return
    const dueMs = this.#reserve(Math.ceil((bytes * 1e6) / rate))
    while (!isAborted()) {
      const leftMs = dueMs - this.#clock.now()
      if (leftMs <= 0) return
      await new Promise<void>((resolve) => {
        this.#clock.after(Math.min(leftMs, maxSleepMs), resolve)
      })
    }
  }

  /** Uses up the rate for so long; returns when the bytes would be through, less the burst. */
  #reserve(costMicros: number): number {
    const now = BigInt(Math.round(this.#clock.now() * microsPerMs))
    for (;;) {
      const used = Atomics.load(this.#state, 0)
      // A clock that was set back must not make jobs wait for the difference.
      const isPast = used < now || used > now + 60_000_000n + BigInt(costMicros)
      const next = (isPast ? now : used) + BigInt(costMicros)
      if (Atomics.compareExchange(this.#state, 0, used, next) !== used) continue
      return Number(next) / microsPerMs - burstMs
    }
  }
}
