import type { Clock } from '../../../base/clock.js'
import { KintsugiError } from '../../../errors.js'
import type { RateLimiter } from './rate-limiter.js'

/** How long a job in the main thread works before the event loop goes on. */
const sliceMs = 4

const wordBytes = 4

/** The side of a job's control that can end it; shared memory, so it reaches a worker thread. */
export class JobAbort {
  readonly memory: SharedArrayBuffer
  readonly #flag: Int32Array

  constructor(memory = new SharedArrayBuffer(wordBytes)) {
    this.memory = memory
    this.#flag = new Int32Array(memory)
  }

  get isAborted(): boolean {
    return Atomics.load(this.#flag, 0) !== 0
  }

  /** The job ends with ABORTED at its next step. */
  abort(): void {
    Atomics.store(this.#flag, 0, 1)
  }
}

/** What a running job asks between its steps. */
export class JobControl {
  readonly #abort: JobAbort
  readonly #limiter: RateLimiter | undefined
  /** Of a thread that has other things to do as well; undefined: it has not. */
  readonly #clock: Clock | undefined
  #sliceEndMs = 0

  constructor(abort: JobAbort, limiter?: RateLimiter, clock?: Clock) {
    this.#abort = abort
    this.#limiter = limiter
    this.#clock = clock
  }

  throwIfAborted(): void {
    if (this.#abort.isAborted) throw aborted()
  }

  /** Between two steps: ends an aborted job, and lets the event loop go on where there is one. */
  async step(): Promise<void> {
    this.throwIfAborted()
    if (this.#clock === undefined) return
    const nowMs = this.#clock.now()
    if (nowMs < this.#sliceEndMs) return
    await new Promise<void>((resolve) => setImmediate(resolve))
    this.#sliceEndMs = this.#clock.now() + sliceMs
    this.throwIfAborted()
  }

  /** After writing so many bytes: a step that keeps to the rate limit. */
  async wrote(bytes: number): Promise<void> {
    await this.#limiter?.take(bytes, () => this.#abort.isAborted)
    await this.step()
  }
}

export function aborted(): KintsugiError {
  return new KintsugiError('KINTSUGI_ABORTED', 'the background job was ended before it was done')
}
