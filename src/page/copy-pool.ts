import { markAsUntransferable } from 'node:worker_threads'
import { BufferView } from '../base/bytes.js'
import type { PageBytes } from './format.js'

export const copyBlockBytes = 65_536
const maxPooledBytes = 4096

/**
 * Where the copies lie that reads hand out. Small ones share a block and are copied word by word,
 * several times faster than with an allocation for each: a block lives as long as any copy in it.
 */
export class CopyPool {
  /** The block of the last `reserve`, from its first byte on. */
  bytes!: Buffer
  words!: Uint32Array
  memory!: ArrayBuffer
  /** Behind the end at first: even what takes no room lies in a block. */
  #nextWord = (copyBlockBytes >>> 2) + 1

  /** Room for up to a block's bytes: where in the block it begins, a multiple of 4. */
  reserve(length: number): number {
    const words = (length + 3) >>> 2
    if (this.#nextWord + words > copyBlockBytes >>> 2) {
      this.bytes = Buffer.allocUnsafeSlow(copyBlockBytes)
      this.memory = this.bytes.buffer as ArrayBuffer
      // Other copies lie in it: passing one to a thread must not take them along.
      markAsUntransferable(this.memory)
      this.words = new Uint32Array(this.memory)
      this.#nextWord = 0
    }
    const start = this.#nextWord << 2
    this.#nextWord += words
    return start
  }

  /** A copy of the `length` bytes at the 4-byte aligned position `at`. */
  copy(page: PageBytes, at: number, length: number): Buffer {
    if (length > maxPooledBytes) {
      const copy = Buffer.allocUnsafeSlow(length)
      copy.set(page.u8.subarray(at, at + length))
      return copy
    }
    const start = this.reserve(length)
    const target = this.words
    const source = page.u32
    const first = start >> 2
    const from = at >> 2
    const words = (length + 3) >> 2
    for (let i = 0; i < words; i++) target[first + i] = source[from + i]
    return new BufferView(this.memory, start, length)
  }
}
