import { assert } from '../../base/assert.js'
import type { Finding, Progress, VerifyLevel } from '../../backend/backend.js'
import type { DataFile } from './data-file.js'
import {
  createDataFile,
  openDataFile,
  type OpenedFile,
  type PagerOptions
} from './data-file-open.js'
import { FileVerifier } from './file-verifier.js'
import { firstDataPage, PageHeader, type PageKind } from './format.js'
import { verifyMetas, type MetaSlots } from './meta-slots.js'
import { Overflow } from './overflow.js'
import { PageMemory } from './page-memory.js'
import { checkTreePage } from './page-check.js'
import { PageSpace } from './page-space.js'
import { PageSums } from './page-sums.js'
import type { TreeState } from './tree-state.js'
import { StatePersister } from './state-persister.js'

/** A live read view's hold on the pages of its state. */
export interface ViewToken {
  readonly state: TreeState
  readonly generation: number
}

export type ShrinkPlan =
  | { readonly step: 'done' | 'persist' }
  | { readonly step: 'move'; readonly start: number }

/** A file so much longer than its contents is not worth the work. */
const minGapPages = 64

/**
 * Pages on disk and in memory. Everything but `load`, `persist` and `close` is synchronous, and
 * only the load methods read the disk. See format.md for what is where.
 */
export class Pager {
  readonly memory: PageMemory
  readonly overflow: Overflow
  readonly file: DataFile
  readonly slots: MetaSlots
  readonly pageBytes: number
  /** The state found at open. */
  readonly openedState: TreeState
  readonly openNotes: readonly string[]
  readonly #options: PagerOptions
  readonly #sums = new PageSums()
  readonly #space: PageSpace
  readonly #persister: StatePersister
  readonly #loading = new Map<number, Promise<void>>()
  #persisting: Promise<number> | undefined
  #verifying = 0
  #closed = false

  /** Makes the file of an empty tree; durable when it resolves. */
  static async create(options: PagerOptions): Promise<Pager> {
    return new Pager(options, await createDataFile(options))
  }

  /** Opens the file at the newest state that can be read. */
  static async open(options: PagerOptions): Promise<Pager> {
    return new Pager(options, await openDataFile(options))
  }

  private constructor(options: PagerOptions, opened: OpenedFile) {
    const { file, slots, meta } = opened
    this.#options = options
    this.file = file
    this.slots = slots
    this.pageBytes = file.pageBytes
    this.openNotes = opened.notes
    const { rootPage, height, entries, appliedSeq } = meta
    this.openedState = { rootPage, height, entries, appliedSeq }
    this.memory = new PageMemory(this.pageBytes, options.cacheBytes, options.slabBytes)
    this.#space = new PageSpace(
      this.memory,
      this.#sums,
      opened.freelist,
      opened.freelistPages,
      opened.lastPersistNo,
      (page) => this.overflow.forget(page)
    )
    if (rootPage !== 0) this.#sums.set(rootPage, meta.rootSumLow, meta.rootSumHigh)
    this.overflow = new Overflow(
      file,
      options.epoch,
      this.#space,
      options.cacheBytes >>> 1,
      (cachedBytes) => this.memory.setBudget(options.cacheBytes - cachedBytes)
    )
    this.#persister = new StatePersister({
      file,
      slots,
      memory: this.memory,
      overflow: this.overflow,
      sums: this.#sums,
      space: this.#space,
      content: options.content,
      epoch: options.epoch,
      abandoned: opened.abandoned
    })
  }

  /**
   * Counts up at each freeze and with each view of changed pages. A page whose
   * `memory.generationOf` equals it is seen by nobody else and is edited in place.
   */
  get generation(): number {
    return this.#space.generation
  }

  get durableSeq(): number {
    return this.slots.durableSeq
  }

  get retirableSeq(): number {
    return this.slots.retirableSeq
  }

  /** Bytes of dirty pages and extents: what a persist would have to write, roughly. */
  get dirtyBytes(): number {
    return this.memory.dirtyCount * this.pageBytes + this.overflow.dirtyBytes
  }

  /**
   * Makes a page resident: reads it, verifies checksum, page number, level, the parent's checksum
   * and the content's bounds, and returns its frame. Throws CORRUPTION with path, page and offset.
   */
  loadSync(pageNo: number, level: number, sumLow: number, sumHigh: number): number {
    const { memory } = this
    this.#checkPageNo(pageNo)
    const resident = memory.pageTable[pageNo]
    if (resident !== -1) return resident
    const frame = memory.takeFrame()
    try {
      this.file.readPageSync(memory.bytesOf(frame), pageNo)
      this.#verify(frame, pageNo, level, sumLow, sumHigh)
    } catch (error) {
      memory.returnFrame(frame)
      throw error
    }
    memory.install(frame, pageNo)
    return frame
  }

  /**
   * The same without waiting. When it resolves the page was resident a moment ago, which is true
   * until the next load: start the descent again.
   */
  load(pageNo: number, level: number, sumLow: number, sumHigh: number): Promise<void> {
    const running = this.#loading.get(pageNo)
    if (running !== undefined) return running
    const promise = this.#load(pageNo, level, sumLow, sumHigh).finally(() => {
      this.#loading.delete(pageNo)
    })
    this.#loading.set(pageNo, promise)
    return promise
  }

  /**
   * `loadSync` where the operating system has the page in memory; otherwise -1. It answers -1 as
   * well when something is wrong with the page: `load` then says what.
   */
  tryLoad(pageNo: number, level: number, sumLow: number, sumHigh: number): number {
    const { memory, file } = this
    // Until the load under way ends, more of them would only take frames from other pages.
    if (this.#loading.has(pageNo) || !file.mayTryRead(this.pageBytes)) return -1
    if (pageNo < firstDataPage || pageNo >= this.#space.end) return -1
    const resident = memory.pageTable[pageNo]
    if (resident !== -1) return resident
    const frame = memory.takeFrame()
    let installed = false
    try {
      if (!file.tryRead(memory.bytesOf(frame), pageNo)) return -1
      if (this.#check(frame, pageNo, level, sumLow, sumHigh) !== undefined) return -1
      memory.install(frame, pageNo)
      installed = true
      return frame
    } finally {
      if (!installed) memory.returnFrame(frame)
    }
  }

  /** Whether `tryLoad` waits for the event loop to turn before it reads any more. */
  get mustTurn(): boolean {
    return !this.file.mayTryRead(this.pageBytes)
  }

  /** A new dirty page of the current generation, resident, zero behind its header. */
  allocate(kind: PageKind, level: number): number {
    const { memory } = this
    const pageNo = this.#space.allocateRun(1)
    const frame = memory.takeFrame()
    const { u8, u32 } = memory.slabOf(frame)
    const base = memory.baseOf(frame)
    u8.fill(0, base, base + this.pageBytes)
    u32[(base + PageHeader.pageNo) >>> 2] = pageNo
    u8[base + PageHeader.kind] = kind
    u8[base + PageHeader.level] = level
    this.#installDirty(frame, pageNo)
    return pageNo
  }

  /**
   * The page to edit in place of a resident one: itself in the current generation, otherwise a copy
   * under a new page number; the old one is freed. The caller puts the number into the parent.
   */
  copyOnWrite(pageNo: number): number {
    const { memory } = this
    const birth = memory.generationOf[pageNo]
    if (birth === this.#space.generation) return pageNo
    const source = memory.pageTable[pageNo]
    assert(source >= 0, `page ${pageNo} is copied while not in memory`)
    const copyNo = this.#space.allocateRun(1)
    let frame = source
    if (memory.isDirty(source) || memory.isPinned(source) || this.#space.isSeen(birth)) {
      memory.pin(source)
      frame = memory.takeFrame()
      const from = memory.baseOf(source)
      memory.bytesOf(frame).set(memory.slabOf(source).u8.subarray(from, from + this.pageBytes))
      this.#installDirty(frame, copyNo)
      memory.unpin(source)
    } else {
      // Nobody needs the old page in memory: its frame becomes the copy's.
      memory.rename(source, copyNo)
      memory.markDirty(source)
    }
    memory.slabOf(frame).u32[(memory.baseOf(frame) + PageHeader.pageNo) >>> 2] = copyNo
    this.#space.freeRun(pageNo, 1)
    return copyNo
  }

  /** The current tree no longer refers to the page. Views and metas may; it waits for them. */
  free(pageNo: number): void {
    this.#space.freeRun(pageNo, 1)
  }

  /** A hold on everything reachable from the state, which must be the current one. */
  retainView(state: TreeState): ViewToken {
    return { state, generation: this.#space.retainView() }
  }

  releaseView(view: ViewToken): void {
    this.#space.releaseView(view.generation)
  }

  /**
   * Makes the state, which must be the current one, durable in the background; resolves with its
   * `appliedSeq`. Changes made after the call are not in it. Nothing is written before
   * `syncLog(appliedSeq)` has resolved (rule W8). One at a time. With nothing changed it does
   * nothing unless `force`.
   */
  persist(
    state: TreeState,
    syncLog: (seq: number) => Promise<void>,
    force = false
  ): Promise<number> {
    assert(!this.#closed && !this.#options.readOnly, 'a persist of a pager that cannot')
    assert(this.#persisting === undefined, 'a second persist at a time')
    if (!force && this.dirtyBytes === 0 && this.slots.holds(state)) {
      return Promise.resolve(state.appliedSeq)
    }
    const persisting = this.#persister.persist(state, syncLog).finally(() => {
      this.#persisting = undefined
    })
    this.#persisting = persisting
    return persisting
  }

  /**
   * What would make the file shorter next, if it is much longer than its contents: move what lies
   * at or above a page number (`copyOnWrite` on pages, `overflow.move` on extents, as long as
   * `canMove`), or persist, because what would make room is still pending. Free tail pages are
   * given back by `persist` and `close`. A move that finds nothing it can move is the end, too:
   * extents need contiguous places.
   */
  shrinkPlan(): ShrinkPlan {
    const { end, liveCount, pendingCount, heldCount } = this.#space
    const ideal = firstDataPage + liveCount
    const gap = end - ideal
    const slack = Math.max(minGapPages, ideal >>> 4)
    if (gap <= slack) {
      return this.slots.pageCount > end + slack ? { step: 'persist' } : { step: 'done' }
    }
    if (pendingCount * 4 > gap) return { step: 'persist' }
    if (heldCount * 4 > gap) return { step: 'done' }
    if (this.#space.hasRunBelow(ideal, 1)) return { step: 'move', start: ideal }
    // Nothing but the freelist, old or new, is left up there: it moves with each persist.
    return { step: heldCount === 0 ? 'persist' : 'done' }
  }

  /** Whether copying a page at or above `start` would bring it below. */
  canMove(start: number): boolean {
    return this.#space.hasRunBelow(start, 1)
  }

  /** Checks the newest durable state as it is on disk, metas included; damage is a finding. */
  async verify(level: VerifyLevel, progress: Progress): Promise<Finding[]> {
    // Between two persists the metas on disk stand still. How one ends is its caller's to hear.
    while (this.#persisting !== undefined) await this.#persisting.catch(() => {})
    const { newest } = this.slots
    const findings = verifyMetas(this.file, this.#options.storeId, this.#options.checksum, newest)
    this.#space.holdDisk(newest.persistNo)
    const verifier = new FileVerifier(this.file, this.#options.content, newest, level, progress)
    this.#verifying++
    try {
      return [...findings, ...(await verifier.run())]
    } finally {
      this.#verifying--
      this.#space.releaseDisk(newest.persistNo)
    }
  }

  /** Waits for what is running, cuts the file to what it needs and closes it; does not persist. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await Promise.allSettled([this.#persisting, ...this.#loading.values()])
    await this.overflow.settle()
    while (this.#verifying > 0) await pause()
    try {
      const needed = this.slots.pageCount
      const usable = !this.#options.readOnly && this.file.poison === undefined
      if (usable && this.file.pageCount > needed) await this.#persister.giveBackTail(needed)
    } finally {
      await this.file.close()
    }
  }

  /** Figures by name. */
  stats(): Record<string, number> {
    return {
      filePages: this.file.pageCount,
      usedPages: this.#space.end,
      availablePages: this.#space.availableCount,
      pendingPages: this.#space.pendingCount,
      heldPages: this.#space.heldCount,
      freelistPages: this.#space.freelistPageCount,
      liveViews: this.#space.viewCount,
      residentPages: this.memory.residentCount,
      dirtyPages: this.memory.dirtyCount,
      memoryBytes: this.memory.allocatedBytes,
      cachedExtentBytes: this.overflow.cachedBytes,
      persistNo: this.#space.nextPersistNo - 1,
      failedTruncations: this.#persister.failedTruncations
    }
  }

  async #load(pageNo: number, level: number, sumLow: number, sumHigh: number): Promise<void> {
    const { memory } = this
    this.#checkPageNo(pageNo)
    if (memory.pageTable[pageNo] !== -1) return
    const birth = memory.generationOf[pageNo]
    const frame = memory.takeFrame()
    let installed = false
    try {
      await this.file.readPage(memory.bytesOf(frame), pageNo)
      // Loaded by somebody else, or given to other contents: whoever asked starts again anyway.
      if (memory.pageTable[pageNo] !== -1 || memory.generationOf[pageNo] !== birth) return
      this.#verify(frame, pageNo, level, sumLow, sumHigh)
      memory.install(frame, pageNo)
      installed = true
    } finally {
      if (!installed) memory.returnFrame(frame)
    }
  }

  #installDirty(frame: number, pageNo: number): void {
    this.memory.install(frame, pageNo)
    this.memory.markDirty(frame)
  }

  #checkPageNo(pageNo: number): void {
    if (pageNo < firstDataPage || pageNo >= this.#space.end) {
      throw this.file.corruption(pageNo, 'something refers to it though the file is shorter')
    }
  }

  #verify(frame: number, pageNo: number, level: number, sumLow: number, sumHigh: number): void {
    const reason = this.#check(frame, pageNo, level, sumLow, sumHigh)
    if (reason !== undefined) throw this.file.corruption(pageNo, reason)
  }

  /** What is wrong with a page that was read, or undefined. */
  #check(
    frame: number,
    pageNo: number,
    level: number,
    sumLow: number,
    sumHigh: number
  ): string | undefined {
    const { memory } = this
    const { content } = this.#options
    const bytes = memory.bytesOf(frame)
    const known = this.#sums.knows(pageNo)
    const reason =
      this.file.checkPage(bytes, pageNo) ??
      checkTreePage(
        bytes,
        level,
        known ? this.#sums.low(pageNo) : sumLow,
        known ? this.#sums.high(pageNo) : sumHigh
      ) ??
      content.check(memory.slabOf(frame), memory.baseOf(frame))
    if (reason !== undefined) return reason
    if (!known) this.#sums.set(pageNo, sumLow, sumHigh)
    content.arrange(memory.slabOf(frame), memory.baseOf(frame))
    return undefined
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
