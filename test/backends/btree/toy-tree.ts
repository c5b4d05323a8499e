import { Pager } from '../../../dist/backends/btree/pager.js'
import type { PagerOptions } from '../../../dist/backends/btree/data-file-open.js'
import { PageHeader, pageHeaderBytes, PageKind } from '../../../dist/backends/btree/format.js'
import type { ExtentRef, PageContent } from '../../../dist/backends/btree/page-content.js'
import type { PageSums } from '../../../dist/backends/btree/page-sums.js'
import type { Slab } from '../../../dist/backends/btree/page-memory.js'
import type { TreeState } from '../../../dist/backends/btree/tree-state.js'
import { Checksum } from '../../../dist/codec/checksum.js'
import type { Progress } from '../../../dist/backend/backend.js'
import type { Vfs } from '../../../dist/vfs/vfs.js'

/**
 * The smallest tree that a pager can serve: an array of numbers. Slot i of a leaf has a number and
 * maybe an extent that repeats it; a branch has `fanout` children, 0 for a missing one.
 *
 * leaf:   four words for each slot: number, extent page, extent bytes, and two words of checksum
 * branch: three words for each child: page, checksum
 */
export const fanout = 8
export const start = pageHeaderBytes >>> 2
export const leafWords = 5
const branchWords = 3
const toyPageBytes = 4096

export const toyContent: PageContent = {
  check(slab, base) {
    const word = base >>> 2
    return slab.u32[word + start - 1] === 0 ? undefined : 'its reserved word is not zero'
  },
  arrange() {},

  fillChildSums(slab: Slab, base: number, sums: PageSums) {
    for (let i = 0; i < fanout; i++) {
      const word = (base >>> 2) + start + i * branchWords
      const child = slab.u32[word]
      if (child === 0 || !sums.knows(child)) continue
      slab.u32[word + 1] = sums.low(child)
      slab.u32[word + 2] = sums.high(child)
    }
  },
  eachChild(slab, base, visit) {
    for (let i = 0; i < fanout; i++) {
      const word = (base >>> 2) + start + i * branchWords
      const page = slab.u32[word]
      const level = slab.u8[base + PageHeader.level]
      const index = slab.u32[firstIndexWord(base)] + i * fanout ** level
      const key = keyOf(index)
      const separator = i === 0 ? undefined : { low: key, high: key }
      if (page !== 0) visit(page, slab.u32[word + 1], slab.u32[word + 2], separator)
    }
  },
  eachExtent(slab, base, visit) {
    if (slab.u8[base + PageHeader.kind] !== PageKind.leaf) return
    for (let i = 0; i < fanout; i++) {
      const ref = slotExtent(slab, (base >>> 2) + start + i * leafWords)
      if (ref !== undefined) visit(ref)
    }
  },
  checkDeep: () => undefined,
  fences(slab, base) {
    const index = slab.u32[firstIndexWord(base)]
    const [low, high] = [keyOf(index), keyOf(index + fanout)]
    return { low, high, lowIsExact: true, highIsExact: true }
  },
  keyPart: (slab, base, index) => ({
    inline: keyOf(slab.u32[firstIndexWord(base)] + index),
    whole: undefined
  }),
  entryCount: () => 0
}

/** A page's last word says which index it starts with. */
function firstIndexWord(base: number): number {
  return (base + toyPageBytes) / 4 - 1
}

export function keyOf(index: number): Buffer {
  const key = Buffer.alloc(4)
  key.writeUInt32BE(index)
  return key
}

export function slotExtent(slab: Slab, word: number): ExtentRef | undefined {
  const [page, sizeBytes] = [slab.u32[word + 1], slab.u32[word + 2]]
  if (page === 0) return undefined
  return { page, sizeBytes, sumLow: slab.u32[word + 3], sumHigh: slab.u32[word + 4] }
}

export const storeId = Buffer.from('0123456789abcdef')
const checksum = await Checksum.create()

export function toyOptions(vfs: Vfs, options: Partial<PagerOptions> = {}): PagerOptions {
  return {
    vfs,
    directory: '/btree',
    storeId,
    checksum,
    content: toyContent,
    pageBytes: toyPageBytes,
    cacheBytes: 1 << 20,
    slabBytes: 1 << 18,
    epoch: 1,
    readOnly: false,
    ...options
  }
}

/** Numbers by index; `extentBytes` is 0 where the number lies in the leaf alone. */
export type ToyModel = Map<number, { number: number; extentBytes: number }>

export const silent: Progress = { report: () => undefined, signal: undefined }
const logSynced = () => Promise.resolve()

export class ToyTree {
  readonly pager: Pager
  rootPage: number
  readonly height: number
  appliedSeq: number

  private constructor(pager: Pager, height: number) {
    this.pager = pager
    this.rootPage = pager.openedState.rootPage
    this.height = pager.openedState.rootPage === 0 ? height : pager.openedState.height
    this.appliedSeq = pager.openedState.appliedSeq
  }

  static async create(options: PagerOptions, height = 2): Promise<ToyTree> {
    return new ToyTree(await Pager.create(options), height)
  }

  static async open(options: PagerOptions, height = 2): Promise<ToyTree> {
    return new ToyTree(await Pager.open(options), height)
  }

  get capacity(): number {
    return fanout ** this.height
  }

  get state(): TreeState {
    const { rootPage, appliedSeq } = this
    return { rootPage, height: rootPage === 0 ? 0 : this.height, entries: 0, appliedSeq }
  }

  set(index: number, number: number, extentBytes = 0): void {
    this.appliedSeq++
    this.rootPage = this.#edit(this.rootPage, this.height - 1, 0, 0, index, number, extentBytes)
  }

  /** Reads an index, loading what is missing. */
  get(index: number, state = this.state): { number: number; extentBytes: number } | undefined {
    let pageNo = state.rootPage
    let [low, high] = [0, 0]
    for (let level = state.height - 1; level > 0; level--) {
      const [slab, word] = this.#page(pageNo, level, low, high)
      const at = word + start + (Math.floor(index / fanout ** level) % fanout) * branchWords
      pageNo = slab.u32[at]
      if (pageNo === 0) return undefined
      low = slab.u32[at + 1]
      high = slab.u32[at + 2]
    }
    if (pageNo === 0) return undefined
    const [slab, word] = this.#page(pageNo, 0, low, high)
    const at = word + start + (index % fanout) * leafWords
    const number = slab.u32[at]
    const extent = slotExtent(slab, at)
    if (extent === undefined) {
      return number === 0 ? undefined : { number, extentBytes: 0 }
    }
    const { page, sizeBytes, sumLow, sumHigh } = extent
    const bytes = this.pager.overflow.readSync(page, sizeBytes, sumLow, sumHigh)
    if (!bytes.equals(Buffer.alloc(sizeBytes, number & 255))) throw new Error('wrong extent bytes')
    return { number, extentBytes: sizeBytes }
  }

  read(state = this.state): ToyModel {
    const model: ToyModel = new Map()
    for (let index = 0; index < this.capacity; index++) {
      const found = this.get(index, state)
      if (found !== undefined) model.set(index, found)
    }
    return model
  }

  persist(force = false, syncLog: (seq: number) => Promise<void> = logSynced): Promise<number> {
    return this.pager.persist(this.state, syncLog, force)
  }

  /** Moves what lies at or above a page number to lower places. */
  moveBelow(limit: number): void {
    for (let index = 0; index < this.capacity; index++) {
      const found = this.get(index)
      if (found === undefined || !this.pager.canMove(limit)) continue
      if (this.#reaches(this.state, index, limit)) this.set(index, found.number, found.extentBytes)
    }
  }

  /** Shortens the file as far as it goes. */
  async shrink(): Promise<void> {
    for (let round = 0; round < 12; round++) {
      const plan = this.pager.shrinkPlan()
      if (plan.step === 'done') return
      if (plan.step === 'move') this.moveBelow(plan.start)
      await this.persist(true)
    }
  }

  /** Whether a page on the way to an index lies at or above a page number. */
  #reaches(state: TreeState, index: number, limit: number): boolean {
    let pageNo = state.rootPage
    for (let level = state.height - 1; level > 0; level--) {
      if (pageNo >= limit) return true
      const [slab, word] = this.#page(pageNo, level, 0, 0)
      pageNo = slab.u32[word + start + (Math.floor(index / fanout ** level) % fanout) * branchWords]
    }
    if (pageNo >= limit) return true
    const [slab, word] = this.#page(pageNo, 0, 0, 0)
    return slab.u32[word + start + (index % fanout) * leafWords + 1] >= limit
  }

  #page(pageNo: number, level: number, low: number, high: number): [Slab, number] {
    const { memory } = this.pager
    const frame = this.pager.loadSync(pageNo, level, low, high)
    return [memory.slabOf(frame), memory.baseOf(frame) >>> 2]
  }

  #edit(
    pageNo: number,
    level: number,
    low: number,
    high: number,
    index: number,
    number: number,
    extentBytes: number
  ): number {
    const { pager } = this
    let own: number
    if (pageNo === 0) {
      own = pager.allocate(level === 0 ? PageKind.leaf : PageKind.branch, level)
      const { memory } = pager
      const frame = memory.pageTable[own]
      const span = fanout ** (level + 1)
      memory.slabOf(frame).u32[firstIndexWord(memory.baseOf(frame))] = index - (index % span)
    } else {
      this.#page(pageNo, level, low, high)
      own = pager.copyOnWrite(pageNo)
    }
    if (level === 0) {
      const [slab, word] = this.#page(own, 0, 0, 0)
      const at = word + start + (index % fanout) * leafWords
      const old = slotExtent(slab, at)
      if (old !== undefined) pager.overflow.free(old.page, old.sizeBytes)
      slab.u32.fill(0, at, at + leafWords)
      slab.u32[at] = number
      if (extentBytes > 0) {
        const ref = pager.overflow.write(Buffer.alloc(extentBytes, number & 255))
        slab.u32[at + 1] = ref.page
        slab.u32[at + 2] = ref.sizeBytes
        slab.u32[at + 3] = ref.sumLow
        slab.u32[at + 4] = ref.sumHigh
      }
      return own
    }
    const slot = (Math.floor(index / fanout ** level) % fanout) * branchWords
    const [before, beforeWord] = this.#page(own, level, 0, 0)
    const at = beforeWord + start + slot
    const [child, childLow, childHigh] = [before.u32[at], before.u32[at + 1], before.u32[at + 2]]
    const edited = this.#edit(child, level - 1, childLow, childHigh, index, number, extentBytes)
    const [slab, word] = this.#page(own, level, 0, 0)
    slab.u32[word + start + slot] = edited
    return own
  }
}
