import type { DamagedRange } from './backend.js'
import { isCorruption } from '../errors.js'

/** Ranges of keys that could not be read since the opening, each once. */
export class DamageList {
  readonly #ranges = new Map<string, DamagedRange>()

  get ranges(): readonly DamagedRange[] {
    return [...this.#ranges.values()]
  }

  /** Keeps what an error says about keys; the error itself goes on to whoever asked. */
  note(error: unknown): void {
    if (!isCorruption(error)) return
    const { path, offset, lowKey, highKey } = error.facts
    const place = offset ?? Buffer.from(lowKey ?? []).toString('hex')
    this.#ranges.set(`${path}:${place}`, { lowKey, highKey, reason: error.message })
  }
}
