import type { Writable } from 'node:stream'
import { formatDuration, formatNumber } from './output.js'

export const progressModes = ['auto', 'none', 'json'] as const
export type ProgressMode = (typeof progressModes)[number]

/** How far long work is; reported on the error stream, so that results can be piped. */
export interface ProgressState {
  readonly done: number
  /** Name of what is counted, such as `rows`. */
  readonly unit: string
  /** From 0 to 1; undefined where the end is not known. */
  readonly fraction: number | undefined
}

const terminalIntervalMs = 100
const linesIntervalMs = 5_000

/**
 * On a terminal one line that updates itself, elsewhere a line now and then. In JSON mode every
 * call writes a line at once: an import calls after each batch that is durable, so the last line
 * tells what is certainly in the store, whatever happens next.
 */
export class ProgressReporter {
  readonly #stream: Writable
  readonly #mode: ProgressMode
  readonly #label: string
  readonly #isTerminal: boolean
  readonly #startMs = performance.now()
  #shownMs: number
  #lineShown = false

  constructor(stream: Writable, mode: ProgressMode, label: string) {
    this.#stream = stream
    this.#mode = mode
    this.#label = label
    this.#isTerminal = (stream as { isTTY?: boolean }).isTTY === true
    // Short work says nothing on the way.
    this.#shownMs = this.#startMs
  }

  get elapsedMs(): number {
    return performance.now() - this.#startMs
  }

  update(state: ProgressState): void {
    if (this.#mode === 'none') return
    if (this.#mode === 'json') {
      this.#stream.write(`${JSON.stringify({ progress: this.#asJson(state) })}\n`)
      return
    }
    const nowMs = performance.now()
    const intervalMs = this.#isTerminal ? terminalIntervalMs : linesIntervalMs
    if (nowMs - this.#shownMs < intervalMs) return
    this.#shownMs = nowMs
    const text = this.#asText(state)
    this.#stream.write(this.#isTerminal ? `\r\u001b[2K${text}` : `${text}\n`)
    this.#lineShown = this.#isTerminal
  }

  /** Clears the line; results and errors come after. */
  end(): void {
    if (this.#lineShown) this.#stream.write('\r\u001b[2K')
    this.#lineShown = false
  }

  #asJson({ done, unit, fraction }: ProgressState): Record<string, unknown> {
    const elapsedMs = Math.round(this.elapsedMs)
    return { label: this.#label, done, unit, fraction: fraction ?? null, elapsedMs }
  }

  #asText({ done, unit, fraction }: ProgressState): string {
    const elapsedMs = this.elapsedMs
    const perSecond = Math.round((done / elapsedMs) * 1000)
    const parts = [`${this.#label}: ${formatNumber(done)} ${unit}`]
    parts.push(`${formatNumber(perSecond)} ${unit}/s`)
    if (fraction !== undefined && fraction > 0) {
      const leftMs = (elapsedMs / fraction) * (1 - fraction)
      parts.push(`${Math.floor(fraction * 100)} %`, `${formatDuration(leftMs)} left`)
    }
    return parts.join(', ')
  }
}
