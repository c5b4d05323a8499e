import { newestSeq } from '../../memtable/entry.js'
import { findInMemtables } from '../../memtable/find.js'
import type { KeyHash } from '../../memtable/key-hash.js'
import { Found, Lookup } from '../../memtable/lookup.js'
import { MemtableList } from '../../memtable/memtable-list.js'
import type { Memtable } from '../../memtable/memtable.js'
import { ViewSeqs } from '../../memtable/view-seqs.js'
import { CopyPool } from '../../page/copy-pool.js'

/**
 * The commits that LevelDB does not have for certain, in memory in front of it: what stands here
 * hides what LevelDB has. Memtables that a view reads are pinned, so that their memory stays.
 */
export class Overlay {
  /** Numbers that views are open at: versions that they see are not overwritten. */
  readonly views = new ViewSeqs()
  readonly #memtables: MemtableList
  readonly #hash: KeyHash
  readonly #pool = new CopyPool()
  readonly #lookup = new Lookup()
  readonly #pins = new Map<Memtable, number>()
  /** Newest first; the active one may be empty. */
  #all: readonly Memtable[]

  constructor(memtableBytes: number, hash: KeyHash) {
    this.#hash = hash
    this.#memtables = new MemtableList(memtableBytes, hash)
    this.#all = this.#memtables.all
  }

  get usedBytes(): number {
    return this.#memtables.usedBytes
  }

  /** Memory of memtables that only views still read. */
  get pinnedBytes(): number {
    let bytes = 0
    for (const memtable of this.#pins.keys()) {
      if (!this.#all.includes(memtable)) bytes += memtable.arena.shared.byteLength
    }
    return bytes
  }

  /** Takes memory for a batch, so that `apply` cannot fail. */
  prepare(bytes: Buffer, start: number, end: number): void {
    this.#memtables.prepare(bytes, start, end)
  }

  apply(bytes: Buffer, start: number, end: number, seq: number): void {
    if (this.#memtables.reserve(bytes, start, end)) this.#all = this.#memtables.all
    this.#memtables.active.apply(bytes, start, end, seq, this.views.newest)
  }

  /** Nothing more is written to what there is; newest first. */
  freeze(): readonly Memtable[] {
    if (this.#memtables.freeze()) this.#all = this.#memtables.all
    return this.#memtables.immutables
  }

  /** LevelDB has all of these. */
  drop(memtables: readonly Memtable[]): void {
    this.#memtables.drop(memtables, (memtable) => this.#pins.has(memtable))
    this.#all = this.#memtables.all
  }

  /** A copy of the newest value; undefined where the key was removed, null where LevelDB decides. */
  get(key: Uint8Array): Buffer | undefined | null {
    const all = this.#all
    if (all.length === 1 && all[0].isEmpty) return null
    return this.getFrom(all, key, newestSeq)
  }

  /** The same of pinned memtables. */
  getFrom(
    memtables: readonly Memtable[],
    key: Uint8Array,
    maxSeq: number
  ): Buffer | undefined | null {
    if (memtables.length === 0) return null
    this.#hash.hash(key, 0, key.length)
    const found = findInMemtables(memtables, key, this.#hash, maxSeq, this.#lookup)
    if (found === Found.present) return this.#lookup.value(this.#pool)
    return found === Found.absent ? undefined : null
  }

  /** The memtables that hold something; they stay readable until `unpin`. */
  pin(): readonly Memtable[] {
    const pinned = this.#all.filter((memtable) => !memtable.isEmpty)
    for (const memtable of pinned) this.#pins.set(memtable, (this.#pins.get(memtable) ?? 0) + 1)
    return pinned
  }

  unpin(memtables: readonly Memtable[]): void {
    for (const memtable of memtables) {
      const left = this.#pins.get(memtable)! - 1
      if (left === 0) this.#pins.delete(memtable)
      else this.#pins.set(memtable, left)
    }
  }
}
