/** What has a place among the open iterators, which only they change. */
interface Closable {
  place: number
  close(): void
}

/** The iterators that are still open, to be closed with what they read from. */
export class OpenIterators {
  readonly #open: Closable[] = []

  get size(): number {
    return this.#open.length
  }

  add(iterator: Closable): void {
    iterator.place = this.#open.push(iterator) - 1
  }

  /** The last one takes the place: no table that grows and shrinks with every short range. */
  remove(iterator: Closable): void {
    const last = this.#open.pop()!
    if (last === iterator) return
    this.#open[iterator.place] = last
    last.place = iterator.place
  }

  closeAll(): void {
    for (let last = this.#open.at(-1); last !== undefined; last = this.#open.at(-1)) last.close()
  }
}
