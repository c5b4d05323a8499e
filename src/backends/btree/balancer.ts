import { assert } from '../../base/assert.js'
import type { PageEditor } from '../../page/edit.js'
import { fenceAt, fenceBytes } from '../../page/edit.js'
import { floorFlag, regionHeaderBytes, slotBytes } from '../../page/format.js'
import type { PageBytes } from '../../page/format.js'
import { entryAt, entryBytes, entryCount, freeBytes, hasLongKey } from '../../page/read.js'
import { keyReferenceAt } from '../../page/read.js'
import { PageKind, maxLevel } from './format.js'
import { branchEntryBytes, childAt, childBytes, readExtentRef } from './node.js'
import { separatorAfter } from './separator.js'
import type { Separators } from './separator.js'
import type { Tree } from './tree.js'

/**
 * Splits, redistributes and merges pages along the tree's path. A page is never merged with, or
 * relieved into, a sibling that is not in memory: that is a matter of space, not of correctness.
 */
export class Balancer {
  /** A page with more free bytes than this looks for a sibling to merge with. */
  readonly sparseFreeBytes: number
  /** Two pages merge into one that keeps at least this much free. */
  readonly #mergeReserveBytes: number
  /** A sibling with less free bytes is no help to a full page. */
  readonly #minSiblingFreeBytes: number

  readonly #tree: Tree
  readonly #editor: PageEditor
  readonly #separators: Separators
  /** Where the last insert went: the next one beside it makes a sequence. */
  #lastPage = -1
  #lastIndex = -1

  constructor(tree: Tree, separators: Separators) {
    this.#tree = tree
    this.#editor = tree.editor
    this.#separators = separators
    const { regionBytes } = tree.layout
    this.sparseFreeBytes = Math.floor((regionBytes * 2) / 3)
    this.#mergeReserveBytes = Math.floor(regionBytes / 4)
    this.#minSiblingFreeBytes = Math.floor(regionBytes / 8)
  }

  noteInsert(leaf: number, index: number): void {
    this.#lastPage = leaf
    this.#lastIndex = index
  }

  /**
   * Takes one step towards room in the leaf at the path's end, where the key `key[start, end)`
   * belongs. The path is void afterwards. Entries go to a sibling only with `mayShift`, which is for
   * the first step: two full leaves could otherwise pass them to and fro for ever.
   */
  makeRoom(key: Buffer, start: number, end: number, mayShift: boolean): void {
    const tree = this.#tree
    tree.makeWritable(0)
    const leaf = tree.pathPage[0]
    const index = tree.pathIndex[0]
    const ascending = leaf === this.#lastPage && index === this.#lastIndex + 1
    const descending = leaf === this.#lastPage && index === this.#lastIndex
    if (ascending || descending) {
      this.#splitSequence(index, ascending, key.subarray(start, end))
      return
    }
    if (mayShift && this.#relieveIntoSibling()) return
    const slab = tree.slabOf(leaf)
    const region = tree.regionOf(leaf)
    const cut = this.#middle(slab, region)
    this.#splitLeaf(cut, this.#separators.between(slab, region, cut))
  }

  /** Merges the page at `level` of the path with a sibling where that makes one good page. */
  relieve(level: number): void {
    const tree = this.#tree
    if (level === tree.height - 1) {
      this.#shrinkRoot()
      return
    }
    const parent = tree.pathPage[level + 1]
    const index = tree.pathIndex[level + 1]
    const count = entryCount(tree.slabOf(parent), tree.regionOf(parent))
    if (count === 1) {
      this.relieve(level + 1)
      return
    }
    const reserve = this.#mergeReserveBytes
    if (this.#merge(level, index, reserve) || this.#merge(level, index + 1, reserve)) {
      const slab = tree.slabOf(tree.pathPage[level + 1])
      const region = tree.regionOf(tree.pathPage[level + 1])
      if (freeBytes(slab, region) > this.sparseFreeBytes) this.relieve(level + 1)
    }
  }

  /** Goes down to the key and relieves the leaf there if it is sparse, or empty. */
  relieveAt(key: Buffer, start: number, end: number): void {
    const tree = this.#tree
    if (tree.height === 0) return
    tree.descend(key, start, end)
    const leaf = tree.pathPage[0]
    if (freeBytes(tree.slabOf(leaf), tree.regionOf(leaf)) <= this.sparseFreeBytes) return
    tree.makeWritable(0)
    this.relieve(0)
  }

  /**
   * Fills the leaf at the path's end from its right sibling, or takes that in whole; both are in
   * memory. True when something was done; the path is void then.
   */
  fillFromRight(): boolean {
    const tree = this.#tree
    if (tree.height === 1) return false
    const index = tree.pathIndex[1]
    const free = this.#freeOfChild(index)
    const rightFree = this.#freeOfChild(index + 1)
    if (rightFree < 0) return false
    const { regionBytes } = tree.layout
    const reserve = regionBytes >> 5
    const merges = free + rightFree >= regionBytes + reserve
    if (!merges && free < this.#minSiblingFreeBytes) return false
    tree.makeWritable(0)
    if (merges) return this.#merge(0, index + 1, reserve)
    tree.pathIndex[1] = index + 1
    tree.pathPage[0] = this.#writableChild(1, index + 1)
    return this.#shiftEntries(true, 2 * (free - reserve))
  }

  /** Leaves a full page behind where keys come in order. */
  #splitSequence(index: number, ascending: boolean, key: Uint8Array): void {
    const tree = this.#tree
    const slab = tree.slabOf(tree.pathPage[0])
    const region = tree.regionOf(tree.pathPage[0])
    const count = entryCount(slab, region)
    const separators = this.#separators
    // The key that is to come belongs to the side that has room for it.
    const keyIsRight = ascending ? index === count : index > 0
    const separator = keyIsRight
      ? separatorAfter(separators.keyAt(slab, region, index - 1), key)
      : separatorAfter(key, separators.keyAt(slab, region, index))
    this.#splitLeaf(index, separator)
  }

  /** The entry before which about half of the page's bytes lie; both sides get some. */
  #middle(slab: PageBytes, region: number): number {
    const count = entryCount(slab, region)
    let total = 0
    for (let i = 0; i < count; i++) total += entryBytes(slab, entryAt(slab, region, i)) + slotBytes
    let cut = 0
    let left = 0
    while (left < total / 2) left += entryBytes(slab, entryAt(slab, region, cut++)) + slotBytes
    return Math.max(1, Math.min(cut, count - 1))
  }

  /**
   * Moves the leaf's entries from `cut` on to a new page at its right. The cut gives way where one
   * side would be too full for its fences.
   */
  #splitLeaf(wantedCut: number, wantedSeparator: Buffer): void {
    const tree = this.#tree
    const editor = this.#editor
    const { cut, separator } = this.#fittingCut(wantedCut, wantedSeparator)
    if (!this.#parentHasRoom(0, branchEntryBytes(tree.layout, separator.length))) return
    const entry = this.#separators.entry(separator)
    const left = tree.pathPage[0]
    const right = tree.pager.allocate(PageKind.leaf, 0)
    const leftSlab = tree.slabOf(left)
    const leftRegion = tree.regionOf(left)
    const rightSlab = tree.slabOf(right)
    const rightRegion = tree.regionOf(right)
    const count = entryCount(leftSlab, leftRegion)
    editor.clear(rightSlab, rightRegion, 0)
    editor.append(rightSlab, rightRegion, leftSlab, leftRegion, cut, count)
    editor.finishAppend(rightSlab, rightRegion)
    // Fences come last, when the entries have left room for them.
    editor.setFence(rightSlab, rightRegion, true, fenceAt(leftSlab, leftRegion, true))
    editor.setFence(rightSlab, rightRegion, false, tree.layout.fence(separator, false))
    if (cut < count) {
      editor.remove(leftSlab, leftRegion, cut, count)
      editor.finishAppend(leftSlab, leftRegion)
    }
    editor.setFence(leftSlab, leftRegion, true, tree.layout.fence(separator, true))
    this.#insertChild(1, tree.pathIndex[1] + 1, entry.slab, entry.at, right)
  }

  /**
   * The cut nearest to the one wanted that leaves both sides room for their fences. There is one:
   * a full leaf has at least four entries and they fit beside the longest fences.
   */
  #fittingCut(wantedCut: number, wantedSeparator: Buffer): { cut: number; separator: Buffer } {
    const tree = this.#tree
    const slab = tree.slabOf(tree.pathPage[0])
    const region = tree.regionOf(tree.pathPage[0])
    const room = tree.layout.regionBytes - regionHeaderBytes
    const sizeOf = (i: number) => entryBytes(slab, entryAt(slab, region, i)) + slotBytes
    let cut = wantedCut
    let separator = wantedSeparator
    let left = fenceBytes(fenceAt(slab, region, false))
    let right = fenceBytes(fenceAt(slab, region, true))
    for (let i = 0; i < cut; i++) left += sizeOf(i)
    for (let i = cut; i < entryCount(slab, region); i++) right += sizeOf(i)
    for (;;) {
      const step =
        left + fenceBytes(tree.layout.fence(separator, true)) > room
          ? -1
          : right + fenceBytes(tree.layout.fence(separator, false)) > room
            ? 1
            : 0
      if (step === 0) return { cut, separator }
      const moved = step * sizeOf(step < 0 ? cut - 1 : cut)
      left += moved
      right -= moved
      cut += step
      separator = this.#separators.between(slab, region, cut)
    }
  }

  /** Moves the branch's entries from the middle on, or the last where keys come in order. */
  #splitBranch(level: number): void {
    const tree = this.#tree
    const editor = this.#editor
    const left = tree.pathPage[level]
    const seen = tree.slabOf(left)
    const seenRegion = tree.regionOf(left)
    const count = entryCount(seen, seenRegion)
    const atEnd = tree.pathIndex[level] === count - 1
    const cut = atEnd ? count - 1 : this.#middle(seen, seenRegion)
    const movedUp = entryBytes(seen, entryAt(seen, seenRegion, cut))
    if (!this.#parentHasRoom(level, movedUp)) return
    const right = tree.pager.allocate(PageKind.branch, level)
    const leftSlab = tree.slabOf(left)
    const leftRegion = tree.regionOf(left)
    const rightSlab = tree.slabOf(right)
    const rightRegion = tree.regionOf(right)
    const moved = entryAt(leftSlab, leftRegion, cut)
    editor.clear(rightSlab, rightRegion, floorFlag)
    this.insertFloor(right, leftSlab, childAt(leftSlab, moved))
    editor.append(rightSlab, rightRegion, leftSlab, leftRegion, cut + 1, count)
    editor.finishAppend(rightSlab, rightRegion)
    this.#insertChild(level + 1, tree.pathIndex[level + 1] + 1, leftSlab, moved, right)
    editor.remove(leftSlab, leftRegion, cut, count)
    editor.finishAppend(leftSlab, leftRegion)
  }

  /**
   * True when the parent of the path's page at `level` takes another entry of `bytes`. Otherwise it
   * was split, or at least its own parent was, and the path is void.
   */
  #parentHasRoom(level: number, bytes: number): boolean {
    const tree = this.#tree
    if (level === tree.height - 1) this.#growRoot()
    const parent = tree.pathPage[level + 1]
    if (freeBytes(tree.slabOf(parent), tree.regionOf(parent)) >= bytes + slotBytes) return true
    this.#splitBranch(level + 1)
    return false
  }

  #growRoot(): void {
    const tree = this.#tree
    const level = tree.height
    assert(level < maxLevel, 'the tree is too high')
    const root = tree.pager.allocate(PageKind.branch, level)
    this.#editor.clear(tree.slabOf(root), tree.regionOf(root), floorFlag)
    const { stage } = this.#editor
    stage.u32[0] = tree.root
    stage.u32[1] = 0
    stage.u32[2] = 0
    this.insertFloor(root, stage, 0)
    tree.pathPage[level] = root
    tree.pathIndex[level] = 0
    tree.root = root
    tree.height = level + 1
  }

  /** Gives an empty branch its floor: the child whose reference lies at `at` of `source`. */
  insertFloor(branch: number, source: { readonly u32: Uint32Array }, at: number): void {
    const tree = this.#tree
    const slab = tree.slabOf(branch)
    const region = tree.regionOf(branch)
    const entry = this.#editor.reserve(slab, region, 0, 4 + childBytes)
    slab.u32[entry >>> 2] = childBytes << 16
    for (let i = 0; i < 3; i++) slab.u32[(entry >>> 2) + 1 + i] = source.u32[(at >>> 2) + i]
    this.#editor.finishInsert(slab, region, 0)
  }

  /** Puts a copy of the branch entry at `source`, with another child, into the path's branch. */
  #insertChild(level: number, index: number, source: PageBytes, at: number, child: number): void {
    const tree = this.#tree
    const branch = tree.pathPage[level]
    const slab = tree.slabOf(branch)
    const region = tree.regionOf(branch)
    const entry = this.#editor.insertCopy(slab, region, index, source, at)
    const word = childAt(slab, entry) >>> 2
    slab.u32[word] = child
    slab.u32[word + 1] = 0
    slab.u32[word + 2] = 0
  }

  /** Moves entries of the full leaf into the emptier of its siblings; false when neither helps. */
  #relieveIntoSibling(): boolean {
    const tree = this.#tree
    if (tree.height === 1) return false
    const index = tree.pathIndex[1]
    const leftFree = this.#freeOfChild(index - 1)
    const rightFree = this.#freeOfChild(index + 1)
    const free = Math.max(leftFree, rightFree)
    if (free < this.#minSiblingFreeBytes) return false
    return this.#shiftEntries(leftFree >= rightFree, free)
  }

  /** Free bytes of the parent's child at `index`, -1 where there is none in memory. */
  #freeOfChild(index: number): number {
    const tree = this.#tree
    const parent = tree.pathPage[1]
    const slab = tree.slabOf(parent)
    const region = tree.regionOf(parent)
    if (index < 0 || index >= entryCount(slab, region)) return -1
    const pageNo = slab.u32[childAt(slab, entryAt(slab, region, index)) >>> 2]
    if (!(tree.memory.pageTable[pageNo] >= 0)) return -1
    return freeBytes(tree.slabOf(pageNo), tree.regionOf(pageNo))
  }

  /** Moves about half of what the sibling can take. */
  #shiftEntries(toLeft: boolean, siblingFree: number): boolean {
    const tree = this.#tree
    const editor = this.#editor
    const leaf = tree.pathPage[0]
    const slab = tree.slabOf(leaf)
    const region = tree.regionOf(leaf)
    const count = entryCount(slab, region)
    let moved = 0
    let bytes = 0
    while (moved < count - 1) {
      const next = entryAt(slab, region, toLeft ? moved : count - 1 - moved)
      const size = entryBytes(slab, next) + slotBytes
      if (bytes + size > siblingFree / 2) break
      bytes += size
      moved++
    }
    if (moved === 0) return false
    const cut = toLeft ? moved : count - moved
    const separator = this.#separators.between(slab, region, cut)
    const boundary = tree.pathIndex[1] + (toLeft ? 0 : 1)
    const siblingIndex = toLeft ? boundary - 1 : boundary
    const low = tree.layout.fence(separator, false)
    const high = tree.layout.fence(separator, true)
    const fence = fenceBytes(toLeft ? low : high)
    const room = freeBytes(slab, region) + bytes + fenceBytes(fenceAt(slab, region, !toLeft))
    if (room < fence) return false
    if (this.#freeOfChild(siblingIndex) - bytes < fenceBytes(toLeft ? high : low)) return false
    if (!this.#replaceSeparator(boundary, separator)) return false
    const sibling = this.#writableChild(1, siblingIndex)
    const siblingSlab = tree.slabOf(sibling)
    const siblingRegion = tree.regionOf(sibling)
    const from = toLeft ? 0 : cut
    const target = toLeft ? entryCount(siblingSlab, siblingRegion) : 0
    for (let i = 0; i < moved; i++) {
      const entry = entryAt(slab, region, from + i)
      editor.insertCopy(siblingSlab, siblingRegion, target + i, slab, entry)
    }
    editor.remove(slab, region, from, from + moved)
    editor.setFence(slab, region, !toLeft, toLeft ? low : high)
    editor.setFence(siblingSlab, siblingRegion, toLeft, toLeft ? high : low)
    return true
  }

  /** Gives the parent's entry at `index` another key; false when there is no room for it. */
  #replaceSeparator(index: number, separator: Buffer): boolean {
    const tree = this.#tree
    const editor = this.#editor
    const parent = tree.pathPage[1]
    const slab = tree.slabOf(parent)
    const region = tree.regionOf(parent)
    const before = entryAt(slab, region, index)
    const bytes = branchEntryBytes(tree.layout, separator.length)
    if (freeBytes(slab, region) + entryBytes(slab, before) < bytes) return false
    const entry = this.#separators.entry(separator)
    const target = childAt(entry.slab, entry.at) >>> 2
    const source = childAt(slab, before) >>> 2
    for (let i = 0; i < 3; i++) entry.slab.u32[target + i] = slab.u32[source + i]
    this.freeLongKey(slab, before)
    editor.remove(slab, region, index, index + 1)
    editor.insertCopy(slab, region, index, entry.slab, entry.at)
    return true
  }

  /** Frees the extent of an entry's key where it has one. */
  freeLongKey(slab: PageBytes, entry: number): void {
    const word = slab.u32[entry >>> 2]
    if (!hasLongKey(word)) return
    const ref = readExtentRef(slab, keyReferenceAt(entry, word))
    this.#tree.pager.overflow.free(ref.page, ref.sizeBytes)
  }

  /** Makes a child of the path's branch at `level` this generation's own; it is in memory. */
  #writableChild(level: number, index: number): number {
    const tree = this.#tree
    const branch = tree.pathPage[level]
    const slab = tree.slabOf(branch)
    const region = tree.regionOf(branch)
    const before = slab.u32[childAt(slab, entryAt(slab, region, index)) >>> 2]
    const pageNo = tree.pager.copyOnWrite(before)
    if (pageNo !== before) tree.setChild(branch, index, pageNo)
    return pageNo
  }

  /** Merges the parent's children `index` - 1 and `index`, both of `level`, where that fits. */
  #merge(level: number, index: number, reserveBytes: number): boolean {
    const tree = this.#tree
    const editor = this.#editor
    const parent = tree.pathPage[level + 1]
    const parentSlab = tree.slabOf(parent)
    const parentRegion = tree.regionOf(parent)
    if (index < 1 || index >= entryCount(parentSlab, parentRegion)) return false
    const boundary = entryAt(parentSlab, parentRegion, index)
    const rightNo = parentSlab.u32[childAt(parentSlab, boundary) >>> 2]
    const leftEntry = entryAt(parentSlab, parentRegion, index - 1)
    const leftNo = parentSlab.u32[childAt(parentSlab, leftEntry) >>> 2]
    const table = tree.memory.pageTable
    if (!(table[rightNo] >= 0) || !(table[leftNo] >= 0)) return false
    const rightFree = freeBytes(tree.slabOf(rightNo), tree.regionOf(rightNo))
    const leftFree = freeBytes(tree.slabOf(leftNo), tree.regionOf(leftNo))
    const reserve = reserveBytes + (level > 0 ? entryBytes(parentSlab, boundary) : 0)
    if (leftFree + rightFree < tree.layout.regionBytes + reserve) return false
    const rightRegion = editor.stagePage(1, tree.slabOf(rightNo), tree.regionOf(rightNo))
    const rightSlab = editor.stage
    tree.pager.free(rightNo)
    const left = this.#writableChild(level + 1, index - 1)
    const leftSlab = tree.slabOf(left)
    const leftRegion = tree.regionOf(left)
    const count = entryCount(rightSlab, rightRegion)
    let at = entryCount(leftSlab, leftRegion)
    for (let i = 0; i < count; i++) {
      const source = entryAt(rightSlab, rightRegion, i)
      if (level > 0 && i === 0) this.#lowerSeparator(left, at++, index, level, rightSlab, source)
      else editor.insertCopy(leftSlab, leftRegion, at++, rightSlab, source)
    }
    if (level === 0) {
      editor.setFence(leftSlab, leftRegion, true, fenceAt(rightSlab, rightRegion, true))
      this.freeLongKey(parentSlab, boundary)
    }
    editor.remove(parentSlab, parentRegion, index, index + 1)
    this.#lastPage = -1
    return true
  }

  /** Copies the parent's separator at `index` down into `branch`, with the child at `floor`. */
  #lowerSeparator(
    branch: number,
    at: number,
    index: number,
    level: number,
    floorSlab: PageBytes,
    floor: number
  ): void {
    const tree = this.#tree
    const parent = tree.pathPage[level + 1]
    const parentSlab = tree.slabOf(parent)
    const slab = tree.slabOf(branch)
    const separator = entryAt(parentSlab, tree.regionOf(parent), index)
    const region = tree.regionOf(branch)
    const entry = this.#editor.insertCopy(slab, region, at, parentSlab, separator)
    const target = childAt(slab, entry) >>> 2
    const source = childAt(floorSlab, floor) >>> 2
    for (let i = 0; i < 3; i++) slab.u32[target + i] = floorSlab.u32[source + i]
  }

  /** Drops roots with a single child, and the root of a tree without entries. */
  #shrinkRoot(): void {
    const tree = this.#tree
    while (tree.height > 1) {
      const slab = tree.slabOf(tree.root)
      const region = tree.regionOf(tree.root)
      if (entryCount(slab, region) > 1) return
      const child = slab.u32[childAt(slab, entryAt(slab, region, 0)) >>> 2]
      // The root's own checksum is known only of pages yet to be written: the child becomes one.
      if (!(tree.memory.pageTable[child] >= 0)) return
      const pageNo = tree.pager.copyOnWrite(child)
      tree.pager.free(tree.root)
      tree.root = pageNo
      tree.height--
    }
    if (entryCount(tree.slabOf(tree.root), tree.regionOf(tree.root)) > 0) return
    tree.pager.free(tree.root)
    tree.root = 0
    tree.height = 0
    this.#lastPage = -1
  }
}
