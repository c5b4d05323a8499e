import { createHash } from 'node:crypto'

const bufferBytes = 64 * 1024

/**
 * SHA-256 of what a store holds, wherever and however it holds it: for each entry, in key order,
 *
 * ```
 * keyBytes u32 | key | valueBytes u32 | value
 * ```
 *
 * with little-endian numbers. The lengths keep the end of a key apart from the beginning of a value.
 */
export class ContentDigest {
  #entries = 0
  #bytes = 0
  readonly #hash = createHash('sha256')
  /** Entries are gathered here: a call of the hash costs more than copying a small entry. */
  readonly #buffer = Buffer.allocUnsafe(bufferBytes)
  #length = 0

  get entries(): number {
    return this.#entries
  }

  /** Bytes of keys and values. */
  get bytes(): number {
    return this.#bytes
  }

  add(key: Uint8Array, value: Uint8Array): void {
    this.#entries++
    this.#bytes += key.length + value.length
    this.#addPart(key)
    this.#addPart(value)
  }

  /** The digest as hexadecimal; nothing can be added afterwards. */
  finish(): string {
    this.#flush()
    return this.#hash.digest('hex')
  }

  #addPart(part: Uint8Array): void {
    if (this.#length + 4 > bufferBytes) this.#flush()
    this.#buffer.writeUInt32LE(part.length, this.#length)
    this.#length += 4
    if (this.#length + part.length > bufferBytes) this.#flush()
    if (part.length > bufferBytes) {
      this.#hash.update(part)
      return
    }
    this.#buffer.set(part, this.#length)
    this.#length += part.length
  }

  #flush(): void {
    this.#hash.update(this.#buffer.subarray(0, this.#length))
    this.#length = 0
  }
}
