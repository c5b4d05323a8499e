import { assert } from '../../base/assert.js'
import { PageBitmap } from './page-bitmap.js'

/** One big block of memory that holds many pages, with the views made once. */
export class Slab {
  readonly u8: Buffer
  readonly u16: Uint16Array
  readonly u32: Uint32Array

  constructor(sizeBytes: number) {
    const memory = new ArrayBuffer(sizeBytes)
    this.u8 = Buffer.from(memory)
    this.u16 = new Uint16Array(memory)
    this.u32 = new Uint32Array(memory)
  }
}

/** Frame numbers stay below this; with 4 KiB pages that is 4 TiB of memory. */
const maxFrames = 0x4000_0000

/**
 * The pages in memory. A resident page is a *frame*, an integer; no object stands for a page:
 *
 *     const frame = memory.pageTable[pageNo]                    // -1: not resident
 *     const slab = memory.slabs[frame >> memory.slabShift]
 *     const base = (frame & memory.slabMask) << memory.pageShift
 *
 * Read `pageTable` anew after every call that may allocate or load a page: the arrays grow by
 * replacement. A frame number holds until the next load or allocation unless it is pinned or dirty;
 * those are never evicted. Clean frames beyond the budget are evicted by a clock that gives a
 * second chance to frames whose `touched` byte is set: point reads set it, scans do not. Dirty
 * frames do not count against the budget; whoever makes them dirty bounds them.
 */
export class PageMemory {
  readonly slabs: Slab[] = []
  readonly pageBytes: number
  readonly pageShift: number
  readonly slabShift: number
  readonly slabMask: number

  /** Page number → frame, or -1. */
  pageTable = new Int32Array(256).fill(-1)
  /** Page number → generation in which it was allocated; 0 for pages from before this opening. */
  generationOf = new Float64Array(256)
  /** Frame → set by reads that want the page kept. */
  touched = new Uint8Array(0)

  /** Frame → page number, -1 while it holds none. */
  #pageOf = new Int32Array(0)
  #dirty = new Uint8Array(0)
  #pins = new Int32Array(0)
  /** Frame → number of the newest preparation when it was kept or filled. */
  #keptFor = new Float64Array(0)
  /** Preparations begun, and the oldest of them that is not given up. */
  #keepNumber = 0
  #keepFrom = 1
  #freeFrames: number[] = []
  #frameCount = 0
  #hand = 0
  #resident = 0
  #dirtyCount = 0
  #dirtyPages = new PageBitmap()
  #budgetFrames: number

  constructor(pageBytes: number, cacheBytes: number, slabBytes: number) {
    this.pageBytes = pageBytes
    this.pageShift = 31 - Math.clz32(pageBytes)
    this.slabShift = 31 - Math.clz32(Math.max(1, slabBytes >> this.pageShift))
    this.slabMask = (1 << this.slabShift) - 1
    this.#budgetFrames = Math.max(64, Math.floor(cacheBytes / pageBytes))
  }

  /** Frames that hold a page. */
  get residentCount(): number {
    return this.#resident
  }

  get dirtyCount(): number {
    return this.#dirtyCount
  }

  get allocatedBytes(): number {
    return this.slabs.length << (this.slabShift + this.pageShift)
  }

  setBudget(cacheBytes: number): void {
    this.#budgetFrames = Math.max(64, Math.floor(cacheBytes / this.pageBytes))
  }

  /** Makes room for page numbers below `pageCount`. */
  reservePages(pageCount: number): void {
    const { pageTable, generationOf } = this
    if (pageCount <= pageTable.length) return
    let length = pageTable.length
    while (length < pageCount) length *= 2
    this.pageTable = new Int32Array(length).fill(-1)
    this.pageTable.set(pageTable)
    this.generationOf = new Float64Array(length)
    this.generationOf.set(generationOf)
  }

  slabOf(frame: number): Slab {
    return this.slabs[frame >> this.slabShift]
  }

  baseOf(frame: number): number {
    return (frame & this.slabMask) << this.pageShift
  }

  /** The page's bytes as a view; for paths that are not hot. */
  bytesOf(frame: number): Buffer {
    const base = this.baseOf(frame)
    return this.slabOf(frame).u8.subarray(base, base + this.pageBytes)
  }

  pageOf(frame: number): number {
    return this.#pageOf[frame]
  }

  isDirty(frame: number): boolean {
    return this.#dirty[frame] === 1
  }

  /** A frame without a page, pinned once; its contents are undefined. Evicts when over budget. */
  takeFrame(): number {
    if (this.#resident - this.#dirtyCount >= this.#budgetFrames) this.#evictOne()
    let frame = this.#freeFrames.pop()
    if (frame === undefined) {
      this.#addSlab()
      frame = this.#freeFrames.pop()!
    }
    this.#pins[frame] = 1
    this.#resident++
    return frame
  }

  /** Gives a taken frame to a page and drops the pin that came with it. */
  install(frame: number, pageNo: number): void {
    assert(this.pageTable[pageNo] === -1, `page ${pageNo} is in memory twice`)
    this.pageTable[pageNo] = frame
    this.#pageOf[frame] = pageNo
    this.touched[frame] = 1
    this.#keptFor[frame] = this.#keepNumber
    this.unpin(frame)
  }

  /** Gives back a taken frame that was not installed. */
  returnFrame(frame: number): void {
    this.#pins[frame] = 0
    this.#release(frame)
  }

  /** Forgets a page, dirty or not. Whoever has the frame pinned keeps its bytes until `unpin`. */
  drop(pageNo: number): void {
    const frame = this.pageTable[pageNo]
    if (frame === -1) return
    this.markClean(frame)
    this.pageTable[pageNo] = -1
    this.#pageOf[frame] = -1
    if (this.#pins[frame] === 0) this.#release(frame)
  }

  /** The frame's bytes become another page's; the old page is no longer resident. */
  rename(frame: number, pageNo: number): void {
    this.pageTable[this.#pageOf[frame]] = -1
    this.pageTable[pageNo] = frame
    this.#pageOf[frame] = pageNo
    this.touched[frame] = 1
    this.#keptFor[frame] = this.#keepNumber
  }

  /** The pages marked dirty since the last call, some of them clean or gone by now. */
  takeDirtyPages(): PageBitmap {
    const taken = this.#dirtyPages
    this.#dirtyPages = new PageBitmap()
    return taken
  }

  markDirty(frame: number): void {
    this.#dirtyPages.add(this.#pageOf[frame])
    this.touched[frame] = 1
    if (this.#dirty[frame] === 1) return
    this.#dirty[frame] = 1
    this.#dirtyCount++
  }

  markClean(frame: number): void {
    if (this.#dirty[frame] === 0) return
    this.#dirty[frame] = 0
    this.#dirtyCount--
  }

  /** Keeps the frame where it is until the matching `unpin`. Pins nest. */
  pin(frame: number): void {
    this.#pins[frame]++
  }

  unpin(frame: number): void {
    assert(this.#pins[frame] > 0, `frame ${frame} is unpinned too often`)
    if (--this.#pins[frame] === 0 && this.#pageOf[frame] === -1) this.#release(frame)
  }

  isPinned(frame: number): boolean {
    return this.#pins[frame] > 0
  }

  /**
   * Begins a preparation: what it names through `keep`, and every page that comes into memory
   * later, its copies among them, stays until the preparation is given up (rule W10).
   */
  beginKeep(): void {
    this.#keepNumber++
  }

  keep(frame: number): void {
    this.#keptFor[frame] = this.#keepNumber
  }

  /** Gives up the oldest preparation, or all of them. */
  endKeep(all: boolean): void {
    if (all) this.#keepFrom = this.#keepNumber + 1
    else if (this.#keepFrom <= this.#keepNumber) this.#keepFrom++
  }

  /** Evicts at most `maxCount` clean frames beyond the budget; true when it holds. */
  trim(maxCount: number): boolean {
    for (let count = 0; count < maxCount; count++) {
      if (this.#resident - this.#dirtyCount <= this.#budgetFrames || !this.#evictOne()) return true
    }
    return false
  }

  /** Moves the clock's hand to the next clean, unpinned frame without a second chance. */
  #evictOne(): boolean {
    const count = this.#frameCount
    const touched = this.touched
    const pageOf = this.#pageOf
    // Two rounds take every second chance away; more means that all of it is dirty or pinned.
    const maxSteps = Math.min(2 * count, 65_536)
    let hand = this.#hand
    for (let step = 0; step < maxSteps; step++) {
      if (hand >= count) hand = 0
      const frame = hand++
      const pageNo = pageOf[frame]
      if (pageNo === -1 || this.#dirty[frame] === 1 || this.#pins[frame] > 0) continue
      if (this.#keptFor[frame] >= this.#keepFrom) continue
      if (touched[frame] === 1) {
        touched[frame] = 0
        continue
      }
      this.#hand = hand
      this.pageTable[pageNo] = -1
      this.#release(frame)
      return true
    }
    this.#hand = hand
    return false
  }

  #release(frame: number): void {
    this.#pageOf[frame] = -1
    this.touched[frame] = 0
    this.#resident--
    this.#freeFrames.push(frame)
  }

  #addSlab(): void {
    const first = this.#frameCount
    const count = first + this.slabMask + 1
    assert(count <= maxFrames, 'too many frames')
    this.slabs.push(new Slab((this.slabMask + 1) << this.pageShift))
    if (count > this.touched.length) {
      const length = Math.max(count, this.touched.length * 2)
      this.touched = grown(this.touched, new Uint8Array(length))
      this.#dirty = grown(this.#dirty, new Uint8Array(length))
      this.#pins = grown(this.#pins, new Int32Array(length))
      this.#pageOf = grown(this.#pageOf, new Int32Array(length).fill(-1))
      this.#keptFor = grown(this.#keptFor, new Float64Array(length))
    }
    this.#frameCount = count
    for (let frame = count - 1; frame >= first; frame--) this.#freeFrames.push(frame)
  }
}

function grown<T extends Uint8Array | Int32Array | Float64Array>(old: T, replacement: T): T {
  replacement.set(old)
  return replacement
}
