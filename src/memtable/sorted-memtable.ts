import type { PageBytes } from '../page/format.js'
import type { EntryKind } from './entry.js'
import { RangeTombstones } from './range-tombstones.js'
import { Arena, keyHeaderWords, kindMask, kindShift, seqOf, versionHeaderWords } from './arena.js'
import { KeySorter } from './key-sorter.js'
import type { FrozenMemtable } from './memtable.js'

/** So many keys ahead are fetched at once. */
const fetchedKeys = 32
/** Words of a line of the processor's caches. */
const lineWords = 16

/**
 * A frozen memtable in key order, for the job that flushes it, in whichever thread: sorts once, then
 * gives out every version, those of a key newest first. Walking allocates nothing.
 */
export class SortedMemtable {
  readonly memory: PageBytes
  readonly tombstones: RangeTombstones
  /** The current key is `memory.u8[keyStart, keyEnd)`, its value `memory.u8[valueStart, valueEnd)`. */
  keyStart = 0
  keyEnd = 0
  valueStart = 0
  valueEnd = 0
  seq = 0
  kind: EntryKind = 0
  /** The version is the first of its key. */
  isNewKey = false

  readonly #u32: Uint32Array
  readonly #refs: Uint32Array
  #at = 0
  #version = 0
  /** Of what was fetched: kept, so that it is. */
  #fetched = 0

  constructor(frozen: FrozenMemtable) {
    const arena = new Arena(frozen.shared, frozen.slots)
    this.memory = arena
    this.#u32 = arena.u32
    this.tombstones = RangeTombstones.decode(frozen.tombstones)
    this.#refs = arena.u32.slice(arena.keyListAt, arena.keyListAt + frozen.keys)
    new KeySorter(arena).sort(this.#refs)
  }

  /** Moves to the next version; false at the end. */
  next(): boolean {
    const u32 = this.#u32
    let version = this.#version === 0 ? 0 : u32[this.#version]
    this.isNewKey = version === 0
    if (version === 0) {
      if (this.#at === this.#refs.length) {
        this.#version = 0
        return false
      }
      if (this.#at % fetchedKeys === 0) this.#fetch()
      const ref = this.#refs[this.#at++]
      version = u32[ref]
      this.keyStart = (ref + keyHeaderWords) * 4
      this.keyEnd = this.keyStart + u32[ref + 1]
    }
    this.#version = version
    this.seq = seqOf(u32, version)
    this.kind = ((u32[version + 2] >>> kindShift) & kindMask) as EntryKind
    this.valueStart = (version + versionHeaderWords) * 4
    this.valueEnd = this.valueStart + u32[version + 3]
    return true
  }

  /**
   * Reads a word of each line of the next keys and their first versions. They lie all over the
   * memory: met one by one each would make the processor wait, but a run of reads that do not
   * depend on each other takes hardly longer than one.
   */
  #fetch(): void {
    const u32 = this.#u32
    const refs = this.#refs
    const end = Math.min(refs.length, this.#at + fetchedKeys)
    const last = u32.length - 1
    let fetched = this.#fetched
    for (let i = this.#at; i < end; i++) {
      const ref = refs[i]
      fetched ^= u32[ref] ^ u32[Math.min(ref + lineWords, last)]
      fetched ^= u32[Math.min(ref + 2 * lineWords, last)]
    }
    this.#fetched = fetched
  }
}
