import type { Backend } from '../backend/backend.js'
import type { Clock, Timer } from '../base/clock.js'
import type { Telemetry } from '../telemetry/telemetry.js'
import type { CommitQueue } from './commit-queue.js'
import { Stall } from './stall.js'

/** So much is let through while writes are slowed down, as RocksDB does by default. */
const slowBytesPerMs = 16 * 1024

/** What a throttle works with. */
export interface ThrottleParts {
  readonly backend: Backend
  readonly queue: CommitQueue
  readonly clock: Clock
  readonly telemetry: Telemetry
}

/**
 * Slows writes down while the backend's background work lags, and stops them when it lags too far:
 * a little delay for each write early is better than a long stop later.
 */
export class Throttle {
  readonly #backend: Backend
  readonly #queue: CommitQueue
  readonly #clock: Clock
  readonly #telemetry: Telemetry
  readonly #stop: Stall
  /** Since when writes are slowed down. */
  #slowSinceMs: number | undefined
  #lastBytes = 0
  /** The end of a pause. */
  #timer: Timer | undefined

  constructor({ backend, queue, clock, telemetry }: ThrottleParts) {
    this.#backend = backend
    this.#queue = queue
    this.#clock = clock
    this.#telemetry = telemetry
    this.#stop = new Stall('compaction', clock, telemetry)
  }

  /** Looks at the pressure, given the bytes committed so far in all. */
  check(committedBytes: number): void {
    const { pressure } = this.#backend
    if (pressure === 'stop') this.#begin()
    else this.#end()
    if (pressure === 'none') this.#hasten()
    else this.#slow(pressure, committedBytes)
    this.#lastBytes = committedBytes
  }

  /** Lets everything through again: the store closes. */
  close(): void {
    this.#end()
    this.#hasten()
  }

  #begin(): void {
    this.#stop.begin(this.#backend.dirtyBytes)
    this.#queue.hold('compaction', true)
  }

  #end(): void {
    if (!this.#stop.isOn) return
    this.#stop.end()
    this.#queue.hold('compaction', false)
  }

  /** Each group of commits pays for its bytes with a pause after it. */
  #slow(pressure: 'slowdown' | 'stop', committedBytes: number): void {
    if (this.#slowSinceMs === undefined) {
      this.#slowSinceMs = this.#clock.now()
      this.#telemetry.counters.slowdowns++
      this.#telemetry.emit('slowdown')
    }
    const delayMs = Math.ceil((committedBytes - this.#lastBytes) / slowBytesPerMs)
    if (pressure === 'stop' || delayMs === 0 || this.#timer !== undefined) return
    this.#queue.hold('slowdown', true)
    this.#timer = this.#clock.after(delayMs, () => this.#resume(), true)
  }

  #hasten(): void {
    if (this.#slowSinceMs === undefined) return
    const durationMs = this.#clock.now() - this.#slowSinceMs
    this.#slowSinceMs = undefined
    this.#telemetry.counters.slowdownMs += durationMs
    this.#telemetry.emit('slowdown-end', { durationMs })
    this.#timer?.cancel()
    this.#resume()
  }

  #resume(): void {
    this.#timer = undefined
    this.#queue.hold('slowdown', false)
  }
}
