import { entryCount } from '../../page/read.js'
import { isCorruption } from '../../errors.js'
import { pageHeaderBytes } from './format.js'
import type { NodeContent } from './node-content.js'
import type { ExtentRef } from './page-content.js'
import type { Pager } from './pager.js'

/** Words of the queue that describe one page: page number, level, checksum of two words. */
const wordsPerPage = 4

/**
 * Gives back the subtrees that were cut off as a whole: page by page, apart from the commit that
 * cut them. A persist waits for it, since only then are free pages and entry count known.
 */
export class Reclaimer {
  /** Entries found in pages reclaimed since the owner last took them off its count. */
  entriesFound = 0
  /** Pages whose content could not be read: what they referred to is not reclaimed. */
  unreadablePages = 0

  readonly #pager: Pager
  readonly #content: NodeContent
  readonly #onUnreadable: (pageNo: number) => void
  readonly #queue: number[] = []
  readonly #freeExtent: (ref: ExtentRef) => void
  readonly #addChild: (pageNo: number, sumLow: number, sumHigh: number) => void
  #childLevel = 0

  constructor(pager: Pager, content: NodeContent, onUnreadable: (pageNo: number) => void) {
    this.#pager = pager
    this.#onUnreadable = onUnreadable
    this.#content = content
    this.#freeExtent = (ref) => pager.overflow.free(ref.page, ref.sizeBytes)
    this.#addChild = (pageNo, low, high) => this.add(pageNo, this.#childLevel, low, high)
  }

  get isIdle(): boolean {
    return this.#queue.length === 0
  }

  /** Takes over a page and everything below it. */
  add(pageNo: number, level: number, sumLow: number, sumHigh: number): void {
    this.#queue.push(pageNo, level, sumLow, sumHigh)
  }

  /**
   * Reclaims up to `maxPages` that are in memory. Returns false when the next page has to be loaded
   * first.
   */
  step(maxPages: number): boolean {
    const { memory } = this.#pager
    for (let count = 0; count < maxPages && this.#queue.length > 0; count++) {
      const at = this.#queue.length - wordsPerPage
      const frame = memory.pageTable[this.#queue[at]]
      if (!(frame >= 0)) return false
      this.#reclaim(frame)
    }
    return true
  }

  /** Loads the page that `step` stopped at. One that is damaged is given back unread. */
  async load(): Promise<void> {
    const [pageNo, level, sumLow, sumHigh] = this.#queue.slice(-wordsPerPage)
    try {
      await this.#pager.load(pageNo, level, sumLow, sumHigh)
    } catch (error) {
      if (!isCorruption(error)) throw error
      this.#queue.length -= wordsPerPage
      this.unreadablePages++
      this.#onUnreadable(pageNo)
      this.#pager.free(pageNo)
    }
  }

  #reclaim(frame: number): void {
    const { memory } = this.#pager
    const at = this.#queue.length - wordsPerPage
    const pageNo = this.#queue[at]
    const level = this.#queue[at + 1]
    this.#queue.length = at
    const slab = memory.slabOf(frame)
    const base = memory.baseOf(frame)
    this.#content.eachExtent(slab, base, this.#freeExtent)
    if (level === 0) this.entriesFound += entryCount(slab, base + pageHeaderBytes)
    else {
      this.#childLevel = level - 1
      this.#content.eachChildPage(slab, base, this.#addChild)
    }
    this.#pager.free(pageNo)
  }
}
