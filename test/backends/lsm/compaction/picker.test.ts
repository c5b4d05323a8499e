import { describe, expect, it } from 'vitest'
import { levelTargets } from '../../../../dist/backends/lsm/compaction/level-targets.js'
import type { Occupied } from '../../../../dist/backends/lsm/compaction/pick.js'
import { pickCompaction } from '../../../../dist/backends/lsm/compaction/picker.js'
import { pendingBytes } from '../../../../dist/backends/lsm/compaction/pressure.js'
import type { TableMeta } from '../../../../dist/backends/lsm/table-meta.js'
import { meta, toyOptions } from './toy-levels.js'

const nothing: Occupied = { tables: new Set(), outputs: [], oldestViewSeq: Infinity }
const smallest = toyOptions.memtableBytes * toyOptions.compactionThreshold

const pick = (levels: TableMeta[][], occupied: Partial<Occupied> = {}, options = toyOptions) =>
  pickCompaction({ levels }, options, { ...nothing, ...occupied })

const at = (level: number, ...tables: TableMeta[]) => tables.map((table) => ({ ...table, level }))
const numbers = (tables: readonly TableMeta[] | undefined) => tables?.map(({ number }) => number)

describe('sizes of levels', () => {
  const targetsOf = (sizes: readonly number[]) =>
    levelTargets(
      {
        levels: sizes.map((sizeBytes, i) => (sizeBytes ? [meta(i, 'a', 'z', { sizeBytes })] : []))
      },
      toyOptions
    )

  it('begin at the bottom', () => {
    expect(targetsOf([])).toMatchObject({ base: 4, bottom: 4 })
    expect(targetsOf([0, 0, 0, 0, smallest])).toMatchObject({ base: 4, bottom: 4 })
  })

  it('follow the size of the bottom level, up to the last that is worth it', () => {
    const { base, targets } = targetsOf([0, 0, 0, 0, smallest * 17])
    expect(base).toBe(2)
    expect(targets).toEqual([0, 0, (smallest * 17) / 16, (smallest * 17) / 4, smallest * 17])
  })

  it('never send level 0 below a level that holds something', () => {
    expect(targetsOf([0, 0, 100, 0, smallest])).toMatchObject({ base: 2, bottom: 4 })
  })

  it('grow by a level when the first one is too large', () => {
    expect(targetsOf([0, smallest * 5])).toMatchObject({ base: 1, bottom: 2 })
  })
})

describe('picking', () => {
  it('finds nothing to do in small levels', () => {
    expect(pick([])).toBeUndefined()
    expect(pick([[meta(1, 'a', 'z')], [], [], [], at(4, meta(2, 'a', 'z'))])).toBeUndefined()
  })

  it('takes of level 0 all that hangs together, and what it overlaps in the base level', () => {
    const level0 = [meta(4, 'p', 'r'), meta(3, 'd', 'k'), meta(2, 'a', 'e')]
    const level4 = at(4, meta(10, 'a', 'b'), meta(11, 'c', 'h'), meta(12, 'l', 'z'))
    const found = pick([level0, [], [], [], level4])
    expect(found).toMatchObject({ level: 0, outputLevel: 4, isMove: false })
    expect(numbers(found?.upper)).toEqual([3, 2])
    expect(numbers(found?.lower)).toEqual([10, 11])
  })

  it('leaves in level 0 what overlaps an older table that cannot be taken', () => {
    const level0 = [meta(4, 'd', 'f'), meta(3, 'x', 'y'), meta(2, 'a', 'e')]
    const found = pick(
      [level0],
      { tables: new Set([2]) },
      { ...toyOptions, compactionThreshold: 1 }
    )
    expect(numbers(found?.upper)).toEqual([3])
  })

  it('takes a newer table that overlaps one that is set aside by no means, an older one freely', () => {
    const options = { ...toyOptions, compactionThreshold: 1 }
    const level0 = [meta(3, 'a', 'c'), meta(2, 'b', 'f'), meta(1, 'e', 'h')]
    expect(numbers(pick([level0], { tables: new Set([2]) }, options)?.upper)).toEqual([1])
  })

  it('takes the table that overlaps least below, one full of tombstones before others', () => {
    const size = { sizeBytes: smallest }
    const level3 = at(3, meta(1, 'a', 'f', size), meta(2, 'g', 'l', size), meta(3, 'm', 'r', size))
    const level4 = at(
      4,
      meta(10, 'b', 'c', size),
      meta(11, 'd', 'i', size),
      meta(12, 'n', 'o', size)
    )
    expect(numbers(pick([[], [], [], level3, level4])?.upper)).toEqual([2])
    level3[0] = { ...level3[0], deletes: 9 }
    expect(numbers(pick([[], [], [], level3, level4])?.upper)).toEqual([1])
    const busy = { tables: new Set([10]) }
    expect(numbers(pick([[], [], [], level3, level4], busy)?.upper)).toEqual([2])
  })

  it('goes round a table that is set aside', () => {
    const size = { sizeBytes: smallest * 2 }
    const levels = [[], [], [], at(3, meta(1, 'a', 'f', size), meta(2, 'm', 'r', size))]
    levels.push(at(4, meta(9, 'x', 'y')))
    expect(numbers(pick(levels)?.upper)).toEqual([1])
    expect(numbers(pick(levels, { tables: new Set([1]) })?.upper)).toEqual([2])
    expect(pick(levels, { tables: new Set([1, 2]) })).toBeUndefined()
  })

  it('keeps clear of where a running compaction writes', () => {
    const size = { sizeBytes: smallest * 2 }
    const level3 = at(3, meta(1, 'a', 'f', size), meta(2, 'm', 'r', size))
    const outputs = [{ low: Buffer.from('b'), high: Buffer.from('c'), level: 4 }]
    expect(
      numbers(pick([[], [], [], level3, at(4, meta(9, 'x', 'y'))], { outputs })?.upper)
    ).toEqual([2])
  })

  it('moves a table that overlaps nothing below', () => {
    const level0 = [meta(2, 'd', 'e'), meta(1, 'a', 'b')]
    expect(pick([level0])).toMatchObject({ isMove: true, outputLevel: 4, upper: [{ number: 1 }] })
  })

  it('writes a table anew where the new level stores it otherwise, or would drop its tombstones', () => {
    const level0 = [meta(2, 'd', 'e'), meta(1, 'a', 'b')]
    const compressionOf = (level: number) => (level === 4 ? 'lz4' : 'none')
    expect(pick([level0], {}, { ...toyOptions, compressionOf })?.isMove).toBe(false)
    const full = [level0[0], { ...level0[1], deletes: 1 }]
    expect(pick([full])?.isMove).toBe(false)
  })

  it('writes a bottom table full of tombstones anew, unless a view still needs them', () => {
    const levels = [[], [], [], [], at(4, meta(7, 'a', 'b', { deletes: 5 }))]
    expect(pick(levels)).toMatchObject({ level: 4, outputLevel: 4, upper: [{ number: 7 }] })
    expect(pick(levels, { oldestViewSeq: 6 })).toBeUndefined()
  })

  it('counts what is left to write', () => {
    const tables = [meta(1, 'a', 'z'), meta(2, 'a', 'z')]
    expect(pendingBytes({ levels: [tables.slice(1)] }, toyOptions)).toBe(0)
    const levels = [tables, [], [], [], at(4, meta(3, 'a', 'z'))]
    expect(pendingBytes({ levels }, toyOptions)).toBe(3 * 16_384)
  })
})
