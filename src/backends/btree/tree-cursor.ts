import { compareBytes } from '../../base/bytes.js'
import type { Cursor, CursorOptions, EntryChunk } from '../../backend/backend.js'
import { compareEntry, entryAt, entryCount, searchPage } from '../../page/read.js'
import type { ChunkBuilder } from './chunk-builder.js'
import type { DamageMap } from './damage.js'
import { maxLevel, pageHeaderBytes } from './format.js'
import { childAt } from './node.js'
import type { ExtentRef } from './page-content.js'
import type { PageMemory, Slab } from './page-memory.js'
import type { Pager } from './pager.js'
import type { TreeReader } from './tree-reader.js'
import type { TreeState } from './tree-state.js'

/** As for lookups: beyond so many loads without a chunk, extents are waited for. */
const maxFruitlessLoads = 64

/** A bound of the range: the key, and whether it is outside itself. */
interface Bound {
  readonly key: Uint8Array
  readonly excluded: boolean
}

/**
 * Walks the leaves of one immutable state. It remembers the path by page numbers, so pages may
 * leave memory between chunks; a chunk never spans leaves.
 */
export class TreeCursor implements Cursor {
  readonly #pager: Pager
  readonly #memory: PageMemory
  readonly #reader: TreeReader
  readonly #builder: ChunkBuilder
  readonly #height: number
  readonly #reverse: boolean
  readonly #keys: boolean
  readonly #values: boolean
  /** Where the walk begins and ends, in its own direction. */
  readonly #first: Bound | undefined
  readonly #last: Bound | undefined
  readonly #damage: DamageMap
  /** The path, by level: page, index of the entry taken or next, the page's checksum of two words. */
  readonly #path: Int32Array
  /** What the descent under way looks for; undefined: the nearest entry. */
  #target: Bound | undefined
  /** Level of the lowest page in the path whose index is not known yet; -1: the path is complete. */
  #pending: number
  #ended = false
  #missingLevel = -1
  #fruitlessLoads = 0
  #missingExtent: ExtentRef | undefined

  constructor(
    pager: Pager,
    reader: TreeReader,
    builder: ChunkBuilder,
    damage: DamageMap,
    state: TreeState,
    options: CursorOptions
  ) {
    this.#pager = pager
    this.#memory = pager.memory
    this.#reader = reader
    this.#builder = builder
    this.#height = state.height
    this.#reverse = options.reverse
    this.#keys = options.keys
    this.#values = options.values
    const { gt, gte, lt, lte } = options.range
    const low = bound(gte, gt)
    const high = bound(lte, lt)
    this.#first = options.reverse ? high : low
    this.#last = options.reverse ? low : high
    this.#target = this.#first
    this.#pending = state.height - 1
    this.#damage = damage
    const levels = Math.min(maxLevel + 1, Math.max(1, state.height))
    this.#path = new Int32Array(4 * levels)
    if (state.height === 0) this.#ended = true
    else this.#path[4 * (state.height - 1)] = state.rootPage
  }

  seek(key: Uint8Array): void {
    if (this.#height === 0) return
    const first = this.#first
    const sign = this.#reverse ? -1 : 1
    const before = first !== undefined && sign * compareBytes(key, first.key) <= 0
    this.#target = before ? first : { key, excluded: false }
    this.#pending = this.#height - 1
    this.#ended = false
  }

  nextChunkSync(maxEntries: number): EntryChunk | undefined {
    try {
      for (;;) {
        const chunk = this.#next(maxEntries, true)
        if (chunk !== null) return chunk
        const path = this.#path
        const at = 4 * this.#missingLevel
        this.#pager.loadSync(path[at], this.#missingLevel, path[at + 2] >>> 0, path[at + 3] >>> 0)
      }
    } catch (error) {
      throw this.#damage.locateOnPath(error, this.#path)
    }
  }

  tryNextChunk(maxEntries: number): EntryChunk | undefined | null {
    const { tails } = this.#reader
    const mayWait = this.#fruitlessLoads > maxFruitlessLoads
    tails.mayWait = mayWait
    try {
      let chunk: EntryChunk | undefined | null
      do {
        chunk = this.#next(maxEntries, mayWait)
      } while (chunk === null && this.#tryLoadMissing())
      if (chunk !== null) this.#fruitlessLoads = 0
      return chunk
    } catch (error) {
      if (error !== tails.notResident) throw error
      this.#missingExtent = tails.missing
      return null
    } finally {
      tails.mayWait = true
    }
  }

  /** As for lookups: repeating it ends. */
  #tryLoadMissing(): boolean {
    if (this.#missingExtent !== undefined) return false
    const level = this.#missingLevel
    const path = this.#path
    const at = 4 * level
    return this.#pager.tryLoad(path[at], level, path[at + 2] >>> 0, path[at + 3] >>> 0) >= 0
  }

  async load(): Promise<void> {
    try {
      const extent = this.#missingExtent
      this.#fruitlessLoads++
      if (extent !== undefined) {
        const { page, sizeBytes, sumLow, sumHigh } = extent
        await this.#pager.overflow.load(page, sizeBytes, sumLow, sumHigh)
      } else if (this.#missingLevel >= 0) {
        const path = this.#path
        const level = this.#missingLevel
        const at = 4 * level
        await this.#pager.load(path[at], level, path[at + 2] >>> 0, path[at + 3] >>> 0)
      }
    } catch (error) {
      throw this.#damage.locateOnPath(error, this.#path)
    }
  }

  close(): void {
    this.#ended = true
  }

  /** A chunk, undefined at the end, or null when a page or an extent has to be loaded first. */
  #next(maxEntries: number, mayWait: boolean): EntryChunk | undefined | null {
    this.#missingExtent = undefined
    if (this.#ended) return undefined
    this.#missingLevel = -1
    if (!this.#descend()) return null
    const path = this.#path
    for (;;) {
      const slab = this.#slabAt(0)
      if (slab === undefined) return null
      const region = this.#regionAt(0)
      const index = path[1]
      const count = entryCount(slab, region)
      const end = this.#endIndex(slab, region, count)
      const available = this.#reverse ? index - end : end - index
      if (available > 0) {
        const wanted = Math.min(available, maxEntries)
        const builder = this.#builder
        const chunk = builder.build(
          slab,
          region,
          index,
          wanted,
          this.#reverse,
          this.#keys,
          this.#values,
          mayWait
        )
        if (chunk === null) {
          this.#missingExtent = builder.missing
          return null
        }
        path[1] += this.#reverse ? -chunk.count : chunk.count
        return chunk
      }
      if (this.#reverse ? end >= 0 : end < count) {
        this.#ended = true
        return undefined
      }
      const moved = this.#nextLeaf()
      if (moved !== true) return moved
    }
  }

  /**
   * Where the range ends in a leaf: the first index that is outside, in the cursor's direction.
   * Count or -1: the range goes on beyond the leaf.
   */
  #endIndex(slab: Slab, region: number, count: number): number {
    const last = this.#last
    const beyond = this.#reverse ? -1 : count
    if (last === undefined || count === 0) return beyond
    const { key, excluded } = last
    const found = searchPage(slab, region, key, 0, key.length, this.#reader.tails)
    if (this.#reverse) {
      const first = found < 0 ? ~found : excluded ? found + 1 : found
      return first === 0 && found < 0 ? -1 : first - 1
    }
    if (found >= 0) return excluded ? found : found + 1
    return ~found
  }

  /** Completes the path down to a leaf; false when a page has to be loaded first. */
  #descend(): boolean {
    const path = this.#path
    while (this.#pending >= 0) {
      const level = this.#pending
      const slab = this.#slabAt(level)
      if (slab === undefined) return false
      const region = this.#regionAt(level)
      const target = this.#target
      if (target !== undefined) path[4 * level + 1] = this.#indexOf(slab, region, level, target)
      else path[4 * level + 1] = this.#reverse ? entryCount(slab, region) - 1 : 0
      if (level > 0) this.#enterChild(slab, region, level)
      this.#pending--
    }
    this.#target = undefined
    return true
  }

  /** Where the target belongs in a page of the path. */
  #indexOf(slab: Slab, region: number, level: number, target: Bound): number {
    const { key, excluded } = target
    const found = searchPage(slab, region, key, 0, key.length, this.#reader.tails)
    if (level > 0) return found >= 0 ? found : ~found - 1
    if (found < 0) return this.#reverse ? ~found - 1 : ~found
    return excluded ? (this.#reverse ? found - 1 : found + 1) : found
  }

  /** Turns the path to the next leaf; undefined at the end, null when a load comes first. */
  #nextLeaf(): true | undefined | null {
    const path = this.#path
    const step = this.#reverse ? -1 : 1
    for (let level = 1; level < this.#height; level++) {
      const slab = this.#slabAt(level)
      if (slab === undefined) return null
      const region = this.#regionAt(level)
      const index = path[4 * level + 1] + step
      if (index < 0 || index >= entryCount(slab, region)) continue
      if (this.#isBeyondRange(slab, region, Math.max(index, index - step))) break
      path[4 * level + 1] = index
      this.#enterChild(slab, region, level)
      this.#pending = level - 1
      return this.#descend() ? true : null
    }
    this.#ended = true
    return undefined
  }

  /**
   * True when the range ends at the separator before which, or behind which, the cursor turns to
   * the next leaf: what is not needed is not read, since it may be slow to come, or damaged.
   */
  #isBeyondRange(slab: Slab, region: number, separator: number): boolean {
    const last = this.#last
    if (last === undefined) return false
    const { key, excluded } = last
    const entry = entryAt(slab, region, separator)
    const order = compareEntry(slab, entry, 0, key, 0, key.length, this.#reader.tails)
    return this.#reverse ? order >= 0 : order < 0 || (order === 0 && excluded)
  }

  #enterChild(slab: Slab, region: number, level: number): void {
    const path = this.#path
    const entry = entryAt(slab, region, path[4 * level + 1])
    const child = childAt(slab, entry) >>> 2
    const at = 4 * (level - 1)
    path[at] = slab.u32[child]
    path[at + 2] = slab.u32[child + 1]
    path[at + 3] = slab.u32[child + 2]
  }

  #slabAt(level: number): Slab | undefined {
    const frame = this.#memory.pageTable[this.#path[4 * level]]
    if (frame >= 0) return this.#memory.slabs[frame >> this.#memory.slabShift]
    this.#missingLevel = level
    return undefined
  }

  #regionAt(level: number): number {
    const memory = this.#memory
    const frame = memory.pageTable[this.#path[4 * level]]
    return ((frame & memory.slabMask) << memory.pageShift) + pageHeaderBytes
  }
}

function bound(included: Uint8Array | undefined, excluded: Uint8Array | undefined) {
  if (included !== undefined) return { key: included, excluded: false }
  return excluded === undefined ? undefined : { key: excluded, excluded: true }
}
