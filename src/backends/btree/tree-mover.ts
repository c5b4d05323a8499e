import { KintsugiError } from '../../errors.js'
import { entryHeaderBytes } from '../../page/format.js'
import {
  entryAt,
  entryCount,
  hasLongKey,
  hasLongValue,
  inlineKeyBytes,
  keyReferenceAt,
  searchPage,
  valueOffset
} from '../../page/read.js'
import { childAt, readExtentRef, writeExtentRef } from './node.js'
import type { Pager } from './pager.js'
import type { Tree } from './tree.js'

/** Loads started before the move goes on; they must all stay in the smallest of caches. */
const maxLoadsAtOnce = 32

/**
 * Moves what lies at the end of the file to free places further down, so that the end can be given
 * back. One step handles the pages below one branch of level 1 and holds the event loop no longer
 * than that; commits may come in between, since each step goes down from the root again.
 */
export class TreeMover {
  readonly #tree: Tree
  readonly #pager: Pager
  /** Pages that turned out to be damaged: they stay where they are. */
  readonly #unreadable = new Set<number>()
  readonly #loads: Promise<void>[] = []
  #start = 0
  #withExtents = false
  #moved = 0

  constructor(tree: Tree) {
    this.#tree = tree
    this.#pager = tree.pager
  }

  /**
   * Moves about `maxPages` of the pages at or above `start`; resolves with how many it were. Where
   * it is told to look at extents too, it has to read every leaf.
   */
  async move(start: number, maxPages: number, withExtents: boolean): Promise<number> {
    this.#start = start
    this.#withExtents = withExtents
    this.#moved = 0
    let key: Buffer | undefined = Buffer.alloc(0)
    while (key !== undefined && this.#moved < maxPages && this.#pager.canMove(start)) {
      key = this.#step(key)
      await Promise.all(this.#loads.splice(0))
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
    return this.#moved
  }

  /**
   * Handles the branch of level 1 that leads to the key, from the key on. Returns where to go on,
   * which is where something has to be loaded first, or where the next branch begins.
   */
  #step(key: Buffer): Buffer | undefined {
    const tree = this.#tree
    const { memory } = tree
    let next: Buffer | undefined
    let pageNo = tree.root
    let [sumLow, sumHigh] = [0, 0]
    for (let level = tree.height - 1; level > 0; level--) {
      if (this.#unreadable.has(pageNo)) return next
      if (!(memory.pageTable[pageNo] >= 0)) {
        this.#load(pageNo, level, sumLow, sumHigh)
        return key
      }
      tree.pathPage[level] = pageNo
      const slab = tree.slabOf(pageNo)
      const region = tree.regionOf(pageNo)
      const found = searchPage(slab, region, key, 0, key.length, tree.reader.tails)
      const index = found >= 0 ? found : ~found - 1
      tree.pathIndex[level] = index
      if (level > 1) {
        if (index + 1 < entryCount(slab, region)) next = this.#keyOf(pageNo, index + 1)
        const word = childAt(slab, entryAt(slab, region, index)) >>> 2
        pageNo = slab.u32[word]
        sumLow = slab.u32[word + 1]
        sumHigh = slab.u32[word + 2]
      }
    }
    if (tree.height === 1) this.#moveRootLeaf()
    const stop = tree.height > 1 ? this.#moveChildren(key) : undefined
    for (let level = tree.height - 1; level > 0; level--) this.#movePage(level)
    return this.#loads.length > 0 ? (stop ?? key) : next
  }

  #moveRootLeaf(): void {
    const { root, memory } = this.#tree
    if (this.#unreadable.has(root)) return
    if (!(memory.pageTable[root] >= 0)) this.#load(root, 0, 0, 0)
    else this.#moveLeaf(root)
  }

  /** Returns the key of the first child for which something has to be loaded. */
  #moveChildren(key: Buffer): Buffer | undefined {
    const tree = this.#tree
    const first = tree.pathIndex[1]
    const count = entryCount(tree.slabOf(tree.pathPage[1]), tree.regionOf(tree.pathPage[1]))
    let stop: Buffer | undefined
    for (let index = first; index < count && this.#loads.length < maxLoadsAtOnce; index++) {
      // Moving a child replaces the branch, so it is looked up again.
      const slab = tree.slabOf(tree.pathPage[1])
      const word = childAt(slab, entryAt(slab, tree.regionOf(tree.pathPage[1]), index)) >>> 2
      const child = slab.u32[word]
      if ((child < this.#start && !this.#withExtents) || this.#unreadable.has(child)) continue
      tree.pathIndex[1] = index
      if (tree.memory.pageTable[child] >= 0) this.#moveLeaf(child)
      else this.#load(child, 0, slab.u32[word + 1], slab.u32[word + 2])
      if (this.#loads.length > 0 && stop === undefined) {
        stop = index === first ? key : this.#keyOf(tree.pathPage[1], index)
      }
    }
    return stop
  }

  #moveLeaf(pageNo: number): void {
    this.#tree.pathPage[0] = pageNo
    this.#movePage(0)
  }

  /** Moves the page of the path at a level, and the extents its entries refer to. */
  #movePage(level: number): void {
    const tree = this.#tree
    const before = tree.pathPage[level]
    if (before >= this.#start && this.#pager.canMove(this.#start)) {
      tree.makeWritable(level)
      if (tree.pathPage[level] !== before) this.#moved++
    }
    if (!this.#withExtents) return
    const count = entryCount(tree.slabOf(tree.pathPage[level]), tree.regionOf(tree.pathPage[level]))
    for (let index = 0; index < count; index++) {
      const entry = this.#entryAt(level, index)
      const word = tree.slabOf(tree.pathPage[level]).u32[entry >>> 2]
      if (hasLongKey(word)) this.#moveExtent(level, index, keyReferenceAt(0, word))
      if (hasLongValue(word)) this.#moveExtent(level, index, valueOffset(word))
    }
  }

  /** Moves the extent whose reference stands `offset` bytes behind an entry's first. */
  #moveExtent(level: number, index: number, offset: number): void {
    const tree = this.#tree
    const { overflow } = this.#pager
    const page = tree.slabOf(tree.pathPage[level])
    const ref = readExtentRef(page, this.#entryAt(level, index) + offset)
    if (ref.page < this.#start || this.#unreadable.has(ref.page) || !overflow.canMove(ref)) return
    if (!overflow.isResident(ref.page)) {
      if (this.#loads.length >= maxLoadsAtOnce) return
      const load = overflow.load(ref.page, ref.sizeBytes, ref.sumLow, ref.sumHigh)
      this.#loads.push(this.#skipDamage(load, ref.page))
      return
    }
    tree.makeWritable(level)
    const moved = overflow.move(ref)
    const own = tree.slabOf(tree.pathPage[level])
    writeExtentRef(own, this.#entryAt(level, index) + offset, moved)
    this.#moved += overflow.pageCountOf(ref.sizeBytes)
  }

  #entryAt(level: number, index: number): number {
    const pageNo = this.#tree.pathPage[level]
    return entryAt(this.#tree.slabOf(pageNo), this.#tree.regionOf(pageNo), index)
  }

  /** A copy of a separator; waits for the disk where it is a long one. */
  #keyOf(pageNo: number, index: number): Buffer {
    const tree = this.#tree
    const slab = tree.slabOf(pageNo)
    const entry = entryAt(slab, tree.regionOf(pageNo), index)
    const word = slab.u32[entry >>> 2]
    if (hasLongKey(word)) {
      return Buffer.from(tree.reader.tails.bytes(readExtentRef(slab, keyReferenceAt(entry, word))))
    }
    const start = entry + entryHeaderBytes
    return Buffer.from(slab.u8.subarray(start, start + inlineKeyBytes(word)))
  }

  #load(pageNo: number, level: number, sumLow: number, sumHigh: number): void {
    this.#loads.push(this.#skipDamage(this.#pager.load(pageNo, level, sumLow, sumHigh), pageNo))
  }

  async #skipDamage(load: Promise<void>, pageNo: number): Promise<void> {
    try {
      await load
    } catch (error) {
      // Whatever is wrong with it, moving is not what has to report it.
      if (!(error instanceof KintsugiError)) throw error
      this.#unreadable.add(pageNo)
    }
  }
}
