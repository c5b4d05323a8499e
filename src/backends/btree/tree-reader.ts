import {
  entryAt,
  findInPage,
  hasLongValue,
  inlineValueBytes,
  searchPage,
  valueOffset
} from '../../page/read.js'
import { CopyPool } from '../../page/copy-pool.js'
import { pageHeaderBytes } from './format.js'
import { KeyTails } from './key-tails.js'
import { childAt, readExtentRef } from './node.js'
import type { Overflow } from './overflow.js'
import type { ExtentRef } from './page-content.js'
import type { PageMemory, Slab } from './page-memory.js'
import type { Pager } from './pager.js'

/**
 * Extents loaded for lookups without an answer between them, before they wait for the disk: in a
 * cache too small for all the long keys that one lookup needs, they would push each other out.
 */
const maxFruitlessLoads = 32

/** What a lookup came to. */
export const Lookup = { notResident: -1, absent: 0, present: 1 } as const

/**
 * Point reads of any state of the tree, given as root page and height. Lookups leave what they
 * found in fields instead of objects: one is current at a time.
 */
export class TreeReader {
  /** After `present`: where the entry is, until the next load or change. */
  foundSlab: Slab | undefined
  foundEntry = 0
  /** After `notResident`: the page to load, or the extent if `missingExtent` is set. */
  missingPage = 0
  missingLevel = 0
  missingSumLow = 0
  missingSumHigh = 0
  missingExtent: ExtentRef | undefined

  #fruitlessLoads = 0
  readonly tails: KeyTails
  readonly pool = new CopyPool()
  readonly #pager: Pager
  readonly #memory: PageMemory
  readonly #overflow: Overflow

  constructor(pager: Pager) {
    this.#pager = pager
    this.#memory = pager.memory
    this.#overflow = pager.overflow
    this.tails = new KeyTails(pager.overflow)
  }

  /** Goes down to the key as far as the pages are in memory. */
  find(root: number, height: number, key: Uint8Array, start: number, end: number): number {
    const memory = this.#memory
    const table = memory.pageTable
    const touched = memory.touched
    let pageNo = root
    let sums = 0
    let slab: Slab | undefined
    for (let level = height - 1; level >= 0; level--) {
      const frame = table[pageNo]
      if (!(frame >= 0)) {
        this.#missPage(pageNo, level, slab, sums)
        return Lookup.notResident
      }
      touched[frame] = 1
      slab = memory.slabs[frame >> memory.slabShift]
      const region = ((frame & memory.slabMask) << memory.pageShift) + pageHeaderBytes
      if (level === 0) {
        const entry = findInPage(slab, region, key, start, end, this.tails)
        if (entry < 0) return Lookup.absent
        this.foundSlab = slab
        this.foundEntry = entry
        return Lookup.present
      }
      const found = searchPage(slab, region, key, start, end, this.tails)
      const entry = entryAt(slab, region, found >= 0 ? found : ~found - 1)
      const child = childAt(slab, entry) >>> 2
      pageNo = slab.u32[child]
      sums = child + 1
    }
    return Lookup.absent
  }

  getSync(root: number, height: number, key: Uint8Array): Buffer | undefined {
    for (;;) {
      const found = this.find(root, height, key, 0, key.length)
      if (found === Lookup.present) return this.#valueSync(this.foundSlab!, this.foundEntry)
      if (found === Lookup.absent) return undefined
      this.loadMissingSync()
    }
  }

  /** The same without waiting; null where `loadMissing` has to come first. */
  tryGet(root: number, height: number, key: Uint8Array): Buffer | undefined | null {
    const found = this.tryFind(root, height, key)
    if (found === Lookup.absent) return undefined
    return found === Lookup.notResident ? null : this.tryValue(this.foundSlab!, this.foundEntry)
  }

  /** The value of an entry that a lookup found; null where `loadMissing` has to come first. */
  tryValue(slab: Slab, entry: number): Buffer | null {
    const word = slab.u32[entry >>> 2]
    const at = entry + valueOffset(word)
    if (!hasLongValue(word)) return this.pool.copy(slab, at, inlineValueBytes(word))
    const ref = readExtentRef(slab, at)
    if (this.#overflow.tryLoad(ref)) return this.#overflow.tryRead(ref.page)
    this.missingExtent = ref
    return null
  }

  /**
   * `find` that does not wait: what the operating system has in memory it takes from there, and it
   * treats a long key that is not in memory like a page that is not.
   */
  tryFind(root: number, height: number, key: Uint8Array): number {
    const { tails } = this
    tails.mayWait = this.#fruitlessLoads > maxFruitlessLoads
    this.missingExtent = undefined
    try {
      let found: number
      do {
        found = this.find(root, height, key, 0, key.length)
      } while (found === Lookup.notResident && this.#tryLoadMissing())
      if (found !== Lookup.notResident) this.#fruitlessLoads = 0
      return found
    } catch (error) {
      if (error !== tails.notResident) throw error
      this.missingExtent = tails.missing
      return Lookup.notResident
    } finally {
      tails.mayWait = true
    }
  }

  /** True when `tryGet` would not answer null; otherwise `loadMissing` makes up for one reason. */
  tryFindValue(root: number, height: number, key: Uint8Array): boolean {
    const found = this.tryFind(root, height, key)
    if (found !== Lookup.present) return found === Lookup.absent
    const slab = this.foundSlab!
    const word = slab.u32[this.foundEntry >>> 2]
    if (!hasLongValue(word)) return true
    const ref = readExtentRef(slab, this.foundEntry + valueOffset(word))
    if (this.#overflow.tryLoad(ref)) return true
    this.missingExtent = ref
    return false
  }

  loadMissingSync(): void {
    this.#pager.loadSync(
      this.missingPage,
      this.missingLevel,
      this.missingSumLow,
      this.missingSumHigh
    )
  }

  /** Loads what the last lookup without waiting was missing. */
  loadMissing(): Promise<void> {
    const extent = this.missingExtent
    if (extent !== undefined) {
      this.#fruitlessLoads++
      return this.#overflow.load(extent.page, extent.sizeBytes, extent.sumLow, extent.sumHigh)
    }
    return this.#pager.load(
      this.missingPage,
      this.missingLevel,
      this.missingSumLow,
      this.missingSumHigh
    )
  }

  /** Each call that succeeds takes from what may be read without waiting, so repeating it ends. */
  #tryLoadMissing(): boolean {
    const { missingPage, missingLevel, missingSumLow, missingSumHigh } = this
    return this.#pager.tryLoad(missingPage, missingLevel, missingSumLow, missingSumHigh) >= 0
  }

  #missPage(pageNo: number, level: number, parent: Slab | undefined, sums: number): void {
    this.missingPage = pageNo
    this.missingLevel = level
    this.missingSumLow = parent === undefined ? 0 : parent.u32[sums]
    this.missingSumHigh = parent === undefined ? 0 : parent.u32[sums + 1]
    this.missingExtent = undefined
  }

  #valueSync(slab: Slab, entry: number): Buffer {
    const word = slab.u32[entry >>> 2]
    const at = entry + valueOffset(word)
    if (!hasLongValue(word)) return this.pool.copy(slab, at, inlineValueBytes(word))
    const ref = readExtentRef(slab, at)
    return this.#overflow.readSync(ref.page, ref.sizeBytes, ref.sumLow, ref.sumHigh)
  }
}
