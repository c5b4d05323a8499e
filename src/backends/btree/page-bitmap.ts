/**
 * A set of page numbers, one bit each, with a summary bit per word so that the lowest member is
 * found without walking the whole set.
 */
export class PageBitmap {
  #words: Uint32Array
  /** Bit i of word w: word 32w + i holds a member. */
  #summary: Uint32Array
  /** No summary word below this one has a bit set. */
  #lowestSummary = 0
  #count = 0

  constructor(pageCount = 1024) {
    const words = (pageCount + 31) >>> 5
    this.#words = new Uint32Array(words)
    this.#summary = new Uint32Array((words + 31) >>> 5)
  }

  get count(): number {
    return this.#count
  }

  has(pageNo: number): boolean {
    const word = pageNo >>> 5
    return word < this.#words.length && (this.#words[word] & (1 << (pageNo & 31))) !== 0
  }

  /** True when the page was not a member before. */
  add(pageNo: number): boolean {
    const word = pageNo >>> 5
    if (word >= this.#words.length) this.#grow(word + 1)
    const bit = 1 << (pageNo & 31)
    const old = this.#words[word]
    if ((old & bit) !== 0) return false
    this.#words[word] = old | bit
    this.#count++
    if (old === 0) {
      const summary = word >>> 5
      this.#summary[summary] |= 1 << (word & 31)
      if (summary < this.#lowestSummary) this.#lowestSummary = summary
    }
    return true
  }

  /** True when the page was a member. */
  delete(pageNo: number): boolean {
    const word = pageNo >>> 5
    if (word >= this.#words.length) return false
    const bit = 1 << (pageNo & 31)
    const old = this.#words[word]
    if ((old & bit) === 0) return false
    this.#words[word] = old & ~bit
    this.#count--
    if ((old & ~bit) === 0) this.#summary[word >>> 5] &= ~(1 << (word & 31))
    return true
  }

  /** The lowest member, or -1. */
  lowest(): number {
    const summary = this.#summary
    let i = this.#lowestSummary
    while (i < summary.length && summary[i] === 0) i++
    this.#lowestSummary = i
    if (i === summary.length) return -1
    const word = (i << 5) + lowestBit(summary[i])
    return (word << 5) + lowestBit(this.#words[word])
  }

  /** The lowest member at or above a page number, or -1. */
  next(from: number): number {
    const words = this.#words
    let word = from >>> 5
    if (word >= words.length) return -1
    const rest = words[word] & (0xffff_ffff << (from & 31))
    if (rest !== 0) return (word << 5) + lowestBit(rest)
    word++
    const summary = this.#summary
    let i = word >>> 5
    if (i >= summary.length) return -1
    let some = summary[i] & ((word & 31) === 0 ? 0xffff_ffff : 0xffff_ffff << (word & 31))
    while (some === 0) {
      if (++i >= summary.length) return -1
      some = summary[i]
    }
    word = (i << 5) + lowestBit(some)
    return (word << 5) + lowestBit(words[word])
  }

  /** The first number at or above `from` that is not a member. */
  nextAbsent(from: number): number {
    const words = this.#words
    let word = from >>> 5
    if (word >= words.length) return from
    const rest = ~words[word] & (0xffff_ffff << (from & 31))
    if (rest !== 0) return (word << 5) + lowestBit(rest)
    word++
    while (word < words.length && words[word] === 0xffff_ffff) word++
    return word < words.length ? (word << 5) + lowestBit(~words[word]) : words.length << 5
  }

  /** Start of the lowest run of at least `count` members at or above `from`, or -1. */
  findRun(count: number, from: number): number {
    for (let start = this.next(from); start !== -1;) {
      const end = this.nextAbsent(start)
      if (end - start >= count) return start
      start = this.next(end)
    }
    return -1
  }

  clone(): PageBitmap {
    const copy = new PageBitmap(0)
    copy.#words = this.#words.slice()
    copy.#summary = this.#summary.slice()
    copy.#lowestSummary = this.#lowestSummary
    copy.#count = this.#count
    return copy
  }

  #grow(words: number): void {
    const length = Math.max(words, this.#words.length * 2, 32)
    const grown = new Uint32Array(length)
    grown.set(this.#words)
    this.#words = grown
    const summary = new Uint32Array((length + 31) >>> 5)
    summary.set(this.#summary)
    this.#summary = summary
  }
}

function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word)
}
