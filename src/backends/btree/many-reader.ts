import { candidateEntry, entryAt, searchPage } from '../../page/read.js'
import { pageHeaderBytes } from './format.js'
import type { NodeContent } from './node-content.js'
import { childAt } from './node.js'
import type { PageMemory } from './page-memory.js'
import type { Pager } from './pager.js'
import type { TreeReader } from './tree-reader.js'

/** Keys that go down side by side: enough for misses to overlap, few enough to stay in cache. */
const groupKeys = 64
const cacheLineBytes = 64

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
    const reader = this.#reader
    // Comparing with a long key may need the disk, which is for the lookup itself to say.
    const together = height > 1 && !this.#content.longKeysSeen
    for (let from = 0; from < keys.length; from += groupKeys) {
      const to = Math.min(keys.length, from + groupKeys)
      if (together) this.#warm(root, height, keys, from, to)
      for (let i = from; i < to; i++) {
        const leaf = together ? this.#pages[i - from] : 0
        // From the leaf the lookup goes on as in a tree of one page.
        values.push(
          leaf === 0 ? reader.tryGet(root, height, keys[i]) : reader.tryGet(leaf, 1, keys[i])
        )
      }
    }
    return values
  }

  /** Brings what the lookups of a group will read into the processor's cache. */
  #warm(root: number, height: number, keys: readonly Uint8Array[], from: number, to: number): void {
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
    for (let i = 0; i < count; i++) sum += this.#touchSlots(table[pages[i]])
    for (let i = 0; i < count; i++) {
      const frame = table[pages[i]]
      if (!(frame >= 0)) continue
      const slab = memory.slabs[frame >> memory.slabShift]
      const region = ((frame & memory.slabMask) << memory.pageShift) + pageHeaderBytes
      const entry = candidateEntry(slab, region, keys[from + i], 0, keys[from + i].length)
      if (entry < 0) continue
      sum += slab.u32[entry >>> 2] + slab.u32[(entry + cacheLineBytes) >>> 2]
    }
    this.#touchSum = sum | 0
  }

  /** Reads one word of each cache line of the page's slots. */
  #touchSlots(frame: number): number {
    if (!(frame >= 0)) return 0
    const memory = this.#memory
    const u32 = memory.slabs[frame >> memory.slabShift].u32
    const word = (((frame & memory.slabMask) << memory.pageShift) + pageHeaderBytes) >>> 2
    let sum = 0
    // Half of a usual page's slots: what a binary search starts with.
    for (let at = 0; at < 8 * (cacheLineBytes >>> 2); at += cacheLineBytes >>> 2) {
      sum += u32[word + at]
    }
    return sum
  }
}
