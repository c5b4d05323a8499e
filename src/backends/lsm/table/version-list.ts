import { readLong } from '../../../base/words.js'
import { EntryKind } from '../../../memtable/entry.js'
import { handleBytes, storedVersionBytes } from './format.js'

/**
 * The versions of one key that stand in a block of their own, newest first: number, kind, size, each
 * with its bytes behind it, padded to a multiple of 4.
 */
export class VersionList {
  seq = 0
  kind = 0
  bytes: Buffer = Buffer.alloc(0)
  start = 0
  end = 0
  #next = 0

  /** Begins with bytes that `check` found to be such a list. */
  begin(bytes: Buffer): void {
    this.bytes = bytes
    this.#next = 0
  }

  /** What is wrong with the contents of a block, or undefined. */
  static check(bytes: Buffer): string | undefined {
    let at = 0
    let last = Number.MAX_SAFE_INTEGER + 1
    while (at < bytes.length) {
      if (bytes.length - at < storedVersionBytes) return 'a version ends beyond it'
      const seq = readLong(bytes, at)
      const kind = bytes.readUInt32LE(at + 8)
      const length = bytes.readUInt32LE(at + 12)
      at += storedVersionBytes + Math.ceil(length / 4) * 4
      if (at > bytes.length) return 'a version ends beyond it'
      if (seq >= last || kind > EntryKind.largePut) return 'its versions are out of order'
      if (kind === EntryKind.largePut && length !== handleBytes) return 'a bad handle'
      if (kind === EntryKind.delete && length !== 0) return 'a tombstone with a value'
      last = seq
    }
    return bytes.length === 0 ? 'it has no versions' : undefined
  }

  /** Moves to the next older version. */
  next(): boolean {
    const at = this.#next
    const { bytes } = this
    if (at >= bytes.length) return false
    const length = bytes.readUInt32LE(at + 12)
    this.seq = readLong(bytes, at)
    this.kind = bytes.readUInt32LE(at + 8)
    this.start = at + storedVersionBytes
    this.end = this.start + length
    this.#next = this.start + ((length + 3) & ~3)
    return true
  }
}
