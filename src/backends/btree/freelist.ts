import { assert } from '../../base/assert.js'
import { KintsugiError } from '../../errors.js'
import { firstDataPage, maxPageCount } from './format.js'
import { PageBitmap } from './page-bitmap.js'

/** Ranges of pages, flat: first page, count, first page, count. */
export type PageRanges = number[]

/** What the freelist of one persist has to say, taken at its freeze. */
export interface FreelistSnapshot {
  /** First page number that the frozen state does not use. */
  readonly end: number
  readonly available: PageBitmap
  /** Freed, but an older meta page or a read view may still reach them. */
  readonly pending: readonly PageRanges[]
}

/**
 * Which page numbers can be given out, lowest first, so that the file stays short.
 *
 * A page freed by the current tree goes on being part of states on disk. It is freed *in the cycle
 * of* the next persist, the first whose state is without it, and becomes available when both meta
 * pages hold states of that persist or later ones.
 */
export class Freelist {
  readonly #available = new PageBitmap()
  /** By cycle, ascending. */
  readonly #pending = new Map<number, PageRanges>()
  #pendingCount = 0
  #end = firstDataPage
  /** No run of so many pages starts below: index is the size asked for. */
  readonly #runHints = new Int32Array(64)

  /** First page number never given out, or given back since. */
  get end(): number {
    return this.#end
  }

  get availableCount(): number {
    return this.#available.count
  }

  get pendingCount(): number {
    return this.#pendingCount
  }

  /** Takes the state of the file at open: everything below `end` but these is in use. */
  restore(end: number, available: PageRanges, pending: PageRanges, cycle: number): void {
    this.#end = end
    for (let i = 0; i < available.length; i += 2) {
      for (let k = 0; k < available[i + 1]; k++) this.#available.add(available[i] + k)
    }
    for (let i = 0; i < pending.length; i += 2) this.defer(pending[i], pending[i + 1], cycle)
    this.#trimEnd()
  }

  allocate(): number {
    const pageNo = this.#available.lowest()
    if (pageNo === -1) return this.#extend(1)
    this.#available.delete(pageNo)
    return pageNo
  }

  /** First of `count` contiguous pages. */
  allocateRun(count: number): number {
    if (count === 1) return this.allocate()
    const hint = Math.min(count, this.#runHints.length - 1)
    const start = this.#available.findRun(count, this.#runHints[hint])
    // A shorter run may start there, so the hint is only right for this size and larger ones.
    if (hint === count) this.#runHints[hint] = start === -1 ? this.#end : start + count
    if (start === -1) return this.#extend(count)
    for (let i = 0; i < count; i++) this.#available.delete(start + i)
    return start
  }

  /** Whether `count` contiguous pages below `limit` can be given out. */
  hasRunBelow(limit: number, count: number): boolean {
    const start = this.#available.findRun(count, 0)
    return start !== -1 && start + count <= limit
  }

  /** The pages can be given out again at once. */
  release(page: number, count: number): void {
    const end = page + count
    assert(page >= firstDataPage && end <= this.#end, `release of page ${page} beyond the file`)
    for (let i = page; i < end; i++) {
      assert(this.#available.add(i), `page ${i} is freed twice`)
    }
    const hints = this.#runHints
    for (let size = 1; size < hints.length; size++) {
      if (hints[size] > page - size) hints[size] = Math.max(0, page - size)
    }
    this.#trimEnd()
  }

  /** The pages wait until both metas hold the state of persist `cycle` or a later one. */
  defer(page: number, count: number, cycle: number): void {
    const ranges = this.#pending.get(cycle)
    if (ranges === undefined) this.#pending.set(cycle, [page, count])
    else {
      const last = ranges.length - 2
      if (ranges[last] + ranges[last + 1] === page) ranges[last + 1] += count
      else ranges.push(page, count)
    }
    this.#pendingCount += count
  }

  /**
   * Makes available what was freed in cycles up to `floor`, the older of the states that the meta
   * pages may hold; `forget` is told of each range before.
   */
  reclaim(floor: number, forget: (page: number, count: number) => void): void {
    for (const [cycle, ranges] of this.#pending) {
      if (cycle > floor) continue
      this.#pending.delete(cycle)
      for (let i = 0; i < ranges.length; i += 2) {
        this.#pendingCount -= ranges[i + 1]
        forget(ranges[i], ranges[i + 1])
        this.release(ranges[i], ranges[i + 1])
      }
    }
  }

  /** Cycles up to now are closed: later frees must name a later one. */
  snapshot(held: PageRanges): FreelistSnapshot {
    return {
      end: this.#end,
      available: this.#available.clone(),
      pending: [held, ...this.#pending.values()]
    }
  }

  #extend(count: number): number {
    const first = this.#end
    if (count > maxPageCount - first) {
      throw new KintsugiError(
        'KINTSUGI_DISK_FULL',
        `the data file has reached its limit of ${maxPageCount} pages; delete something`
      )
    }
    this.#end = first + count
    return first
  }

  #trimEnd(): void {
    while (this.#end > firstDataPage && this.#available.delete(this.#end - 1)) this.#end--
  }
}
