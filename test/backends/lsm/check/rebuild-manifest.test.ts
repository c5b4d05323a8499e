import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { rebuildTables } from '../../../../dist/backends/lsm/check/rebuild-manifest.js'
import { spansOverlap } from '../../../../dist/memtable/key-span.js'
import type { TableMeta } from '../../../../dist/backends/lsm/table-meta.js'
import { SeededRandom } from '../../../../dist/base/random.js'
import { tableOf } from '../manifest/fixture.js'

const keys = 12
const keyOf = (index: number) => Buffer.of(index)

interface Version {
  readonly seq: number
  readonly isDelete: boolean
}
type Content = ReadonlyMap<number, Version>

/** A tree of tables whose contents are known: flushes, merges, moves, and files left behind. */
class Model {
  readonly #random: SeededRandom
  readonly contents = new Map<number, Content>()
  /** Every table whose file may still be there. */
  files: TableMeta[] = []
  live: TableMeta[] = []
  /** Outputs of jobs that were given up. */
  readonly #orphans = new Set<number>()
  #next = 1
  #seq = 0

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
  }

  act(): void {
    const kind = this.#random.below(10)
    if (kind < 5) this.#flush()
    else if (kind < 8) this.#compact(this.#random.below(3), this.#random.below(6) > 0)
    else if (kind < 9) this.#move()
    else this.#unlink()
  }

  #flush(): void {
    const content = new Map<number, Version>()
    for (let i = 1 + this.#random.below(5); i > 0; i--) {
      const isDelete = this.#random.chance(1, 3)
      content.set(this.#random.below(keys), { seq: ++this.#seq, isDelete })
    }
    this.live.push(...this.#write([content], 0, []))
  }

  #write(contents: readonly Content[], level: number, inputs: number[]): TableMeta[] {
    const firstOutput = this.#next
    const tables = contents.map((content, i) => {
      const indexes = [...content.keys()].sort((a, b) => a - b)
      const seqs = [...content.values()].map(({ seq }) => seq)
      const number = this.#next++
      this.contents.set(number, content)
      return {
        ...tableOf(number, level),
        low: keyOf(indexes[0]),
        high: keyOf(indexes[indexes.length - 1] + 1),
        minSeq: Math.min(...seqs),
        maxSeq: Math.max(...seqs),
        job: { firstOutput, isLast: i === contents.length - 1, inputs }
      }
    })
    this.files.push(...tables)
    return tables
  }

  /** One table of a level (all of level 0) with what it overlaps below; sometimes given up. */
  #compact(level: number, isInstalled: boolean): void {
    const here = this.live.filter((table) => table.level === level)
    if (here.length === 0) return
    const upper = level === 0 ? here : [this.#random.pick(here)]
    const below = this.live.filter(
      (table) => table.level === level + 1 && upper.some((other) => spansOverlap(table, other))
    )
    const inputs = [...upper, ...below]
    const merged = new Map<number, Version>()
    for (const table of inputs) {
      for (const [key, version] of this.contents.get(table.number)!) {
        if ((merged.get(key)?.seq ?? 0) < version.seq) merged.set(key, version)
      }
    }
    const deeper = this.live.filter((table) => table.level > level + 1)
    const sorted = [...merged]
      .sort(([a], [b]) => a - b)
      .filter(([key, { isDelete }]) => {
        const span = { low: keyOf(key), high: keyOf(key + 1) }
        return !isDelete || deeper.some((table) => spansOverlap(table, span))
      })
    if (sorted.length === 0) return
    const cut = this.#random.below(sorted.length)
    const parts = [sorted.slice(0, cut), sorted.slice(cut)].filter((part) => part.length > 0)
    const numbers = inputs.map(({ number }) => number)
    const outputs = this.#write(
      parts.map((part) => new Map(part)),
      level + 1,
      numbers
    )
    if (isInstalled) {
      this.live = [...this.live.filter((table) => !inputs.includes(table)), ...outputs]
      return
    }
    for (const { number } of outputs) this.#orphans.add(number)
    if (this.#random.chance(1, 2)) {
      // A crash in the middle of it: not all outputs are there.
      this.files = this.files.filter((table) => table !== outputs.at(-1))
    }
  }

  #move(): void {
    const movable = this.live.filter(
      (table) =>
        table.level > 0 &&
        table.level < 5 &&
        !this.live.some((other) => other.level === table.level + 1 && spansOverlap(other, table))
    )
    if (movable.length === 0) return
    const table = this.#random.pick(movable)
    this.live = this.live.map((other) =>
      other === table ? { ...table, level: table.level + 1 } : other
    )
  }

  /** Files that are not needed go, in any order, but none before those that it was made from. */
  #unlink(): void {
    const live = new Set(this.live.map(({ number }) => number))
    // What a given-up job left goes before anything that shows that it was given up.
    this.files = this.files.filter(
      ({ number, job }) =>
        !this.#orphans.has(number) || job.inputs.every((input) => live.has(input))
    )
    for (let i = this.#random.below(8); i > 0; i--) {
      const present = new Set(this.files.map(({ number }) => number))
      const dead = this.files.filter(
        ({ number, job }) => !live.has(number) && !job.inputs.some((input) => present.has(input))
      )
      if (dead.length === 0) return
      const gone = this.#random.pick(dead)
      this.files = this.files.filter((table) => table !== gone)
    }
  }

  truth(key: number): Version | undefined {
    return this.#newest(key, this.live)
  }

  #newest(key: number, tables: readonly TableMeta[]): Version | undefined {
    let newest: Version | undefined
    for (const { number } of tables) {
      const version = this.contents.get(number)!.get(key)
      if (version && version.seq > (newest?.seq ?? 0)) newest = version
    }
    return newest?.isDelete ? undefined : newest
  }

  /** As the store reads: level 0 by sequence number, then the first hit from above. */
  lookup(key: number, tables: readonly TableMeta[]): Version | undefined {
    for (let level = 0; level < 8; level++) {
      const here = tables.filter((table) => table.level === level)
      const hits = here.flatMap(({ number }) => this.contents.get(number)!.get(key) ?? [])
      const [hit] = hits.sort((a, b) => b.seq - a.seq)
      if (hit) return hit.isDelete ? undefined : hit
    }
    return undefined
  }
}

describe('a manifest rebuilt from footers', () => {
  it('has every key as it was, whatever files were left behind', () => {
    let kept = 0
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 60 }), (seed, steps) => {
        const model = new Model(seed)
        for (let i = 0; i < steps; i++) model.act()
        const rebuilt = rebuildTables(model.files)
        for (let key = 0; key < keys; key++) {
          expect(model.lookup(key, rebuilt.tables)).toEqual(model.truth(key))
        }
        const { tables, excluded, nextTable } = rebuilt
        expect(tables.length + excluded.length).toBe(model.files.length)
        expect(nextTable).toBeGreaterThan(Math.max(0, ...model.files.map(({ number }) => number)))
        for (const a of tables) {
          if (a.level > 0) kept++
          for (const b of tables) {
            if (a !== b && a.level > 0 && a.level === b.level)
              expect(spansOverlap(a, b)).toBe(false)
          }
        }
      }),
      { numRuns: 1500 }
    )
    expect(kept).toBeGreaterThan(500)
  })

  const part = (number: number, firstOutput: number, isLast: boolean, inputs: number[]) =>
    tableOf(number, inputs.length > 0 ? 1 : 0, `k${number}`, `k${number}z`, {
      minSeq: number * 10,
      maxSeq: number * 10 + 5,
      job: { firstOutput, isLast, inputs }
    })

  it('reports outputs that are gone, and inputs that are used in their place', () => {
    const inputs = [part(1, 1, true, []), part(2, 2, true, [])]
    const outputs = [part(5, 5, false, [1, 2]), part(7, 5, true, [1, 2])]
    // Nothing is lost while all inputs are there: the outputs go.
    const whole = rebuildTables([...inputs, ...outputs])
    expect(whole.tables.map(({ number }) => number).sort((a, b) => a - b)).toEqual([1, 2])
    expect(whole.doubts).toEqual([])
    const torn = rebuildTables([inputs[0], ...outputs])
    expect(torn.tables.map(({ number }) => number).sort((a, b) => a - b)).toEqual([1, 5, 7])
    expect(torn.doubts.map(({ kind }) => kind)).toEqual(['lost', 'resurrected'])
    expect(torn.doubts[0].reason).toContain('6')
    const bare = rebuildTables(outputs)
    expect(bare.doubts.map(({ kind }) => kind)).toEqual(['lost'])
    expect(bare.nextTable).toBe(8)
  })

  it('does not miss an output that a later table was made from', () => {
    const { tables, doubts } = rebuildTables([part(5, 5, false, [1, 2]), part(9, 9, true, [6, 3])])
    expect(tables.map(({ number }) => number).sort((a, b) => a - b)).toEqual([5, 9])
    expect(doubts).toEqual([])
  })

  it('has what overlaps a table of unknown level in level 0, where sequence numbers decide', () => {
    const job = { firstOutput: 9, isLast: true, inputs: [] }
    const bare = tableOf(9, 0, 'a', 'm', { minSeq: 1, maxSeq: 5, job })
    const other = tableOf(5, 1, 'b', 'c', { minSeq: 3, maxSeq: 9, job: { ...job, firstOutput: 5 } })
    const apart = tableOf(6, 1, 'x', 'z', { minSeq: 3, maxSeq: 9, job: { ...job, firstOutput: 6 } })
    const levelsOf = (unplaced: ReadonlySet<TableMeta>) =>
      rebuildTables([bare, other, apart], unplaced).tables.map(({ number, level }) => [
        number,
        level
      ])
    expect(new Map(levelsOf(new Set([bare])) as [number, number][])).toEqual(
      new Map([
        [9, 0],
        [5, 0],
        [6, 1]
      ])
    )
  })

  it('knows an output that may have been merged on from one that is lost', () => {
    // Table 7 is gone, and so is 20, from which 30 was made: 7 may have gone into 20.
    const [five, thirty] = [part(5, 5, false, [1]), part(30, 30, true, [20])]
    const last = part(8, 5, true, [1])
    expect(rebuildTables([five, last, thirty]).doubts.map(({ kind }) => kind)).toEqual(['unknown'])
    expect(rebuildTables([five, last]).doubts).toMatchObject([
      { kind: 'lost', low: five.high, high: last.low }
    ])
  })

  it('has the log replayed from before a flush that is not whole', () => {
    expect(rebuildTables([part(1, 1, true, []), part(2, 2, false, [])]).durableSeq).toBe(19)
    expect(rebuildTables([part(1, 1, true, []), part(2, 2, true, [])]).durableSeq).toBe(25)
    expect(rebuildTables([])).toMatchObject({ tables: [], durableSeq: 0, nextTable: 1 })
  })
})
