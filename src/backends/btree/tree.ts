import { PageEditor } from '../../page/edit.js'
import { entryAt, entryCount, searchPage } from '../../page/read.js'
import { PageHeader, maxLevel, pageHeaderBytes } from './format.js'
import { LeafHints } from './leaf-hints.js'
import { LeafRange } from './leaf-range.js'
import type { NodeContent } from './node-content.js'
import { NodeLayout, childAt } from './node.js'
import type { PageMemory, Slab } from './page-memory.js'
import type { Pager } from './pager.js'
import type { TreeReader } from './tree-reader.js'
import type { TreeState } from './tree-state.js'

/** The current state of the tree, and the path of the change being made to it. */
export class Tree {
  root: number
  height: number
  entries: number
  appliedSeq: number

  readonly pager: Pager
  readonly memory: PageMemory
  readonly layout: NodeLayout
  readonly editor: PageEditor
  readonly reader: TreeReader
  readonly content: NodeContent
  /** The path of the last descent, by level: page number and index of the entry taken there. */
  readonly pathPage = new Int32Array(maxLevel + 1)
  readonly pathIndex = new Int32Array(maxLevel + 1)
  /** Where the path ends; forgotten by whoever changes more than the entries of the leaf there. */
  readonly range: LeafRange
  readonly hints = new LeafHints()
  /** Of the path only its leaf is known; see `find`. */
  #isLeafOnly = false

  constructor(pager: Pager, reader: TreeReader, content: NodeContent) {
    this.pager = pager
    this.memory = pager.memory
    this.reader = reader
    this.content = content
    this.layout = new NodeLayout(pager.pageBytes)
    this.editor = new PageEditor(this.layout.regionBytes)
    this.range = new LeafRange(reader.tails)
    const { rootPage, height, entries, appliedSeq } = pager.openedState
    this.root = rootPage
    this.height = height
    this.entries = entries
    this.appliedSeq = appliedSeq
  }

  get state(): TreeState {
    return {
      rootPage: this.root,
      height: this.height,
      entries: this.entries,
      appliedSeq: this.appliedSeq
    }
  }

  /** Frame of a page that is in memory, or made so. `level` and the parent's entry say what it is. */
  frameOf(pageNo: number, level: number, parent: Slab | undefined, sums: number): number {
    const frame = this.memory.pageTable[pageNo]
    if (frame >= 0) return frame
    const low = parent === undefined ? 0 : parent.u32[sums]
    const high = parent === undefined ? 0 : parent.u32[sums + 1]
    return this.pager.loadSync(pageNo, level, low, high)
  }

  slabOf(pageNo: number): Slab {
    return this.memory.slabs[this.memory.pageTable[pageNo] >> this.memory.slabShift]
  }

  regionOf(pageNo: number): number {
    const memory = this.memory
    const frame = memory.pageTable[pageNo]
    return ((frame & memory.slabMask) << memory.pageShift) + pageHeaderBytes
  }

  /**
   * `descend`, without the way down where the leaf is known. Then the path may consist of the leaf
   * alone, which is this generation's own: before anything above it is needed, `completePath`.
   */
  find(key: Uint8Array, start: number, end: number): number {
    if (this.range.holds(key, start, end))
      return this.#searchLeaf(this.pathPage[0], key, start, end)
    const hint = this.hints.at(start)
    if (!this.#isOwnLeaf(hint)) return this.descend(key, start, end)
    const found = this.#searchLeaf(hint, key, start, end)
    // Between two keys of a leaf, or equal to one, belongs nothing that is not the leaf's.
    const count = entryCount(this.slabOf(hint), this.regionOf(hint))
    if (found < 0 && (found === -1 || ~found === count)) return this.descend(key, start, end)
    this.range.forget()
    this.pathPage[0] = hint
    this.#isLeafOnly = true
    return found
  }

  /** Makes the path whole that `find` may have left with its leaf alone. */
  completePath(key: Uint8Array, start: number, end: number): void {
    if (this.#isLeafOnly) this.descend(key, start, end)
  }

  #searchLeaf(leaf: number, key: Uint8Array, start: number, end: number): number {
    const memory = this.memory
    const frame = memory.pageTable[leaf]
    const slab = memory.slabs[frame >> memory.slabShift]
    const region = ((frame & memory.slabMask) << memory.pageShift) + pageHeaderBytes
    const found = searchPage(slab, region, key, start, end, this.reader.tails)
    this.pathIndex[0] = found >= 0 ? found : ~found
    return found
  }

  /**
   * Whether a page is a leaf of this tree and of this generation. What is in memory with this
   * generation is in the tree, unless it was cut off with a range, which makes hints forgotten.
   * Pages with long keys might have to be read for a hint that is wrong: then there are none.
   */
  #isOwnLeaf(pageNo: number): boolean {
    const memory = this.memory
    const frame = memory.pageTable[pageNo]
    if (!(frame >= 0) || memory.generationOf[pageNo] !== this.pager.generation) return false
    const slab = memory.slabs[frame >> memory.slabShift]
    const base = (frame & memory.slabMask) << memory.pageShift
    return slab.u8[base + PageHeader.level] === 0 && !this.content.longKeysSeen
  }

  /** Goes down to the leaf for the key and returns what `searchPage` said there. */
  descend(key: Uint8Array, start: number, end: number): number {
    const { memory, range } = this
    const tails = this.reader.tails
    range.begin()
    this.#isLeafOnly = false
    let pageNo = this.root
    let sums = 0
    let slab: Slab | undefined
    for (let level = this.height - 1; ; level--) {
      const frame = this.frameOf(pageNo, level, slab, sums)
      slab = memory.slabs[frame >> memory.slabShift]
      const region = ((frame & memory.slabMask) << memory.pageShift) + pageHeaderBytes
      const found = searchPage(slab, region, key, start, end, tails)
      this.pathPage[level] = pageNo
      if (level === 0) {
        this.pathIndex[0] = found >= 0 ? found : ~found
        range.end()
        return found
      }
      const index = found >= 0 ? found : ~found - 1
      this.pathIndex[level] = index
      range.narrow(slab, region, index)
      const child = childAt(slab, entryAt(slab, region, index)) >>> 2
      pageNo = slab.u32[child]
      sums = child + 1
    }
  }

  /**
   * Makes the pages of the path this generation's own. A page of this generation hangs below pages
   * of this generation, so mostly one look suffices.
   */
  makeWritable(level: number): void {
    const { pager, memory, pathPage } = this
    const generation = pager.generation
    if (memory.generationOf[pathPage[level]] === generation) return
    this.range.forget()
    for (let at = this.height - 1; at >= level; at--) {
      const before = pathPage[at]
      if (memory.generationOf[before] === generation) continue
      const pageNo = pager.copyOnWrite(before)
      pathPage[at] = pageNo
      if (at === this.height - 1) this.root = pageNo
      else this.setChild(pathPage[at + 1], this.pathIndex[at + 1], pageNo)
    }
  }

  /** Points a branch's entry at another page. */
  setChild(branch: number, index: number, pageNo: number): void {
    const slab = this.slabOf(branch)
    slab.u32[childAt(slab, entryAt(slab, this.regionOf(branch), index)) >>> 2] = pageNo
  }
}
