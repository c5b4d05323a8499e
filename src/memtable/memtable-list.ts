import { BatchReader, operationHeaderBytes } from '../batch/batch.js'
import type { KeyHash } from './key-hash.js'
import { ArenaPool } from './arena-pool.js'
import type { Arena } from './arena.js'
import { Memtable } from './memtable.js'

/**
 * The memtable that takes writes, and those that are full and wait to become tables. Memory is taken
 * when a batch is prepared, so that applying it cannot fail.
 */
export class MemtableList {
  readonly #pool: ArenaPool
  readonly #hash: KeyHash
  readonly #reader = new BatchReader(Buffer.alloc(0))
  #active: Memtable
  /** Newest first. */
  #immutables: readonly Memtable[] = []
  /** For a batch that was prepared and does not fit into the active memtable. */
  #next: Arena | undefined

  constructor(memtableBytes: number, hash: KeyHash) {
    this.#pool = new ArenaPool(memtableBytes)
    this.#hash = hash
    this.#active = new Memtable(this.#pool.take(0, 0), hash)
  }

  get active(): Memtable {
    return this.#active
  }

  /** Full or frozen, newest first. */
  get immutables(): readonly Memtable[] {
    return this.#immutables
  }

  /** All of them, newest first. */
  get all(): readonly Memtable[] {
    return [this.#active, ...this.#immutables]
  }

  get usedBytes(): number {
    let bytes = this.#bytesOf(this.#active)
    for (const memtable of this.#immutables) bytes += this.#bytesOf(memtable)
    return bytes
  }

  /** Memory that waits for the next memtables. */
  get spareBytes(): number {
    return this.#pool.spareBytes
  }

  /** Takes memory for a batch that would not fit. */
  prepare(bytes: Buffer, start: number, end: number): void {
    if (this.#active.roomFor(end - start, maxOperations(start, end))) return
    const operations = this.#count(bytes, start, end)
    if (this.#active.roomFor(end - start, operations)) return
    if (this.#next?.holds(end - start, operations) !== true) {
      this.#next = this.#pool.take(end - start, operations)
    }
  }

  /** Makes sure of room for a batch; true where that takes a new memtable. */
  reserve(bytes: Buffer, start: number, end: number): boolean {
    if (this.#active.roomFor(end - start, maxOperations(start, end))) return false
    const operations = this.#count(bytes, start, end)
    if (this.#active.roomFor(end - start, operations)) return false
    // What was taken for another batch may be too small, or used already.
    const arena =
      this.#next?.holds(end - start, operations) === true
        ? this.#next
        : this.#pool.take(end - start, operations)
    if (arena === this.#next) this.#next = undefined
    this.#rotate(arena)
    return true
  }

  /** Begins a new memtable, unless the active one is empty. */
  freeze(): boolean {
    if (this.#active.isEmpty) return false
    this.#rotate(this.#pool.take(0, 0))
    return true
  }

  /**
   * These stand elsewhere now. Their memory may be used again, apart from that of those which
   * `isPinned` says are still read.
   */
  drop(flushed: readonly Memtable[], isPinned?: (memtable: Memtable) => boolean): void {
    this.#immutables = this.#immutables.filter((memtable) => !flushed.includes(memtable))
    for (const memtable of flushed) {
      if (isPinned?.(memtable) !== true) this.#pool.give(memtable.arena)
    }
  }

  #rotate(arena: Arena): void {
    if (!this.#active.isEmpty) this.#immutables = [this.#active, ...this.#immutables]
    this.#active = new Memtable(arena, this.#hash)
  }

  #bytesOf(memtable: Memtable): number {
    return memtable.isEmpty ? 0 : Math.max(1, memtable.usedBytes)
  }

  #count(bytes: Buffer, start: number, end: number): number {
    const reader = this.#reader
    reader.reset(bytes, start, end)
    let operations = 0
    while (reader.next()) operations++
    return operations
  }
}

/** More than a batch of this size can have: mostly enough to know that there is room. */
function maxOperations(start: number, end: number): number {
  return Math.ceil((end - start) / operationHeaderBytes)
}
