import { compareBytes } from '../../base/bytes.js'
import { entryHeaderBytes, floorFlag } from '../../page/format.js'
import { entryAt, entryCount, hasLongKey, inlineKeyBytes, searchPage } from '../../page/read.js'
import type { Balancer } from './balancer.js'
import { eachExtentBetween } from './node-content.js'
import { childAt } from './node.js'
import type { ExtentRef } from './page-content.js'
import type { Reclaimer } from './reclaimer.js'
import type { Tree } from './tree.js'

/** The key that now separates the two sides of the cut; undefined: nothing is left on that side. */
interface Edge {
  readonly key: Uint8Array
  readonly isCut: boolean
}

/**
 * Removes a range of keys. Leaves at its two ends lose entries; every subtree between them is cut
 * off whole and left to the reclaimer, so the work is proportional to the height of the tree.
 */
export class RangeCut {
  readonly #tree: Tree
  readonly #balancer: Balancer
  readonly #reclaimer: Reclaimer
  readonly #freeExtent: (ref: ExtentRef) => void
  #lower: Buffer = Buffer.alloc(0)
  #lowerExcluded = false
  #upper: Buffer | undefined
  #upperIncluded = false

  constructor(tree: Tree, balancer: Balancer, reclaimer: Reclaimer) {
    this.#tree = tree
    this.#balancer = balancer
    this.#reclaimer = reclaimer
    this.#freeExtent = (ref) => tree.pager.overflow.free(ref.page, ref.sizeBytes)
  }

  clear(
    lower: Buffer,
    lowerExcluded: boolean,
    upper: Buffer | undefined,
    upperIncluded: boolean
  ): void {
    const tree = this.#tree
    if (tree.height === 0) return
    if (upper !== undefined) {
      const order = compareBytes(lower, upper)
      if (order > 0 || (order === 0 && (lowerExcluded || !upperIncluded))) return
      tree.descend(upper, 0, upper.length)
    }
    this.#lower = lower
    this.#lowerExcluded = lowerExcluded
    this.#upper = upper
    this.#upperIncluded = upperIncluded
    // Both ends have to be there before the first change.
    tree.descend(lower, 0, lower.length)
    const level = tree.height - 1
    tree.makeWritable(level)
    this.#cut(tree.root, level, true, upper !== undefined, undefined)
  }

  /**
   * Clears what lies in the range below a page of this generation. `hasLower` and `hasUpper` say
   * whether the range ends inside on that side; where it does not, `edge` is the page's new bound.
   */
  #cut(
    pageNo: number,
    level: number,
    hasLower: boolean,
    hasUpper: boolean,
    edge: Edge | undefined
  ): void {
    if (level === 0) {
      this.#cutLeaf(pageNo, hasLower, hasUpper, edge)
      return
    }
    const tree = this.#tree
    const slab = tree.slabOf(pageNo)
    const region = tree.regionOf(pageNo)
    const count = entryCount(slab, region)
    const first = hasLower ? this.#childIndex(pageNo, this.#lower) : 0
    const last = hasUpper ? this.#childIndex(pageNo, this.#upper!) : count - 1
    if (hasLower && hasUpper && first === last) {
      this.#cut(this.#writableChild(pageNo, level, first), level - 1, true, true, undefined)
    } else if (hasLower && hasUpper) {
      const between = this.#keyOf(pageNo, last)
      this.#removeChildren(pageNo, level, first + 1, last)
      const left = this.#writableChild(pageNo, level, first)
      const right = this.#writableChild(pageNo, level, first + 1)
      this.#cut(left, level - 1, true, false, between)
      this.#cut(right, level - 1, false, true, between)
    } else if (hasLower) {
      this.#removeChildren(pageNo, level, first + 1, count)
      this.#cut(this.#writableChild(pageNo, level, first), level - 1, true, false, edge)
    } else {
      this.#makeFloor(pageNo, level, last)
      this.#cut(this.#writableChild(pageNo, level, 0), level - 1, false, true, edge)
    }
  }

  #cutLeaf(pageNo: number, hasLower: boolean, hasUpper: boolean, edge: Edge | undefined): void {
    const tree = this.#tree
    const slab = tree.slabOf(pageNo)
    const region = tree.regionOf(pageNo)
    const from = hasLower ? this.#entryIndex(pageNo, this.#lower, this.#lowerExcluded) : 0
    const to = hasUpper
      ? this.#entryIndex(pageNo, this.#upper!, this.#upperIncluded)
      : entryCount(slab, region)
    if (to > from) {
      eachExtentBetween(slab, region, from, to, this.#freeExtent)
      tree.editor.remove(slab, region, from, to)
      tree.entries -= to - from
    }
    if (hasLower && hasUpper) return
    const fence = edge && tree.layout.fence(edge.key, hasLower, edge.isCut)
    tree.editor.setFence(slab, region, hasLower, fence)
  }

  #childIndex(pageNo: number, key: Buffer): number {
    const tree = this.#tree
    const { tails } = tree.reader
    const region = tree.regionOf(pageNo)
    const found = searchPage(tree.slabOf(pageNo), region, key, 0, key.length, tails)
    return found >= 0 ? found : ~found - 1
  }

  /** Index of the first entry not below the key, or behind the key itself. */
  #entryIndex(pageNo: number, key: Buffer, behind: boolean): number {
    const tree = this.#tree
    const { tails } = tree.reader
    const region = tree.regionOf(pageNo)
    const found = searchPage(tree.slabOf(pageNo), region, key, 0, key.length, tails)
    return found < 0 ? ~found : behind ? found + 1 : found
  }

  #keyOf(pageNo: number, index: number): Edge {
    const tree = this.#tree
    const slab = tree.slabOf(pageNo)
    const entry = entryAt(slab, tree.regionOf(pageNo), index)
    const word = slab.u32[entry >>> 2]
    const start = entry + entryHeaderBytes
    const key = Buffer.from(slab.u8.subarray(start, start + inlineKeyBytes(word)))
    return { key, isCut: hasLongKey(word) }
  }

  #writableChild(branch: number, level: number, index: number): number {
    const tree = this.#tree
    const slab = tree.slabOf(branch)
    const child = childAt(slab, entryAt(slab, tree.regionOf(branch), index)) >>> 2
    const before = slab.u32[child]
    tree.frameOf(before, level - 1, slab, child + 1)
    const pageNo = tree.pager.copyOnWrite(before)
    slab.u32[child] = pageNo
    return pageNo
  }

  /** Cuts the children `from` to `to` - 1 off a branch. */
  #removeChildren(branch: number, level: number, from: number, to: number): void {
    const tree = this.#tree
    const slab = tree.slabOf(branch)
    const region = tree.regionOf(branch)
    for (let i = from; i < to; i++) {
      const entry = entryAt(slab, region, i)
      const word = childAt(slab, entry) >>> 2
      this.#reclaimer.add(slab.u32[word], level - 1, slab.u32[word + 1], slab.u32[word + 2])
      this.#balancer.freeLongKey(slab, entry)
    }
    if (to > from) tree.editor.remove(slab, region, from, to)
  }

  /** Cuts off the children before `index`, which becomes the branch's floor. */
  #makeFloor(branch: number, level: number, index: number): void {
    if (index === 0) return
    const tree = this.#tree
    this.#removeChildren(branch, level, 0, index)
    const slab = tree.slabOf(branch)
    const region = tree.regionOf(branch)
    const entry = entryAt(slab, region, 0)
    const word = childAt(slab, entry) >>> 2
    const reference = { u32: slab.u32.slice(word, word + 3) }
    this.#balancer.freeLongKey(slab, entry)
    tree.editor.remove(slab, region, 0, 1)
    slab.u32[(region + 12) >>> 2] = floorFlag
    this.#balancer.insertFloor(branch, reference, 0)
    tree.editor.finishAppend(slab, region)
  }
}
