import { turn } from '../../base/turn.js'
import { BatchReader, ClearFlags, OperationKind } from '../../batch/batch.js'
import { entryAt, entryCount, hasLongKey, keyReferenceAt, searchPage } from '../../page/read.js'
import { pageHeaderBytes } from './format.js'
import { LeafRange } from './leaf-range.js'
import { childAt, readExtentRef } from './node.js'
import type { Slab } from './page-memory.js'
import type { DamageMap } from './damage.js'
import type { Pager } from './pager.js'
import type { Tree } from './tree.js'

/** Pages asked for at once: enough to keep a disk busy, few enough to keep memory bounded. */
const maxLoadsAtOnce = 32
/** Rounds of loads without waiting; each gets at least one level further down. */
const maxRounds = 64

/**
 * Makes everything resident that a batch is going to change, and keeps it so until the batch is
 * applied (rule W10). Pages are kept by number of preparation instead of being pinned one by one:
 * what a preparation touched, and whatever replaces it, stays until that number is given up.
 */
export class Preparer {
  readonly #tree: Tree
  readonly #pager: Pager
  readonly #damage: DamageMap
  readonly #reader = new BatchReader(Buffer.alloc(0))
  readonly #range: LeafRange
  readonly #loads: Promise<void>[] = []
  #outstanding = 0
  /** Pages that the operating system has are read again after a turn of the event loop. */
  #mustTurn = false

  constructor(tree: Tree, damage: DamageMap) {
    this.#tree = tree
    this.#pager = tree.pager
    this.#damage = damage
    this.#range = new LeafRange(tree.reader.tails)
  }

  /** Whether anything is kept in memory for a batch that was prepared. */
  get isHolding(): boolean {
    return this.#outstanding > 0
  }

  tryPrepare(bytes: Buffer, start: number, end: number): boolean {
    this.#begin()
    let complete = false
    try {
      complete = this.#visit(bytes, start, end, false)
    } finally {
      if (!complete) this.unprepare()
    }
    return complete
  }

  async prepare(bytes: Buffer, start: number, end: number): Promise<void> {
    this.#begin()
    try {
      let rounds = 0
      // Long keys may push each other out of a small cache for ever: then wait for them.
      while (!this.#visit(bytes, start, end, ++rounds > maxRounds)) {
        const loads = this.#loads.splice(0)
        if (loads.length === 0) await turn()
        // All of them settle before the first failure is passed on: none is left unobserved.
        const results = await Promise.allSettled(loads)
        const failed = results.find((result) => result.status === 'rejected')
        if (failed !== undefined) throw failed.reason
      }
    } catch (error) {
      this.unprepare()
      throw error
    }
  }

  prepareSync(bytes: Buffer, start: number, end: number): void {
    this.#begin()
    try {
      this.#visit(bytes, start, end, true)
    } catch (error) {
      this.unprepare()
      throw error
    }
  }

  /** The oldest preparation was applied. */
  applied(): void {
    if (this.#outstanding === 0) return
    this.#outstanding--
    this.#pager.memory.endKeep(this.#outstanding === 0)
  }

  /** A preparation was given up; which one does not matter, so the others keep all of it. */
  unprepare(): void {
    if (this.#outstanding === 0) return
    this.#outstanding--
    if (this.#outstanding === 0) this.#pager.memory.endKeep(true)
  }

  #begin(): void {
    this.#outstanding++
    this.#pager.memory.beginKeep()
  }

  /**
   * Goes down to everything the batch touches. Waiting, it loads what is missing; otherwise it
   * starts up to `maxLoadsAtOnce` loads and returns false.
   */
  #visit(bytes: Buffer, start: number, end: number, wait: boolean): boolean {
    const reader = this.#reader
    reader.reset(bytes, start, end)
    this.#range.forget()
    this.#mustTurn = false
    let complete = true
    this.#loads.length = 0
    while (reader.next()) {
      const { keyStart, keyEnd, valueEnd } = reader
      complete = this.#visitKey(bytes, keyStart, keyEnd, wait) && complete
      if (
        reader.kind === OperationKind.clear &&
        (reader.flags & ClearFlags.noUpper) === 0 &&
        this.#loads.length < maxLoadsAtOnce
      ) {
        complete = this.#visitKey(bytes, keyEnd, valueEnd, wait) && complete
      }
      if (this.#loads.length >= maxLoadsAtOnce || this.#mustTurn) return false
    }
    return complete
  }

  /** Goes down to one key; false when a load was started instead. */
  #visitKey(bytes: Buffer, start: number, end: number, wait: boolean): boolean {
    if (this.#range.holds(bytes, start, end)) return true
    const tree = this.#tree
    const { reader, root, height } = tree
    const { tails } = reader
    tails.mayWait = wait
    try {
      return this.#descend(bytes, start, end, wait)
    } catch (error) {
      if (error === tails.notResident) {
        const { page, sizeBytes, sumLow, sumHigh } = tails.missing!
        this.#load(this.#pager.overflow.load(page, sizeBytes, sumLow, sumHigh), bytes, start, end)
        return false
      }
      throw this.#damage.locate(error, root, height, bytes.subarray(start, end))
    } finally {
      tails.mayWait = true
    }
  }

  #descend(bytes: Buffer, start: number, end: number, wait: boolean): boolean {
    const tree = this.#tree
    const { memory, reader } = tree
    const range = this.#range
    range.begin()
    let pageNo = tree.root
    let slab: Slab | undefined
    let sums = 0
    for (let level = tree.height - 1; level >= 0; level--) {
      let frame = memory.pageTable[pageNo]
      if (!(frame >= 0)) {
        if (wait) frame = tree.frameOf(pageNo, level, slab, sums)
        else {
          const low = slab === undefined ? 0 : slab.u32[sums]
          const high = slab === undefined ? 0 : slab.u32[sums + 1]
          frame = this.#pager.tryLoad(pageNo, level, low, high)
          if (frame < 0) {
            this.#mustTurn = this.#pager.mustTurn
            if (this.#mustTurn) return false
            this.#load(this.#pager.load(pageNo, level, low, high), bytes, start, end)
            return false
          }
        }
      }
      memory.touched[frame] = 1
      memory.keep(frame)
      slab = memory.slabs[frame >> memory.slabShift]
      const region = memory.baseOf(frame) + pageHeaderBytes
      if (level === 0) {
        range.end()
        tree.hints.note(start, pageNo)
        if (!tree.content.longKeysSeen) return true
        return this.#visitLongKeys(slab, region, bytes, start, end, wait)
      }
      const found = searchPage(slab, region, bytes, start, end, reader.tails)
      const index = found >= 0 ? found : ~found - 1
      range.narrow(slab, region, index)
      const child = childAt(slab, entryAt(slab, region, index)) >>> 2
      pageNo = slab.u32[child]
      sums = child + 1
    }
    return true
  }

  /** A split may need the whole keys of the leaf; waiting, they are at least known to be good. */
  #visitLongKeys(
    slab: Slab,
    region: number,
    bytes: Buffer,
    start: number,
    end: number,
    wait: boolean
  ): boolean {
    const { overflow } = this.#pager
    let complete = true
    for (let i = 0; i < entryCount(slab, region); i++) {
      const entry = entryAt(slab, region, i)
      const word = slab.u32[entry >>> 2]
      if (!hasLongKey(word)) continue
      const ref = readExtentRef(slab, keyReferenceAt(entry, word))
      const { page, sizeBytes, sumLow, sumHigh } = ref
      if (wait ? overflow.isResident(page) : overflow.tryLoad(ref)) continue
      if (wait) overflow.readSync(page, sizeBytes, sumLow, sumHigh)
      else {
        complete = false
        this.#load(overflow.load(page, sizeBytes, sumLow, sumHigh), bytes, start, end)
      }
    }
    return complete
  }

  /** Notes a load under way; should it fail, its error says which keys are concerned. */
  #load(load: Promise<void>, bytes: Buffer, start: number, end: number): void {
    const { root, height } = this.#tree
    const key = bytes.subarray(start, end)
    const located = load.catch((error: unknown) => {
      throw this.#damage.locate(error, root, height, key)
    })
    // Observed here as well: a failure elsewhere may keep anybody from waiting for this one.
    located.catch(() => {})
    this.#loads.push(located)
  }
}
