import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { firstDataPage } from '../../../dist/backends/btree/format.js'
import { Freelist } from '../../../dist/backends/btree/freelist.js'
import { KeyGaps, type KeySpan } from '../../../dist/backends/btree/key-gaps.js'
import { PageBitmap } from '../../../dist/backends/btree/page-bitmap.js'
import { ViewHolds } from '../../../dist/backends/btree/view-holds.js'
import { SeededRandom } from '../../../dist/base/random.js'

describe('a page bitmap', () => {
  it('behaves like a set of numbers', () => {
    const change = fc.tuple(fc.boolean(), fc.nat(5000), fc.integer({ min: 1, max: 40 }))
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), fc.nat(5100), (changes, probe) => {
        const bitmap = new PageBitmap(64)
        const model = new Set<number>()
        for (const [adds, first, count] of changes) {
          for (let page = first; page < first + count; page++) {
            if (adds) expect(bitmap.add(page)).toBe(!model.has(page) && model.add(page).has(page))
            else expect(bitmap.delete(page)).toBe(model.delete(page))
          }
        }
        const sorted = [...model].sort((a, b) => a - b)
        expect(bitmap.count).toBe(model.size)
        expect(bitmap.lowest()).toBe(sorted[0] ?? -1)
        expect(bitmap.next(probe)).toBe(sorted.find((page) => page >= probe) ?? -1)
        let absent = probe
        while (model.has(absent)) absent++
        expect(bitmap.nextAbsent(probe)).toBe(absent)
        const run = sorted.findIndex((page, i) => page >= probe && sorted[i + 7] === page + 7)
        expect(bitmap.findRun(8, probe)).toBe(run === -1 ? -1 : sorted[run])
        expect(bitmap.clone().next(0)).toBe(sorted[0] ?? -1)
      })
    )
  })
})

describe('a freelist', () => {
  it('never hands out a page in use, and always the lowest run', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = new SeededRandom(seed)
      const freelist = new Freelist()
      const used = new Map<number, number>()
      const isUsed = new Set<number>([0, 1])
      const deferred: { page: number; count: number; cycle: number }[] = []
      let cycle = 1
      for (let step = 0; step < 600; step++) {
        const action = random.below(10)
        if (action < 5) {
          const count = random.below(3) === 0 ? 1 + random.below(80) : 1
          const page = freelist.allocateRun(count)
          expect(page).toBe(lowestRun(isUsed, count, freelist.end))
          for (let i = page; i < page + count; i++) {
            expect(isUsed.has(i), `seed ${seed}: page ${i} is given out twice`).toBe(false)
            isUsed.add(i)
          }
          used.set(page, count)
        } else if (used.size > 0 && action < 9) {
          const [page, count] = [...used][random.below(used.size)]
          used.delete(page)
          if (random.below(2) === 0) {
            freelist.release(page, count)
            for (let i = page; i < page + count; i++) isUsed.delete(i)
          } else {
            freelist.defer(page, count, cycle)
            deferred.push({ page, count, cycle })
          }
        } else {
          const floor = cycle - random.below(3)
          cycle++
          freelist.reclaim(floor, () => undefined)
          for (const range of deferred.splice(0)) {
            if (range.cycle > floor) deferred.push(range)
            else for (let i = 0; i < range.count; i++) isUsed.delete(range.page + i)
          }
        }
        expect(freelist.end).toBe(Math.max(firstDataPage, Math.max(...isUsed) + 1))
        expect(freelist.availableCount).toBe(freelist.end - isUsed.size)
      }
    }
  })
})

/** First of the lowest `count` pages not in use; those behind the end count as free. */
function lowestRun(isUsed: ReadonlySet<number>, count: number, end: number): number {
  let start = firstDataPage
  for (let page = start; page - start < count; page++) {
    // A run that reaches the end does not count: the file grows by a whole run.
    if (isUsed.has(page)) start = page + 1
    if (page >= end) return Math.max(start, end)
  }
  return start
}

describe('holds of views', () => {
  it('keep a page exactly as long as a view sees it', () => {
    for (let seed = 1; seed <= 8; seed++) {
      const random = new SeededRandom(seed)
      const holds = new ViewHolds()
      const views: number[] = []
      const alive = new Map<number, { birth: number; freed: number }>()
      const settled = new Set<number>()
      let generation = 1
      for (let step = 0; step < 250; step++) {
        const action = random.below(3)
        if (action === 0) {
          holds.retain(generation)
          views.push(generation++)
        } else if (action === 1) {
          const birth = random.below(generation + 1)
          if (holds.sees(birth)) {
            holds.hold(step, 1, birth, 0)
            alive.set(step, { birth, freed: generation })
          }
        } else if (views.length > 0) {
          const [view] = views.splice(random.below(views.length), 1)
          holds.release(view, (page) => settled.add(page))
        }
        for (const [page, { birth, freed }] of alive) {
          const seen = views.some((view) => birth <= view && view < freed)
          expect(settled.has(page), `seed ${seed}, page ${page}`).toBe(!seen)
        }
      }
      expect(holds.ranges().length / 2).toBe(alive.size - settled.size)
    }
  })
})

describe('gaps between keys', () => {
  it('are filled once, and what is left is what nothing covered', () => {
    const bound = fc.option(fc.nat(60), { nil: undefined })
    fc.assert(
      fc.property(fc.array(fc.tuple(bound, bound), { maxLength: 12 }), (ranges) => {
        const gaps = new KeyGaps([{ low: undefined, high: undefined }])
        const covered = new Set<number>()
        for (const [from, to] of ranges) {
          const filled = gaps.fill(keyOf(from), keyOf(to))
          for (let key = 0; key < 64; key++) {
            const inside = (from === undefined || key >= from) && (to === undefined || key < to)
            expect(filled.filter((range) => isIn(range, key)).length).toBe(
              inside && !covered.has(key) ? 1 : 0
            )
            if (inside) covered.add(key)
          }
        }
        for (let key = 0; key < 64; key++) {
          const left = gaps.ranges.filter((range) => isIn(range, key)).length
          expect(left).toBe(covered.has(key) ? 0 : 1)
        }
      })
    )
  })
})

function keyOf(number: number | undefined) {
  return number === undefined ? undefined : Buffer.of(number)
}

function isIn({ low, high }: KeySpan, key: number): boolean {
  return (low === undefined || low[0] <= key) && (high === undefined || key < high[0])
}
