import { newestSeq } from '../../memtable/entry.js'
import { compareHighs, joinSpans, type KeySpan } from '../../memtable/key-span.js'
import { Lookup } from '../../memtable/lookup.js'
import type { MemtableCursor } from '../../memtable/memtable-cursor.js'
import type { Memtable } from '../../memtable/memtable.js'
import { RangeTombstones } from '../../memtable/range-tombstones.js'

/**
 * What memtables come to, for a store behind them that knows nothing of versions: the ranges they
 * remove, then the newest version of each key in key order, apart from those a removal hides.
 */
export class FrozenEntries {
  /** The newest version of the current key: a value or a removal. */
  readonly lookup = new Lookup()
  /** Newest first, each on a key. */
  #cursors: MemtableCursor[]
  readonly #tombstones: RangeTombstones
  /** Those on the current key, the newest first. */
  #current: MemtableCursor[] = []

  /** Newest first, their keys in order, and nothing is written to them any more. */
  constructor(memtables: readonly Memtable[]) {
    this.#tombstones = RangeTombstones.merge(memtables.map(({ tombstones }) => tombstones))
    const cursors = memtables.map((memtable) => memtable.cursor())
    this.#cursors = cursors.filter((cursor) => cursor.seek(undefined, false))
  }

  /** Apart from each other and in order. */
  removedSpans(): KeySpan[] {
    const spans: KeySpan[] = []
    for (const { low, high } of this.#tombstones.spans()) {
      const last = spans.at(-1)
      const touches = last !== undefined && compareHighs(low, last.high) <= 0
      if (touches) spans[spans.length - 1] = joinSpans(last, { low, high })
      else spans.push({ low, high })
    }
    return spans
  }

  /** Where the current key stands. */
  get key(): Pick<MemtableCursor, 'memory' | 'keyStart' | 'keyEnd'> {
    return this.#current[0]
  }

  /** Moves to the next key; false at the end. */
  next(): boolean {
    for (;;) {
      for (const cursor of this.#current) {
        if (!cursor.next()) this.#cursors = this.#cursors.filter((other) => other !== cursor)
      }
      this.#current = this.#firstOnes()
      if (this.#current.length === 0) return false
      const [newest] = this.#current
      // Every key has a version: without a bound the newest one is found.
      newest.read(newestSeq, this.lookup)
      const { memory, keyStart, keyEnd } = newest
      const removedSeq = this.#tombstones.coveringSeq(memory.u8, keyStart, keyEnd, newestSeq)
      if (removedSeq <= this.lookup.seq) return true
    }
  }

  /** The cursors on the lowest key. */
  #firstOnes(): MemtableCursor[] {
    const cursors = this.#cursors
    if (cursors.length <= 1) return cursors
    let first: MemtableCursor[] = []
    for (const cursor of cursors) {
      const order = first.length === 0 ? -1 : compareKeys(cursor, first[0])
      if (order < 0) first = [cursor]
      else if (order === 0) first.push(cursor)
    }
    return first
  }
}

function compareKeys(a: MemtableCursor, b: MemtableCursor): number {
  const { u8 } = a.memory
  const other = b.memory.u8
  return Buffer.compare(u8.subarray(a.keyStart, a.keyEnd), other.subarray(b.keyStart, b.keyEnd))
}
