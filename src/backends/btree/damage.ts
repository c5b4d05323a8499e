import { formatKey } from '../../base/bytes.js'
import { KintsugiError, isCorruption } from '../../errors.js'
import type { DamagedRange } from '../../backend/backend.js'
import { entryHeaderBytes } from '../../page/format.js'
import { entryAt, entryCount, inlineKeyBytes, searchPage } from '../../page/read.js'
import { pageHeaderBytes } from './format.js'
import { childAt } from './node.js'
import type { PageMemory } from './page-memory.js'
import type { TreeReader } from './tree-reader.js'

interface Bounds {
  readonly lowKey: Buffer | undefined
  readonly highKey: Buffer | undefined
}

/**
 * Which keys cannot be served because a page or an extent is damaged. The parent of a bad page
 * says which keys belong to it; keys outside are not touched by the damage.
 */
export class DamageMap {
  readonly #memory: PageMemory
  readonly #reader: TreeReader
  /** By damaged page or first page of an extent. */
  readonly #byPage = new Map<number, DamagedRange>()

  constructor(memory: PageMemory, reader: TreeReader) {
    this.#memory = memory
    this.#reader = reader
  }

  get ranges(): readonly DamagedRange[] {
    return [...this.#byPage.values()]
  }

  /** The page was freed: nothing refers to the damage any more. */
  forget(pageNo: number): void {
    this.#byPage.delete(pageNo)
  }

  /** Adds the keys concerned to an error met on the way to `key`, and remembers them. */
  locate(error: unknown, root: number, height: number, key: Uint8Array): unknown {
    if (!isCorruption(error) || error.facts.lowKey || error.facts.highKey) return error
    const { page } = error.facts
    if (page === undefined) return error
    return this.#record(error, page, this.#boundsOf(root, height, key, page))
  }

  /** The same for an error met by a cursor: its path has by level page, index, and two words more. */
  locateOnPath(error: unknown, path: Int32Array): unknown {
    if (!isCorruption(error) || error.facts.lowKey || error.facts.highKey) return error
    const { page } = error.facts
    if (page === undefined) return error
    let lowKey: Buffer | undefined
    let highKey: Buffer | undefined
    const levels = path.length >> 2
    let level = levels - 1
    for (; level >= 0 && path[4 * level] !== page; level--) {
      const pageNo = path[4 * level]
      if (!(this.#memory.pageTable[pageNo] >= 0)) break
      const index = path[4 * level + 1]
      if (level === 0) {
        lowKey = this.#keyAt(pageNo, index) ?? lowKey
        highKey = this.#keyAt(pageNo, index + 1) ?? highKey
      } else {
        lowKey = (index > 0 ? this.#keyAt(pageNo, index) : undefined) ?? lowKey
        highKey = this.#keyAt(pageNo, index + 1) ?? highKey
      }
    }
    return this.#record(error, page, { lowKey, highKey })
  }

  #record(error: KintsugiError, page: number, bounds: Bounds): KintsugiError {
    const { lowKey, highKey } = bounds
    const from = lowKey ? formatKey(lowKey) : 'the first one'
    const to = highKey ? `before ${formatKey(highKey)}` : 'the last one'
    const reason = `keys from ${from} to ${to} cannot be served: ${error.message}`
    this.#byPage.set(page, { lowKey, highKey, reason })
    const facts = { ...error.facts, ...(lowKey && { lowKey }), ...(highKey && { highKey }) }
    return new KintsugiError(error.code, reason, facts, error)
  }

  /** The bounds that the branches on the way to `key` give to the damaged page. */
  #boundsOf(root: number, height: number, key: Uint8Array, page: number): Bounds {
    let lowKey: Buffer | undefined
    let highKey: Buffer | undefined
    let pageNo = root
    for (let level = height - 1; level >= 0 && pageNo !== page; level--) {
      const frame = this.#memory.pageTable[pageNo]
      if (!(frame >= 0)) break
      const slab = this.#memory.slabOf(frame)
      const region = this.#memory.baseOf(frame) + pageHeaderBytes
      const found = this.#search(slab, region, key)
      if (found === undefined) break
      if (level === 0) {
        // The entry itself is whole, so what is damaged is its extent.
        const end = Buffer.concat([key, Buffer.alloc(1)])
        return { lowKey: Buffer.from(key), highKey: end }
      }
      const index = found >= 0 ? found : ~found - 1
      if (index > 0) lowKey = this.#keyAt(pageNo, index) ?? lowKey
      highKey = this.#keyAt(pageNo, index + 1) ?? highKey
      pageNo = slab.u32[childAt(slab, entryAt(slab, region, index)) >>> 2]
    }
    return { lowKey, highKey }
  }

  /** `searchPage`, or undefined when a long key it needs is not in memory. */
  #search(
    slab: Parameters<typeof searchPage>[0],
    region: number,
    key: Uint8Array
  ): number | undefined {
    const { tails } = this.#reader
    const before = tails.mayWait
    tails.mayWait = false
    try {
      return searchPage(slab, region, key, 0, key.length, tails)
    } catch (error) {
      if (error === tails.notResident) return undefined
      throw error
    } finally {
      tails.mayWait = before
    }
  }

  /** The beginning of an entry's key as it stands in the page; undefined beyond the entries. */
  #keyAt(pageNo: number, index: number): Buffer | undefined {
    const frame = this.#memory.pageTable[pageNo]
    const slab = this.#memory.slabOf(frame)
    const region = this.#memory.baseOf(frame) + pageHeaderBytes
    if (index < 0 || index >= entryCount(slab, region)) return undefined
    const entry = entryAt(slab, region, index)
    const start = entry + entryHeaderBytes
    return Buffer.from(slab.u8.subarray(start, start + inlineKeyBytes(slab.u32[entry >>> 2])))
  }
}
