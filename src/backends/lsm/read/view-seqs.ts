import { noSeq } from '../entry.js'

/** Sequence numbers at which read views are open: versions that they see have to stay. */
export class ViewSeqs {
  /** Open views by sequence number; views are opened at numbers that never fall. */
  readonly #counts = new Map<number, number>()
  #newest = noSeq

  /** The highest number that a view is open at; 0 where there is none. */
  get newest(): number {
    return this.#newest
  }

  open(seq: number): void {
    this.#counts.set(seq, (this.#counts.get(seq) ?? 0) + 1)
    if (seq > this.#newest) this.#newest = seq
  }

  close(seq: number): void {
    const left = (this.#counts.get(seq) ?? 1) - 1
    if (left > 0) {
      this.#counts.set(seq, left)
      return
    }
    this.#counts.delete(seq)
    if (seq !== this.#newest) return
    this.#newest = this.#counts.size === 0 ? noSeq : Math.max(...this.#counts.keys())
  }

  /** The numbers, ascending, each once. */
  list(): number[] {
    return [...this.#counts.keys()].toSorted((a, b) => a - b)
  }
}
