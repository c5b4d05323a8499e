import { BatchReader, OperationKind, operationHeaderBytes } from './batch.js'

/** Operation numbers take half a word of a sort key. */
const maxOperations = 65_536
/** Given out at once: about a thousand small operations, less than the second-level cache. */
const partBytes = 128 * 1024
/** Shorter runs are sorted by comparing whole keys. */
const shortRun = 16

/**
 * Merges batches that follow one another into one that does the same, in key order: of all
 * operations on a key only the last counts. Random writes so become neighbours, which a tree takes
 * in many times faster.
 *
 * The sort looks at the six bytes behind what the keys have in common, and again at what is equal
 * there.
 */
export class BatchMerger {
  /** The batches as they were added. */
  readonly bytes: Buffer
  /** Part of what they make together; see `next`. */
  part = Buffer.allocUnsafeSlow(partBytes)
  readonly #reader = new BatchReader(Buffer.alloc(0))
  /** Where each operation begins, where its key ends, where it ends. */
  readonly #starts = new Uint32Array(maxOperations)
  readonly #keyEnds = new Uint32Array(maxOperations)
  readonly #ends = new Uint32Array(maxOperations)
  /** Operation numbers, by and by in key order. */
  readonly #order = new Uint32Array(maxOperations)
  /** Sort keys: six bytes of the key and the operation's number, and the same as pairs of words. */
  readonly #sortKeys = new BigUint64Array(maxOperations)
  readonly #sortWords = new Uint32Array(this.#sortKeys.buffer)
  #count = 0
  #usedBytes = 0
  /** Operations, in key order, that `next` has passed. */
  #given = 0

  constructor(capacityBytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(capacityBytes)
  }

  get isEmpty(): boolean {
    return this.#count === 0
  }

  clear(): void {
    this.#count = 0
    this.#usedBytes = 0
  }

  /**
   * Adds a batch and returns where its copy begins; -1 where there is no room for it, or where it
   * removes a range, whose place among the others must not change.
   */
  add(bytes: Buffer, start: number, end: number): number {
    const at = this.#usedBytes
    if (at + end - start > this.bytes.length) return -1
    bytes.copy(this.bytes, at, start, end)
    const reader = this.#reader
    reader.reset(this.bytes, at, at + end - start)
    let count = this.#count
    while (reader.next()) {
      if (reader.kind === OperationKind.clear || count === maxOperations) return -1
      this.#starts[count] = reader.keyStart - operationHeaderBytes
      this.#keyEnds[count] = reader.keyEnd
      this.#ends[count++] = reader.valueEnd
    }
    this.#count = count
    this.#usedBytes = at + end - start
    return at
  }

  /** Sorts what was added; `next` then gives it out. */
  sort(): void {
    for (let i = 0; i < this.#count; i++) this.#order[i] = i
    this.#sort(0, this.#count, operationHeaderBytes)
    this.#given = 0
  }

  /**
   * The next part of what the batches make together: a batch that `part` holds up to the returned
   * size until the next call; 0 when there is no more.
   */
  next(): number {
    let used = 0
    for (; this.#given < this.#count; this.#given++) {
      const operation = this.#order[this.#given]
      if (this.#isReplaced(this.#given)) continue
      const start = this.#starts[operation]
      const size = this.#ends[operation] - start
      if (used > 0 && used + size > partBytes) break
      if (used + size > this.part.length) this.part = Buffer.allocUnsafeSlow(size)
      this.#copy(start, size, used)
      used += size
    }
    return used
  }

  /** Short runs are faster byte by byte than through the call that copies. */
  #copy(start: number, size: number, target: number): void {
    const { bytes, part } = this
    if (size > 192) bytes.copy(part, target, start, start + size)
    else for (let i = 0; i < size; i++) part[target + i] = bytes[start + i]
  }

  /** Whether the operation at a place of the order is followed by one on the same key. */
  #isReplaced(place: number): boolean {
    if (place + 1 === this.#count) return false
    const operation = this.#order[place]
    const next = this.#order[place + 1]
    const keyBytes = this.#keyEnds[operation] - this.#starts[operation]
    const nextBytes = this.#keyEnds[next] - this.#starts[next]
    return keyBytes === nextBytes && this.#compare(operation, next) === 0
  }

  /** Sorts a part of the order, whose keys agree in what lies before `equal` bytes of theirs. */
  #sort(from: number, to: number, equal: number): void {
    if (to - from <= shortRun) {
      this.#insertionSort(from, to)
      return
    }
    const order = this.#order
    const words = this.#sortWords
    const offset = this.#commonEnd(from, to, equal)
    for (let i = from; i < to; i++) {
      const operation = order[i]
      const at = this.#starts[operation] + offset
      const end = this.#keyEnds[operation]
      words[2 * i] = (this.#half(at + 4, end) << 16) | operation
      words[2 * i + 1] = (this.#half(at, end) << 16) | this.#half(at + 2, end)
    }
    this.#sortKeys.subarray(from, to).sort()
    let runStart = from
    for (let i = from; i < to; i++) {
      order[i] = words[2 * i] & 0xffff
      const isLast = i + 1 === to || words[2 * i + 1] !== words[2 * i + 3]
      if (!isLast && words[2 * i] >>> 16 === words[2 * i + 2] >>> 16) continue
      if (i > runStart) this.#sortRun(runStart, i + 1, i + 1 - runStart < to - from, offset)
      runStart = i + 1
    }
  }

  /** Sorts what a sort left equal; where that was everything, only whole keys can tell. */
  #sortRun(from: number, to: number, hasProgress: boolean, offset: number): void {
    if (hasProgress) this.#sort(from, to, offset)
    else this.#order.subarray(from, to).sort((a, b) => this.#compare(a, b) || a - b)
  }

  /** Keeps the order of equal keys, as all sorts here do. */
  #insertionSort(from: number, to: number): void {
    const order = this.#order
    for (let i = from + 1; i < to; i++) {
      const operation = order[i]
      let at = i
      while (at > from && this.#compare(order[at - 1], operation) > 0) {
        order[at] = order[at - 1]
        at--
      }
      order[at] = operation
    }
  }

  /** How far from an operation's first byte the keys of a part of the order agree. */
  #commonEnd(from: number, to: number, equal: number): number {
    const { bytes } = this
    const first = this.#starts[this.#order[from]]
    let common = this.#keyEnds[this.#order[from]] - first
    for (let i = from + 1; i < to; i++) {
      const operation = this.#order[i]
      const start = this.#starts[operation]
      common = Math.min(common, this.#keyEnds[operation] - start)
      let at = equal
      while (at < common && bytes[start + at] === bytes[first + at]) at++
      common = at
    }
    return common
  }

  /** Two bytes of a key as a number, zeros behind its end. */
  #half(at: number, end: number): number {
    const { bytes } = this
    if (at + 1 < end) return (bytes[at] << 8) | bytes[at + 1]
    return at < end ? bytes[at] << 8 : 0
  }

  #compare(a: number, b: number): number {
    const { bytes } = this
    const endA = this.#keyEnds[a]
    const endB = this.#keyEnds[b]
    let atA = this.#starts[a] + operationHeaderBytes
    let atB = this.#starts[b] + operationHeaderBytes
    for (; atA < endA && atB < endB; atA++, atB++) {
      const difference = bytes[atA] - bytes[atB]
      if (difference !== 0) return difference
    }
    return endA - atA - (endB - atB)
  }
}
