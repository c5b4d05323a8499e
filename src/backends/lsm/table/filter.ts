/**
 * Tells of most keys that are not in a table that they are not: a Bloom filter in blocks of one
 * cache line, after Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters"
 * (2007). Layout and the reason for the choice: format.md.
 */

const bitsPerKey = 10
const probes = 6
const wordsPerLine = 16
const filterHeaderBytes = 8
const lineBytes = 64
const multiplier = 0x9e37_79b9
const blockedBloom = 1
/** The line of a key is computed exactly as long as there are fewer of them. */
const maxLines = 2 ** 20

/** Collects the hashes of a table's keys. */
export class FilterBuilder {
  #hashes = new Int32Array(2048)
  #count = 0

  get count(): number {
    return this.#count
  }

  add(low: number, high: number): void {
    if (2 * this.#count === this.#hashes.length) {
      const grown = new Int32Array(2 * this.#hashes.length)
      grown.set(this.#hashes)
      this.#hashes = grown
    }
    this.#hashes[2 * this.#count] = low
    this.#hashes[2 * this.#count + 1] = high
    this.#count++
  }

  /** The filter as it stands on disk. */
  finish(): Buffer {
    const lines = lineCount(this.#count)
    const words = new Uint32Array(lines * wordsPerLine)
    const hashes = this.#hashes
    for (let i = 0; i < this.#count; i++) {
      const line = lineOf(hashes[2 * i], lines)
      let bits = hashes[2 * i + 1]
      for (let probe = 0; probe < probes; probe++) {
        words[line + (bits >>> 28)] |= 1 << (bits >>> 23)
        bits = Math.imul(bits, multiplier)
      }
    }
    const bytes = Buffer.alloc(filterHeaderBytes + lines * lineBytes)
    bytes.writeUInt32LE(blockedBloom, 0)
    bytes.writeUInt32LE(lines, 4)
    for (let i = 0; i < words.length; i++) bytes.writeUInt32LE(words[i], filterHeaderBytes + 4 * i)
    return bytes
  }
}

export class Filter {
  readonly sizeBytes: number
  readonly #words: Uint32Array
  readonly #lines: number

  private constructor(words: Uint32Array, lines: number) {
    this.#words = words
    this.#lines = lines
    this.sizeBytes = words.length * 4
  }

  /** A filter from disk, copied; a message where the bytes are none. */
  static decode(bytes: Buffer): Filter | string {
    if (bytes.length < filterHeaderBytes) return 'a filter that ends inside its header'
    const kind = bytes.readUInt32LE(0)
    if (kind !== blockedBloom) return `a filter of unknown kind ${kind}`
    const lines = bytes.readUInt32LE(4)
    if (lines === 0 || lines > maxLines || bytes.length !== filterHeaderBytes + lines * lineBytes) {
      return `a filter of ${bytes.length} bytes for ${lines} lines`
    }
    const words = new Uint32Array(lines * wordsPerLine)
    for (let i = 0; i < words.length; i++) words[i] = bytes.readUInt32LE(filterHeaderBytes + 4 * i)
    return new Filter(words, lines)
  }

  /** False: no key of the table has this hash. */
  mayHold(low: number, high: number): boolean {
    const words = this.#words
    const line = lineOf(low, this.#lines)
    let bits = high
    for (let probe = 0; probe < probes; probe++) {
      if ((words[line + (bits >>> 28)] & (1 << (bits >>> 23))) === 0) return false
      bits = Math.imul(bits, multiplier)
    }
    return true
  }
}

/** Index of the line's first word. */
function lineOf(low: number, lines: number): number {
  return Math.floor(((low >>> 0) * lines) / 0x1_0000_0000) * wordsPerLine
}

function lineCount(keys: number): number {
  return Math.min(maxLines, Math.max(1, Math.ceil((keys * bitsPerKey) / (lineBytes * 8))))
}
