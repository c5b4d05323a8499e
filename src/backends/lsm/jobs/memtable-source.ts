import { EntryKind } from '../../../memtable/entry.js'
import type { FrozenMemtable } from '../../../memtable/memtable.js'
import { SortedMemtable } from '../../../memtable/sorted-memtable.js'
import type { RangeTombstones } from '../../../memtable/range-tombstones.js'
import type { EntrySource } from './merge-source.js'

/** A frozen memtable as a source of a merge. */
export class MemtableSource implements EntrySource {
  readonly tombstones: RangeTombstones
  readonly key: Uint8Array
  keyStart = 0
  keyEnd = 0
  seq = 0
  kind: EntryKind = EntryKind.delete
  readonly value: Uint8Array
  valueStart = 0
  valueEnd = 0
  readonly bytesRead = 0
  readonly #sorted: SortedMemtable

  constructor(frozen: FrozenMemtable) {
    this.#sorted = new SortedMemtable(frozen)
    this.tombstones = this.#sorted.tombstones
    this.key = this.#sorted.memory.u8
    this.value = this.key
  }

  next(): boolean {
    const sorted = this.#sorted
    if (!sorted.next()) return false
    this.keyStart = sorted.keyStart
    this.keyEnd = sorted.keyEnd
    this.seq = sorted.seq
    this.kind = sorted.kind
    this.valueStart = sorted.valueStart
    this.valueEnd = sorted.valueEnd
    return true
  }

  async loadValue(): Promise<void> {
    // Every value of a memtable is there.
  }

  async close(): Promise<void> {
    // Memory goes with its last user.
  }
}
