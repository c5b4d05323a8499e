import { candidateEntry, compareEntry, entryAt, searchPage } from '../../page/read.js'
import { pageHeaderBytes } from './format.js'
import type { NodeContent } from './node-content.js'
import { childAt } from './node.js'
import type { PageMemory } from './page-memory.js'
import type { Pager } from './pager.js'
import type { TreeReader } from './tree-reader.js'

/** Keys that go down side by side: enough for misses to overlap, few enough to stay in cache. */
const groupKeys = 64
const wordsPerLine = 64 / 4
/** Cache lines that the slots of a usual leaf take up. */
const slotLines = 8

/**
 * Many point reads at once. They go down level by level together, and before a level is searched
 * the memory it needs is touched for all of them: independent cache misses overlap, dependent ones
 * do not.
 */
export class ManyReader {
  readonly #memory: PageMemory
  readonly #reader: TreeReader
  readonly #content: NodeContent
  /** By key of the group: the page it has come to; 0 where that is not in memory. */
  readonly #pages = new Int32Array(groupKeys)
  /** The frame of that page when it is the leaf, and the entry there that the key can be, or -1. */
  readonly #frames = new Int32Array(groupKeys)
  readonly #entries = new Int32Array(groupKeys)
  /** Sum of what was touched: keeps the reads from being optimised away. */
  #touchSum = 0

  constructor(pager: Pager, reader: TreeReader, content: NodeContent) {
    this.#memory = pager.memory
    this.#reader = reader
    this.#content = content
  }

  get touchSum(): number {
    return this.#touchSum
  }

  tryGetMany(
    root: number,
    height: number,
    keys: readonly Uint8Array[]
  ): (Buffer | undefined | null)[] {
    const values: (Buffer | undefined | null)[] = []
    // Comparing with a long key may need the disk, which is for the lookup itself to say.
    const together = height > 1 && !this.#content.longKeysSeen
    for (let from = 0; from < keys.length; from += groupKeys) {
      const to = Math.min(keys.length, from + groupKeys)
      if (together) {
        this.#findLeaves(root, height, keys, from, to)
        this.#findEntries(keys, from, to)
      }
      for (let i = from; i < to; i++) {
        values.push(
          together
            ? this.#tryGet(root, height, keys[i], i - from)
            : this.#reader.tryGet(root, height, keys[i])
        )
      }
    }
    return values
  }

  #tryGet(root: number, height: number, key: Uint8Array, place: number): Buffer | undefined | null {
    const memory = this.#memory
    const leaf = this.#pages[place]
    const frame = this.#frames[place]
    // What lookups before this one loaded may have taken the leaf's place in memory.
    if (leaf === 0 || memory.pageTable[leaf] !== frame) {
      return this.#reader.tryGet(root, height, key)
    }
    const entry = this.#entries[place]
    if (entry < 0) return undefined
    const slab = memory.slabs[frame >> memory.slabShift]
    return compareEntry(slab, entry, 0, key, 0, key.length, this.#reader.tails) === 0
      ? this.#reader.tryValue(slab, entry)
      : // Another entry may share its head; from the leaf on it is as in a tree of one page.
        this.#reader.tryGet(leaf, 1, key)
  }

  #findLeaves(
    root: number,
    height: number,
    keys: readonly Uint8Array[],
    from: number,
    to: number
  ): void {
    const memory = this.#memory
    const { tails } = this.#reader
    const table = memory.pageTable
    const pages = this.#pages
    const count = to - from
    let sum = 0
    for (let i = from; i < to; i++) sum += keys[i][0] | 0
    pages.fill(root, 0, count)
    for (let level = height - 1; level > 0; level--) {
      for (let i = 0; i < count; i++) {
        const frame = table[pages[i]]
        if (!(frame >= 0)) {
          pages[i] = 0
          continue
        }
        memory.touched[frame] = 1
        const slab = memory.slabs[frame >> memory.slabShift]
        const region = ((frame & memory.slabMask) << memory.pageShift) + pageHeaderBytes
        const key = keys[from + i]
        const found = searchPage(slab, region, key, 0, key.length, tails)
        const entry = entryAt(slab, region, found >= 0 ? found : ~found - 1)
        pages[i] = slab.u32[childAt(slab, entry) >>> 2]
      }
    }
    this.#touchSum = (this.#touchSum + sum) | 0
  }

  /** Each loop does so little that the processor is at many keys at once. */
  #findEntries(keys: readonly Uint8Array[], from: number, to: number): void {
    const memory = this.#memory
    const { slabs, slabShift, slabMask, pageShift, pageTable } = memory
    const pages = this.#pages
    const frames = this.#frames
    const entries = this.#entries
    const count = to - from
    let sum = 0
    for (let i = 0; i < count; i++) {
      const frame = pageTable[pages[i]]
      if (!(frame >= 0)) {
        pages[i] = 0
        continue
      }
      frames[i] = frame
      memory.touched[frame] = 1
      const { u32 } = slabs[frame >> slabShift]
      const word = (((frame & slabMask) << pageShift) + pageHeaderBytes) >> 2
      for (let line = 0; line < slotLines; line++) sum += u32[word + line * wordsPerLine]
    }
    for (let i = 0; i < count; i++) {
      if (pages[i] === 0) continue
      const frame = frames[i]
      const region = ((frame & slabMask) << pageShift) + pageHeaderBytes
      const key = keys[from + i]
      entries[i] = candidateEntry(slabs[frame >> slabShift], region, key, 0, key.length)
    }
    for (let i = 0; i < count; i++) {
      if (pages[i] === 0 || entries[i] < 0) continue
      const { u32 } = slabs[frames[i] >> slabShift]
      const word = entries[i] >> 2
      sum += u32[word] + u32[Math.min(word + wordsPerLine, u32.length - 1)]
    }
    this.#touchSum = (this.#touchSum + sum) | 0
  }
}
