/**
 * Checksums of the pages written since the file was opened, by page number. A branch page copied
 * while a persist was in flight still carries the old checksums of its children; this table knows
 * the new ones, and overrules the parent wherever it knows a page.
 */
export class PageSums {
  #low = new Uint32Array(256)
  #high = new Uint32Array(256)
  #known = new Uint8Array(256)

  /** Makes room for page numbers below `pageCount`. */
  reserve(pageCount: number): void {
    if (pageCount <= this.#known.length) return
    let length = this.#known.length
    while (length < pageCount) length *= 2
    const low = new Uint32Array(length)
    const high = new Uint32Array(length)
    const known = new Uint8Array(length)
    low.set(this.#low)
    high.set(this.#high)
    known.set(this.#known)
    this.#low = low
    this.#high = high
    this.#known = known
  }

  knows(pageNo: number): boolean {
    return this.#known[pageNo] === 1
  }

  /** Only meaningful where `knows`. */
  low(pageNo: number): number {
    return this.#low[pageNo]
  }

  high(pageNo: number): number {
    return this.#high[pageNo]
  }

  set(pageNo: number, low: number, high: number): void {
    this.#low[pageNo] = low
    this.#high[pageNo] = high
    this.#known[pageNo] = 1
  }

  /** The page number was given to other contents. */
  forget(pageNo: number): void {
    this.#known[pageNo] = 0
  }
}
