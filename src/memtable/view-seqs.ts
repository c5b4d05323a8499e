import { noSeq } from './entry.js'

/** Closed views are forgotten when they are more than the open ones, and so many. */
const minForgotten = 32

/** Sequence numbers at which read views are open: versions that they see have to stay. */
export class ViewSeqs {
  /** Open views by sequence number. */
  readonly #counts = new Map<number, number>()
  /** Ascending, as views are opened at numbers that never fall; the last one is open. */
  #order: number[] = []

  /** The highest number that a view is open at; 0 where there is none. */
  get newest(): number {
    return this.#order.at(-1) ?? noSeq
  }

  open(seq: number): void {
    const count = this.#counts.get(seq) ?? 0
    this.#counts.set(seq, count + 1)
    if (seq === this.#order.at(-1)) return
    this.#order.push(seq)
    if (this.#order.length > 2 * this.#counts.size + minForgotten) this.#order = this.list()
  }

  close(seq: number): void {
    const left = (this.#counts.get(seq) ?? 1) - 1
    if (left > 0) {
      this.#counts.set(seq, left)
      return
    }
    this.#counts.delete(seq)
    while (this.#order.length > 0 && !this.#counts.has(this.newest)) this.#order.pop()
  }

  /** The numbers, ascending, each once. */
  list(): number[] {
    return this.#order.filter((seq) => this.#counts.has(seq))
  }
}
