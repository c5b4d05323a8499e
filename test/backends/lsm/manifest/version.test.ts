import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Version } from '../../../../dist/backends/lsm/manifest/version.js'
import { editOf, type EditRequest } from '../../../../dist/backends/lsm/manifest/version-edit.js'
import { SeededRandom } from '../../../../dist/base/random.js'
import { shapeOf, tableOf } from './fixture.js'

const after = (version: Version, ...requests: EditRequest[]): Version =>
  requests.reduce((current, request) => {
    const edit = editOf(request)
    expect(current.conflictOf(edit)).toBeUndefined()
    return current.apply(edit)
  }, version)

const conflict = (version: Version, request: EditRequest) => version.conflictOf(editOf(request))

describe('a version', () => {
  it('has level 0 newest first and the others by key', () => {
    const version = after(Version.empty, {
      added: [
        tableOf(1, 0, 'a', 'z', { maxSeq: 5 }),
        tableOf(2, 0, 'a', 'z', { maxSeq: 9 }),
        tableOf(3, 2, 'm', 'p'),
        tableOf(4, 2, 'a', 'm')
      ]
    })
    expect(version.levels.map((level) => level.map(({ number }) => number))).toEqual([
      [2, 1],
      [],
      [4, 3]
    ])
    expect(version.nextTable).toBe(5)
    expect(version.tableCount).toBe(4)
  })

  it('is not changed by the edit that makes the next one', () => {
    const one = after(Version.empty, { added: [tableOf(1), tableOf(2, 1)] })
    const shape = shapeOf(one)
    after(one, { added: [tableOf(3, 1, 'zz', 'zzz')], removed: [1] })
    expect(shapeOf(one)).toEqual(shape)
  })

  it('takes spans that touch, and none that overlap, below level 0', () => {
    const one = after(Version.empty, { added: [tableOf(1, 1, 'c', 'f')] })
    expect(
      conflict(one, { added: [tableOf(2, 1, 'f', 'g'), tableOf(3, 1, 'a', 'c')] })
    ).toBeUndefined()
    expect(conflict(one, { added: [tableOf(2, 1, 'e', 'g')] })).toMatch(
      /1 and 2 of level 1 overlap/
    )
    expect(conflict(one, { added: [tableOf(2, 1, 'a', undefined)] })).toMatch(/overlap/)
    expect(conflict(one, { added: [tableOf(2, 1, 'd', 'e')], removed: [1] })).toBeUndefined()
    expect(conflict(one, { added: [tableOf(2, 0, 'a', 'z')] })).toBeUndefined()
  })

  it('moves a table to another level without calling it obsolete', () => {
    const one = after(Version.empty, { added: [tableOf(1, 1)] })
    const two = after(one, { added: [tableOf(1, 3)], removed: [1] })
    expect(two.leftovers).toEqual([])
    expect(two.table(1)?.level).toBe(3)
  })

  it('lists leftovers oldest data first, and forgets only retired ones', () => {
    const one = after(
      Version.empty,
      { added: [tableOf(1, 0), tableOf(2, 0), tableOf(3, 2), tableOf(4, 1)] },
      { added: [tableOf(5, 2)], removed: [1, 2, 3, 4] }
    )
    expect(one.obsolete.map(({ number }) => number)).toEqual([3, 4, 1, 2])
    const two = after(one, { retired: [3, 1] })
    expect(two.retired.map(({ number }) => number)).toEqual([3, 1])
    expect(two.obsolete.map(({ number }) => number)).toEqual([4, 2])
    expect(two.forget([3, 4]).leftovers.map(({ number }) => number)).toEqual([4, 1, 2])
    expect(conflict(two, { added: [tableOf(4)] })).toMatch(/added again/)
  })

  // A table that had been merged away came back without its manifest: the table that it had gone into
  // was deeper, and had been unlinked before it.
  it('lists leftovers in the order in which they were replaced', () => {
    const one = after(
      Version.empty,
      { added: [tableOf(1, 1), tableOf(2, 2)] },
      { added: [tableOf(3, 2)], removed: [1, 2] },
      { added: [tableOf(4, 3)], removed: [3] },
      { added: [tableOf(5, 4)], removed: [4] }
    )
    const order = [2, 1, 3, 4]
    expect(one.obsolete.map(({ number }) => number)).toEqual(order)
    const again = Version.empty.apply(one.snapshot())
    expect(again.obsolete.map(({ number }) => number)).toEqual(order)
  })

  it('refuses what contradicts it', () => {
    const one = after(Version.empty, {
      added: [tableOf(1), tableOf(2)],
      durableSeq: 9,
      nextTable: 7
    })
    expect(conflict(one, { durableSeq: 8 })).toMatch(/durable/)
    expect(conflict(one, { nextTable: 6 })).toMatch(/next table/)
    expect(conflict(one, { added: [tableOf(1)] })).toMatch(/added again/)
    expect(conflict(one, { added: [tableOf(3), tableOf(3)] })).toMatch(/twice/)
    expect(conflict(one, { removed: [3] })).toMatch(/not there/)
    expect(conflict(one, { removed: [1, 1] })).toMatch(/twice/)
    expect(conflict(one, { retired: [1] })).toMatch(/not obsolete/)
    const snapshot = one.snapshot()
    expect(one.conflictOf(snapshot)).toBeUndefined()
    expect(one.conflictOf({ ...snapshot, nextTable: 7, added: [tableOf(7)] })).toMatch(/below/)
    expect(one.conflictOf({ ...snapshot, added: [tableOf(1), tableOf(1)] })).toMatch(/twice/)
    expect(one.conflictOf({ ...editOf({}), leftovers: [] })).toBeUndefined()
  })

  it('is told whole by its snapshot, whatever led to it', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const random = new SeededRandom(seed)
        let version = Version.empty
        for (let i = 0; i < 20; i++) {
          const live = version.tables().map(({ number }) => number)
          const removed = live.filter(() => random.chance(1, 3))
          const retired = version.obsolete.filter(() => random.chance(1, 3))
          const edit = editOf({
            added: [tableOf(version.nextTable + random.below(3), 0)],
            removed,
            retired: retired.map(({ number }) => number),
            durableSeq: version.durableSeq + random.below(5)
          })
          expect(version.conflictOf(edit)).toBeUndefined()
          version = version.apply(edit)
          const snapshot = version.snapshot()
          expect(Version.empty.conflictOf(snapshot)).toBeUndefined()
          expect(shapeOf(Version.empty.apply(snapshot))).toEqual(shapeOf(version))
        }
      }),
      { numRuns: 40 }
    )
  })
})
