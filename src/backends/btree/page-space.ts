import { firstDataPage } from './format.js'
import type { Freelist, FreelistSnapshot } from './freelist.js'
import type { PageMemory } from './page-memory.js'
import type { PageSums } from './page-sums.js'
import { ViewHolds } from './view-holds.js'

/**
 * Page numbers and how long each one lives. Three may still need a page that the current tree has
 * freed: a read view (`ViewHolds`), the persist in flight and the states in the meta pages (the
 * pending part of the `Freelist`).
 *
 * Generations tell who has seen a page: the number counts up at each freeze and with each view of
 * changed pages, and every page remembers the one it was born in. So a page of the current
 * generation is seen by the current tree alone, and one born after the last freeze is in no state
 * on disk.
 */
export class PageSpace {
  readonly #memory: PageMemory
  readonly #sums: PageSums
  readonly #freelist: Freelist
  readonly #views = new ViewHolds()
  readonly #forgetExtent: (page: number) => void
  /** Pages that the newest freelist itself lies in, once it is being written. */
  #freelistPages: readonly number[]
  #generation = 1
  #frozenGeneration = 0
  /** The current generation has changes that no view and no persist has seen. */
  #changed = false
  #lastPersistNo: number
  /** Persist numbers of states on disk that someone is reading. */
  readonly #diskHolds: number[] = []

  constructor(
    memory: PageMemory,
    sums: PageSums,
    freelist: Freelist,
    freelistPages: readonly number[],
    lastPersistNo: number,
    forgetExtent: (page: number) => void
  ) {
    this.#memory = memory
    this.#sums = sums
    this.#freelist = freelist
    this.#freelistPages = freelistPages
    this.#lastPersistNo = lastPersistNo
    this.#forgetExtent = forgetExtent
    this.#reserve(freelist.end)
  }

  get generation(): number {
    return this.#generation
  }

  /** Number that the next freeze will take. */
  get nextPersistNo(): number {
    return this.#lastPersistNo + 1
  }

  /** First page number that is not in use. */
  get end(): number {
    return this.#freelist.end
  }

  get availableCount(): number {
    return this.#freelist.availableCount
  }

  get pendingCount(): number {
    return this.#freelist.pendingCount
  }

  get heldCount(): number {
    return this.#views.heldPages
  }

  get viewCount(): number {
    return this.#views.viewCount
  }

  get freelistPageCount(): number {
    return this.#freelistPages.length
  }

  /** Pages of the current tree, its extents included. */
  get liveCount(): number {
    const { end, availableCount, pendingCount } = this.#freelist
    return end - firstDataPage - availableCount - pendingCount - this.heldCount
  }

  /** Whether contiguous pages below `limit` can be allocated. */
  hasRunBelow(limit: number, count: number): boolean {
    return this.#freelist.hasRunBelow(limit, count)
  }

  /** True when some live view sees pages born in this generation. */
  isSeen(birth: number): boolean {
    return this.#views.sees(birth)
  }

  /** First of `count` contiguous pages, born now. */
  allocateRun(count: number): number {
    const first = this.#freelist.allocateRun(count)
    const end = first + count
    this.#reserve(end)
    const { pageTable, generationOf } = this.#memory
    for (let pageNo = first; pageNo < end; pageNo++) {
      // A load that took its time may have brought back what stood there before.
      if (pageTable[pageNo] !== -1) this.#memory.drop(pageNo)
      generationOf[pageNo] = this.#generation
      this.#sums.forget(pageNo)
    }
    this.#changed = true
    return first
  }

  /** The current tree no longer refers to the pages, which were allocated together. */
  freeRun(page: number, count: number): void {
    const birth = this.#memory.generationOf[page]
    this.#changed = true
    if (birth === this.#generation) {
      this.#settle(page, count, 0)
      return
    }
    const cycle = birth > this.#frozenGeneration ? 0 : this.nextPersistNo
    if (this.#views.sees(birth)) this.#views.hold(page, count, birth, cycle)
    else this.#settle(page, count, cycle)
  }

  /** Holds the current state for a reader; returns the generation to release it by. */
  retainView(): number {
    const generation = this.#changed ? this.#generation++ : this.#generation - 1
    this.#changed = false
    this.#views.retain(generation)
    return generation
  }

  releaseView(generation: number): void {
    this.#views.release(generation, (page, count, cycle) => this.#settle(page, count, cycle))
  }

  /** Closes the generation: what is freed from now on is freed in the cycle after this one. */
  freeze(): { persistNo: number; generation: number; freelist: FreelistSnapshot } {
    const persistNo = ++this.#lastPersistNo
    const generation = this.#generation++
    this.#frozenGeneration = generation
    this.#changed = false
    for (const page of this.#freelistPages) this.#freelist.defer(page, 1, persistNo)
    this.#freelistPages = []
    const freelist = this.#freelist.snapshot(this.#views.ranges())
    return { persistNo, generation, freelist }
  }

  /** Takes the pages for the freelist of the frozen state; they are freed at the next freeze. */
  takeFreelistPages(choose: (allocate: () => number) => readonly number[]): void {
    this.#freelistPages = choose(() => this.allocateRun(1))
  }

  /** Keeps the pages of a durable state until the matching `releaseDisk`. */
  holdDisk(persistNo: number): void {
    this.#diskHolds.push(persistNo)
  }

  releaseDisk(persistNo: number): void {
    this.#diskHolds.splice(this.#diskHolds.indexOf(persistNo), 1)
  }

  /** No meta page holds a state older than persist `oldest` any more. */
  reclaim(oldest: number): void {
    const floor = Math.min(oldest, ...this.#diskHolds)
    this.#freelist.reclaim(floor, (page, count) => this.#forget(page, count))
  }

  /** No view sees the pages any more. */
  #settle(page: number, count: number, cycle: number): void {
    if (cycle === 0) {
      this.#forget(page, count)
      this.#freelist.release(page, count)
    } else {
      this.#freelist.defer(page, count, cycle)
    }
  }

  #forget(page: number, count: number): void {
    // Runs that were freed one by one come back as one: an extent may start at any of the pages.
    for (let i = 0; i < count; i++) {
      this.#forgetExtent(page + i)
      this.#memory.drop(page + i)
    }
  }

  #reserve(pageCount: number): void {
    this.#memory.reservePages(pageCount)
    this.#sums.reserve(pageCount)
  }
}
