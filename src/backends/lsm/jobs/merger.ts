import { newestSeq } from '../../../memtable/entry.js'
import { EntryKind } from '../../../memtable/entry.js'
import type { KeySpan } from '../../../memtable/key-span.js'
import { RangeTombstones } from '../../../memtable/range-tombstones.js'
import { SpanWalk } from './key-spans.js'
import type { EntrySource, SourceRun } from './merge-source.js'

export interface MergeRules {
  /** Sequence numbers of the open views, rising. */
  readonly viewSeqs: readonly number[]
  /** Range tombstones of all sources. */
  readonly tombstones: RangeTombstones
  /** Where versions may lie that are older than the sources' and not among them; in order. */
  readonly below: readonly KeySpan[]
}

/**
 * Merges runs of versions into one and leaves out what nobody can see. Readers are the newest state
 * and every open view; of a key's versions each reader sees the newest up to its own number, unless a
 * range tombstone between the version and the reader hides it. Versions come newest first, so the
 * readers that have not had theirs yet are always the oldest ones, and one index tells them.
 *
 * A tombstone is left out where nothing older lies below and no older view is open: then no older
 * version of its key is kept either, so that it has nothing to hide.
 *
 * Runs are given newest first: of versions that are alike in key and number the first run's counts.
 */
export class Merger {
  /** The source that holds the current version, after `next` came true. */
  entry!: EntrySource
  /** The current version is the first one kept of its key. */
  isNewKey = false
  /** Versions read so far. */
  entriesRead = 0

  readonly #runs: readonly SourceRun[]
  /** Indexes of the runs that have a version left, by it; the first `#count` count. */
  readonly #order: number[] = []
  #count = 0
  #isStarted = false
  readonly #viewSeqs: readonly number[]
  readonly #tombstones: RangeTombstones
  readonly #below: SpanWalk

  /** The key whose versions are being read, a copy. */
  #key = new Uint8Array(256)
  #keyBytes = -1
  /** Views that have not had their version of the key: the first so many. */
  #unserved = 0
  #isKeyKept = false

  constructor(runs: readonly SourceRun[], { viewSeqs, tombstones, below }: MergeRules) {
    this.#runs = runs
    this.#viewSeqs = viewSeqs
    this.#tombstones = tombstones
    this.#below = new SpanWalk(below)
  }

  /** To the next version to keep; false at the end. A promise only where it waits for the disk. */
  next(): boolean | Promise<boolean> {
    if (!this.#isStarted) return this.#start()
    while (this.#count > 0) {
      const moved = this.#runs[this.#order[0]].next()
      if (typeof moved !== 'boolean') return this.#whenMoved(moved)
      if (!this.#settle(moved)) return false
      if (this.#isKept()) return true
    }
    return false
  }

  async close(): Promise<void> {
    const closed = await Promise.allSettled(this.#runs.map((run) => run.close()))
    for (const result of closed) if (result.status === 'rejected') throw result.reason
  }

  async #whenMoved(moved: Promise<boolean>): Promise<boolean> {
    return this.#settle(await moved) && (this.#isKept() || this.next())
  }

  async #start(): Promise<boolean> {
    this.#isStarted = true
    for (let run = 0; run < this.#runs.length; run++) {
      if (await this.#runs[run].next()) this.#insert(run, 0)
    }
    if (this.#count === 0) return false
    this.entry = this.#runs[this.#order[0]].entry
    return this.#isKept() || this.next()
  }

  /** Puts the first run where it belongs after it moved; false when all are at their end. */
  #settle(isThere: boolean): boolean {
    const order = this.#order
    if (!isThere) {
      this.#count--
      for (let i = 0; i < this.#count; i++) order[i] = order[i + 1]
      if (this.#count === 0) return false
    } else if (this.#count > 1 && this.#isBehind(order[0], order[1])) {
      const run = order[0]
      this.#count--
      for (let i = 0; i < this.#count; i++) order[i] = order[i + 1]
      this.#insert(run, 1)
    }
    this.entry = this.#runs[order[0]].entry
    return true
  }

  /** Inserts a run behind the first `from`. */
  #insert(run: number, from: number): void {
    const order = this.#order
    let low = from
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#isBehind(run, order[middle])) low = middle + 1
      else high = middle
    }
    for (let i = this.#count; i > low; i--) order[i] = order[i - 1]
    order[low] = run
    this.#count++
  }

  #isBehind(a: number, b: number): boolean {
    const one = this.#runs[a].entry
    const other = this.#runs[b].entry
    const { key, keyStart } = one
    const otherKey = other.key
    const otherStart = other.keyStart
    const bytes = one.keyEnd - keyStart
    const otherBytes = other.keyEnd - otherStart
    const length = bytes < otherBytes ? bytes : otherBytes
    for (let i = 0; i < length; i++) {
      const difference = key[keyStart + i] - otherKey[otherStart + i]
      if (difference !== 0) return difference > 0
    }
    if (bytes !== otherBytes) return bytes > otherBytes
    return one.seq === other.seq ? a > b : one.seq < other.seq
  }

  /** Decides on the current version. */
  #isKept(): boolean {
    this.entriesRead++
    const entry = this.entry
    const { key, keyStart, keyEnd, seq } = entry
    const viewSeqs = this.#viewSeqs
    let reader = newestSeq
    if (this.#isSameKey(key, keyStart, keyEnd)) {
      const unserved = this.#unserved
      if (unserved === 0 || viewSeqs[unserved - 1] < seq) return false
      reader = 0
    } else {
      this.#copyKey(key, keyStart, keyEnd)
      this.#unserved = viewSeqs.length
      this.#isKeyKept = false
    }
    // The oldest of the readers of this version: what hides it from that one hides it from all.
    let left = this.#unserved
    while (left > 0 && viewSeqs[left - 1] >= seq) left--
    if (left < this.#unserved) reader = viewSeqs[left]
    this.#unserved = left
    if (!this.#tombstones.isEmpty) {
      if (this.#tombstones.coveringSeq(key, keyStart, keyEnd, reader) > seq) return false
    }
    if (left === 0 && entry.kind === EntryKind.delete) {
      if (!this.#below.holds(key, keyStart, keyEnd)) return false
    }
    this.isNewKey = !this.#isKeyKept
    this.#isKeyKept = true
    return true
  }

  #isSameKey(key: Uint8Array, start: number, end: number): boolean {
    const bytes = this.#keyBytes
    if (end - start !== bytes) return false
    const last = this.#key
    // Neighbours differ at their ends.
    for (let i = bytes - 1; i >= 0; i--) if (key[start + i] !== last[i]) return false
    return true
  }

  #copyKey(key: Uint8Array, start: number, end: number): void {
    const bytes = end - start
    if (bytes > this.#key.length) this.#key = new Uint8Array(bytes * 2)
    const copy = this.#key
    for (let i = 0; i < bytes; i++) copy[i] = key[start + i]
    this.#keyBytes = bytes
  }
}
