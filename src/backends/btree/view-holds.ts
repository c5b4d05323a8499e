import { assert } from '../../base/assert.js'

/** What a freed range waits for once no view sees it: `cycle` as in the freelist, or 0: nothing. */
export type Settle = (page: number, count: number, cycle: number) => void

interface LiveView {
  readonly generation: number
  references: number
  /** Freed ranges that this view sees and no newer one: page, count, birth, cycle. */
  readonly held: number[]
}

/**
 * Keeps freed pages for the read views that still see them. A view of generation v sees a page born
 * in generation b and freed in generation f exactly when b <= v < f. Each freed range is held by
 * the newest view that sees it, and handed on to the next older one when that view ends; so ending
 * a view costs what it held, whatever others hold.
 */
export class ViewHolds {
  /** By generation, ascending. */
  readonly #views: LiveView[] = []
  #heldPages = 0

  get viewCount(): number {
    return this.#views.length
  }

  get heldPages(): number {
    return this.#heldPages
  }

  retain(generation: number): void {
    const newest = this.#views.at(-1)
    if (newest?.generation === generation) newest.references++
    else {
      assert(newest === undefined || newest.generation < generation, 'views taken out of order')
      this.#views.push({ generation, references: 1, held: [] })
    }
  }

  /** True when some live view sees pages born in this generation. */
  sees(birth: number): boolean {
    const newest = this.#views.at(-1)
    return newest !== undefined && newest.generation >= birth
  }

  /** Holds a range freed now; the caller has asked `sees(birth)`. */
  hold(page: number, count: number, birth: number, cycle: number): void {
    this.#views.at(-1)!.held.push(page, count, birth, cycle)
    this.#heldPages += count
  }

  release(generation: number, settle: Settle): void {
    const index = this.#find(generation)
    const view = this.#views[index]
    assert(view !== undefined && view.generation === generation, 'a view is released twice')
    if (--view.references > 0) return
    if (index === this.#views.length - 1) this.#views.pop()
    else this.#views.splice(index, 1)
    const older = this.#views[index - 1]
    const { held } = view
    for (let i = 0; i < held.length; i += 4) {
      const birth = held[i + 2]
      if (older !== undefined && older.generation >= birth) {
        older.held.push(held[i], held[i + 1], birth, held[i + 3])
      } else {
        this.#heldPages -= held[i + 1]
        settle(held[i], held[i + 1], held[i + 3])
      }
    }
  }

  /** All held ranges, flat: page, count. */
  ranges(): number[] {
    const ranges: number[] = []
    for (const { held } of this.#views) {
      for (let i = 0; i < held.length; i += 4) ranges.push(held[i], held[i + 1])
    }
    return ranges
  }

  #find(generation: number): number {
    let low = 0
    let high = this.#views.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#views[middle].generation < generation) low = middle + 1
      else high = middle
    }
    return low
  }
}
