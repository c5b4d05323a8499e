import type { Clock } from '../base/clock.js'
import type { StoreEvents, Telemetry } from '../telemetry/telemetry.js'

/** A stretch of time in which writes wait, for one reason: counted, and told to listeners. */
export class Stall {
  readonly #reason: StoreEvents['stall'][0]['reason']
  readonly #clock: Clock
  readonly #telemetry: Telemetry
  #sinceMs: number | undefined

  constructor(reason: StoreEvents['stall'][0]['reason'], clock: Clock, telemetry: Telemetry) {
    this.#reason = reason
    this.#clock = clock
    this.#telemetry = telemetry
  }

  get isOn(): boolean {
    return this.#sinceMs !== undefined
  }

  /** Writes wait from here on, because of so many bytes. Nothing new where they do already. */
  begin(bytes: number): void {
    if (this.#sinceMs !== undefined) return
    this.#sinceMs = this.#clock.now()
    this.#telemetry.counters.stalls++
    this.#telemetry.emit('stall', { reason: this.#reason, bytes })
  }

  /** Writes go on, if they waited. */
  end(): void {
    if (this.#sinceMs === undefined) return
    const durationMs = this.#clock.now() - this.#sinceMs
    this.#sinceMs = undefined
    this.#telemetry.counters.stallMs += durationMs
    this.#telemetry.emit('stall-end', { durationMs })
  }
}
