import fc from 'fast-check'
import { expect, it } from 'vitest'
import { DamageList } from '../../../../dist/backend/damage-list.js'
import { newestSeq } from '../../../../dist/memtable/entry.js'
import { Lookup } from '../../../../dist/memtable/lookup.js'
import { Arena } from '../../../../dist/memtable/arena.js'
import { Memtable } from '../../../../dist/memtable/memtable.js'
import { ManyReader } from '../../../../dist/backends/lsm/read/many-reader.js'
import { PointReader } from '../../../../dist/backends/lsm/read/point-reader.js'
import { tablesOf } from '../../../../dist/backends/lsm/read/sources.js'
import type { Sources } from '../../../../dist/backends/lsm/read/sources.js'
import { CopyPool } from '../../../../dist/page/copy-pool.js'
import { encodeBatch } from '../../../../dist/batch/batch.js'
import { keyHash } from '../table/table-harness.js'
import { expected, key, levels, makeTables, seqsPerLevel } from './tables-harness.js'

const memtableSeq = 8 * seqsPerLevel

it('many keys at once are what each alone is, whatever is in memory', async () => {
  let present = 0
  await fc.assert(
    fc.asyncProperty(
      levels,
      fc.nat(2),
      fc.oneof(fc.constant(newestSeq), fc.nat(9 * seqsPerLevel)),
      fc.array(key, { maxLength: 90 }),
      fc.array(key, { maxLength: 4 }),
      async (drawn, overlapping, maxSeq, others, removed) => {
        const tables = await makeTables(drawn, overlapping)
        const memtable = new Memtable(Arena.make(1 << 14, 16), keyHash)
        const batch = encodeBatch(removed.map((own) => ({ type: 'del' as const, key: own })))
        if (removed.length > 0) {
          memtable.apply(batch, 0, batch.length, memtableSeq, 0)
        }
        const sources: Sources = { stateNumber: 1, memtables: [memtable], ...tablesOf(tables) }
        const points = new PointReader(keyHash, new CopyPool(), new DamageList())
        const cache = tables.flat()[0]?.env.cache
        if (cache === undefined) return
        const many = new ManyReader(keyHash, new CopyPool(), points, cache)
        const keys = drawn.flatMap(({ versions }) => versions.map((version) => version.key))
        const asked = [...keys.filter((_, i) => i % 3 === 0), ...others]
        // Some tables may not be open here; they are to say what is expected.
        const first = many.tryGetMany(sources, asked, maxSeq)
        for (const table of tables.flat()) table.open(new Lookup(), true)
        const wanted = new Map(expected(drawn, tables, maxSeq, {}))
        if (maxSeq >= memtableSeq) for (const own of removed) wanted.delete(own.toString('hex'))
        // Twice: what was not in memory is now, as far as there is room.
        for (let round = 0; round < 2; round++) {
          const values = round === 0 ? first : many.tryGetMany(sources, asked, maxSeq)
          values.forEach((value, i) => {
            const found = value === null ? points.getSync(sources, asked[i], maxSeq) : value
            expect(found?.toString('hex')).toBe(wanted.get(asked[i].toString('hex')))
            if (value) present++
          })
          expect(values.length).toBe(asked.length)
        }
      }
    ),
    { numRuns: 150 }
  )
  expect(present).toBeGreaterThan(500)
})
