import { malformed } from './byte-reader.js'

/**
 * Walks the entries of an unpacked block: each key shares a prefix with the one before it. Throws
 * CORRUPTION where the bytes are no entries. `key` and `value` are views that the next step changes.
 */
export class BlockEntries {
  readonly #bytes: Buffer
  readonly #end: number
  #at = 0
  #keyBuffer = Buffer.allocUnsafe(256)
  #keyBytes = 0
  #valueStart = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    if (bytes.length < 4) throw malformed('a block is too short')
    const restarts = bytes.readUInt32LE(bytes.length - 4)
    this.#end = bytes.length - 4 - 4 * restarts
    if (this.#end < 0) throw malformed('a block claims more restarts than fit')
  }

  /** With its trailer, where the block has such keys. */
  get key(): Buffer {
    return this.#keyBuffer.subarray(0, this.#keyBytes)
  }

  get value(): Buffer {
    return this.#bytes.subarray(this.#valueStart, this.#at)
  }

  /** Moves to the next entry, at first to the first one; false at the end. */
  next(): boolean {
    if (this.#at >= this.#end) return false
    const shared = this.#varint()
    const unshared = this.#varint()
    const valueBytes = this.#varint()
    const keyStart = this.#at
    if (shared > this.#keyBytes || unshared + valueBytes > this.#end - keyStart) {
      throw malformed('an entry of a block points behind its end')
    }
    this.#keyBytes = shared + unshared
    if (this.#keyBytes > this.#keyBuffer.length) this.#growKey(shared)
    this.#valueStart = keyStart + unshared
    this.#bytes.copy(this.#keyBuffer, shared, keyStart, this.#valueStart)
    this.#at = this.#valueStart + valueBytes
    return true
  }

  #growKey(shared: number): void {
    const larger = Buffer.allocUnsafe(2 * this.#keyBytes)
    this.#keyBuffer.copy(larger, 0, 0, shared)
    this.#keyBuffer = larger
  }

  #varint(): number {
    let value = 0
    let factor = 1
    for (let count = 0; count < 5; count++) {
      if (this.#at >= this.#end) break
      const byte = this.#bytes[this.#at++]
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
      factor *= 128
    }
    throw malformed('an entry of a block does not end')
  }
}
