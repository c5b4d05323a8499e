import type { PageBytes } from '../page/format.js'
import { Found, type Lookup } from '../memtable/lookup.js'
import type { MemtableCursor } from '../memtable/memtable-cursor.js'
import type { Memtable } from '../memtable/memtable.js'
import type { SourceCursor } from './source-cursor.js'

/** A memtable as a source of a merging cursor. */
export class MemtableSource implements SourceCursor {
  age = 0
  readonly key: PageBytes
  readonly page = undefined
  readonly maxUnorderedSeq = 0
  readonly #cursor: MemtableCursor

  constructor(memtable: Memtable) {
    this.#cursor = memtable.cursor()
    this.key = this.#cursor.memory
  }

  get keyStart(): number {
    return this.#cursor.keyStart
  }

  get keyEnd(): number {
    return this.#cursor.keyEnd
  }

  seek(key: Uint8Array | undefined, reverse: boolean): boolean {
    return this.#cursor.seek(key, reverse)
  }

  next(): boolean {
    return this.#cursor.next()
  }

  skip(): void {
    // There is no page to be called for.
  }

  resolve(maxSeq: number, lookup: Lookup): boolean {
    return this.#cursor.read(maxSeq, lookup) === Found.present
  }

  async load(): Promise<void> {
    // Everything is in memory.
  }

  close(): void {
    // It holds nothing.
  }
}
