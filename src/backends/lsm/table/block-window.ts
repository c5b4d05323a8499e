import type { VfsFile } from '../../../vfs/vfs.js'
import { blockAlignment } from './format.js'
import type { BlockHandle } from './table-output.js'

const windowBytes = 1024 * 1024

/** Reads the blocks of a table that are asked for in the order of the file, in large pieces. */
export class BlockWindow {
  /** Read from the disk so far. */
  bytesRead = 0
  readonly #file: VfsFile
  readonly #endBytes: number
  #bytes = Buffer.alloc(0)
  #start = 0

  /** Nothing from `endBytes` on is read. */
  constructor(file: VfsFile, endBytes: number) {
    this.#file = file
    this.#endBytes = endBytes
  }

  /** The block's bytes, fewer where the file ends before; they stay as they are. */
  read({ units, bytes }: Pick<BlockHandle, 'units' | 'bytes'>): Promise<Buffer> {
    return this.readAt(units * blockAlignment, bytes)
  }

  async readAt(position: number, bytes: number): Promise<Buffer> {
    let at = position - this.#start
    if (at < 0 || at + bytes > this.#bytes.length) {
      const left = Math.max(0, this.#endBytes - position)
      // A new one each time: what was handed out may still be looked at.
      const target = Buffer.allocUnsafeSlow(Math.min(left, Math.max(bytes, windowBytes)))
      const count = await this.#file.read(target, position)
      this.bytesRead += count
      this.#bytes = target.subarray(0, count)
      this.#start = position
      at = 0
    }
    return this.#bytes.subarray(at, at + bytes)
  }
}
