import { KintsugiError } from '../../../errors.js'

/** Reads LevelDB's varints and length-prefixed bytes; every step is checked against the end. */
export class ByteReader {
  #at = 0

  constructor(private readonly bytes: Buffer) {}

  get isAtEnd(): boolean {
    return this.#at === this.bytes.length
  }

  byte(): number {
    if (this.#at >= this.bytes.length) throw malformed('it ends too early')
    return this.bytes[this.#at++]
  }

  /** A whole number below 2^32. */
  varint32(): number {
    const value = this.varint()
    if (value > 0xffffffff) throw malformed('a number is too large')
    return value
  }

  /** A whole number below 2^53: LevelDB itself counts further, no directory gets there. */
  varint(): number {
    let value = 0
    let factor = 1
    for (let count = 0; count < 10; count++) {
      const byte = this.byte()
      value += (byte & 0x7f) * factor
      if (value > Number.MAX_SAFE_INTEGER) throw malformed('a number is too large')
      if (byte < 0x80) return value
      factor *= 128
    }
    throw malformed('a number does not end')
  }

  /** Bytes with their length before them; a view, not a copy. */
  slice(): Buffer {
    const length = this.varint32()
    if (length > this.bytes.length - this.#at) throw malformed('a length points behind the end')
    const start = this.#at
    this.#at += length
    return this.bytes.subarray(start, this.#at)
  }
}

/** Bytes that are not what LevelDB writes there; the caller knows the file and the offset. */
export function malformed(message: string): KintsugiError {
  return new KintsugiError('KINTSUGI_CORRUPTION', message)
}
