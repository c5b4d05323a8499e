import type { PageBytes } from '../../../page/format.js'

/** A stretch of memory with its views; the one class for all of them keeps hot code monomorphic. */
export class BlockMemory implements PageBytes {
  readonly u8: Buffer
  readonly u32: Uint32Array

  constructor(memory: ArrayBuffer) {
    this.u8 = Buffer.from(memory)
    this.u32 = new Uint32Array(memory)
  }

  /** A copy of the bytes, readable in words to their end. */
  static of(bytes: Uint8Array): BlockMemory {
    const memory = new BlockMemory(new ArrayBuffer(Math.ceil(bytes.length / 4) * 4))
    memory.u8.set(bytes)
    return memory
  }
}
