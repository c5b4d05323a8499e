import type { PageBytes } from '../page/format.js'
import { compareWithKey, keyHeaderWords } from './arena.js'
import type { KeyOrder } from './key-order.js'
import type { Lookup } from './lookup.js'

/** What a cursor needs of its memtable. */
export interface KeySource {
  readonly arena: PageBytes
  /** See Memtable. */
  versionOf(ref: number, maxSeq: number, lookup: Lookup): number
  order(maxKeys: number): boolean
}

/**
 * Walks the keys of a memtable in either direction, keys without a visible version included. A key
 * that is written later is met after the next `seek`, perhaps earlier; its versions are newer than
 * every view that was open then.
 */
export class MemtableCursor {
  /** The arena; the current key is `memory.u8[keyStart, keyEnd)`. */
  readonly memory: PageBytes
  keyStart = 0
  keyEnd = 0

  readonly #source: KeySource
  readonly #order: KeyOrder
  #reverse = false
  /** The current key; 0 where there is none. */
  #ref = 0
  #block = 0
  #index = 0
  /** Of the order when block and index were found. */
  #version = -1

  constructor(source: KeySource, order: KeyOrder) {
    this.memory = source.arena
    this.#source = source
    this.#order = order
  }

  get isValid(): boolean {
    return this.#ref !== 0
  }

  /**
   * Moves to the first key at or behind the given one in the direction; undefined: to the first of
   * all. Brings everything written so far into order. False where there is none.
   */
  seek(key: Uint8Array | undefined, reverse: boolean): boolean {
    this.#source.order(Number.MAX_SAFE_INTEGER)
    this.#reverse = reverse
    this.#version = this.#order.version
    this.#ref = 0
    const blocks = this.#order.blockCount
    if (blocks === 0) return false
    if (key !== undefined) {
      this.#find(key, 0, key.length)
      if (reverse && !this.#isAt(key)) this.#index--
    } else {
      this.#block = reverse ? blocks - 1 : 0
      this.#index = reverse ? this.#order.blockSize(this.#block) - 1 : 0
    }
    return this.#settle()
  }

  /** Moves on in the direction of the seek. False at the end. */
  next(): boolean {
    if (this.#ref === 0) return false
    if (this.#version !== this.#order.version) {
      // It is still there, somewhere else.
      this.#find(this.memory.u8, this.keyStart, this.keyEnd)
      this.#version = this.#order.version
    }
    this.#index += this.#reverse ? -1 : 1
    return this.#settle()
  }

  /** The newest version of the current key up to `maxSeq`; as `Memtable#find`. */
  read(maxSeq: number, lookup: Lookup): number {
    return this.#source.versionOf(this.#ref, maxSeq, lookup)
  }

  #find(key: Uint8Array, start: number, end: number): void {
    this.#block = this.#order.blockFor(key, start, end)
    this.#index = this.#order.indexIn(this.#block, key, start, end)
  }

  #isAt(key: Uint8Array): boolean {
    if (this.#index === this.#order.blockSize(this.#block)) return false
    const ref = this.#order.refAt(this.#block, this.#index)
    return compareWithKey(this.memory, ref, key, 0, key.length) === 0
  }

  /** Goes on to the neighbouring block where the index left this one, and takes the key there. */
  #settle(): boolean {
    const order = this.#order
    if (this.#index < 0) {
      this.#block--
      if (this.#block >= 0) this.#index = order.blockSize(this.#block) - 1
    } else if (this.#index === order.blockSize(this.#block)) {
      this.#block++
      this.#index = 0
    }
    const isInside = this.#block >= 0 && this.#block < order.blockCount
    this.#ref = isInside ? order.refAt(this.#block, this.#index) : 0
    if (this.#ref === 0) return false
    this.keyStart = (this.#ref + keyHeaderWords) * 4
    this.keyEnd = this.keyStart + this.memory.u32[this.#ref + 1]
    return true
  }
}
