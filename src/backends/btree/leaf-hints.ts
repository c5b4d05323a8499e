/** One for each 32 bytes of the log's staging memory. */
const hintCount = 8192
const hintShift = 5

/**
 * The leaves that preparing an operation came to, so that applying it need not go down again. They
 * are found by where the operation stands in its batch's memory and may be those of another
 * operation, or out of date: whoever takes one makes sure that it is right (`Tree#find`).
 */
export class LeafHints {
  readonly #pages = new Int32Array(hintCount)

  note(keyStart: number, leaf: number): void {
    this.#pages[(keyStart >>> hintShift) & (hintCount - 1)] = leaf
  }

  /** A page number; 0 for none. */
  at(keyStart: number): number {
    return this.#pages[(keyStart >>> hintShift) & (hintCount - 1)]
  }

  forget(): void {
    this.#pages.fill(0)
  }
}
