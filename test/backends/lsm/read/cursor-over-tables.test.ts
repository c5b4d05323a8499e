import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Cursor, EntryChunk } from '../../../../dist/backend/backend.js'
import type { KeySpan } from '../../../../dist/memtable/key-span.js'
import { ChunkWriter } from '../../../../dist/merging/chunk-writer.js'
import { loadSources, openSources } from '../../../../dist/backends/lsm/read/cursor-sources.js'
import type { LevelSource } from '../../../../dist/backends/lsm/read/level-source.js'
import { MergingCursor } from '../../../../dist/merging/merging-cursor.js'
import type { CursorOrigin } from '../../../../dist/merging/merging-cursor.js'
import { tablesOf } from '../../../../dist/backends/lsm/read/sources.js'
import type { Sources } from '../../../../dist/backends/lsm/read/sources.js'
import type { Table } from '../../../../dist/backends/lsm/table/table.js'
import type { ByteRange } from '../../../../dist/batch/batch.js'
import { expected, key, levels, makeTables, seqsPerLevel } from './tables-harness.js'

class TablesOrigin implements CursorOrigin {
  stateNumber = 1
  readonly damage = { note: () => undefined }
  readonly sources: Sources
  readonly closed: LevelSource[] = []

  constructor(tables: readonly (readonly Table[])[]) {
    this.sources = { stateNumber: 1, memtables: [], ...tablesOf(tables) }
  }

  open(span: KeySpan, wait: boolean) {
    return openSources(this.sources, this.closed, span, wait)
  }

  load(span: KeySpan): Promise<void> {
    return loadSources(this.sources, span, () => true)
  }
}

function entriesOf({ bytes, bounds, count, firstBound }: EntryChunk): [string, string][] {
  return Array.from({ length: count }, (_, i) => {
    const at = firstBound + 4 * i
    return [
      bytes.toString('hex', bounds[at], bounds[at + 1]),
      bytes.toString('hex', bounds[at + 2], bounds[at + 3])
    ]
  })
}

async function walk(cursor: Cursor, isAsync: boolean, most: number, between: () => void) {
  const found: [string, string][] = []
  const chunks: EntryChunk[] = []
  for (;;) {
    let chunk = isAsync ? cursor.tryNextChunk(most) : cursor.nextChunkSync(most)
    while (chunk === null) {
      await cursor.load()
      chunk = cursor.tryNextChunk(most)
    }
    if (chunk === undefined) break
    expect(chunk.count).toBeLessThanOrEqual(most)
    chunks.push(chunk)
    found.push(...entriesOf(chunk))
    between()
  }
  // What was handed out stays as it was.
  expect(chunks.flatMap(entriesOf)).toEqual(found)
  return found
}

const range = fc
  .record({ gt: fc.option(key), gte: fc.option(key), lt: fc.option(key), lte: fc.option(key) })
  .map(({ gt, gte, lt, lte }): ByteRange => ({
    ...(gt !== null ? { gt } : gte !== null && { gte }),
    ...(lt !== null ? { lt } : lte !== null && { lte })
  }))

it('a cursor over tables in several levels shows what they hold at its number, both ways', async () => {
  let entries = 0
  await fc.assert(
    fc.asyncProperty(
      levels,
      fc.nat(2),
      fc.oneof(fc.constant(9 * seqsPerLevel), fc.nat(5 * seqsPerLevel)),
      range,
      fc.boolean(),
      fc.constantFrom(1, 2, 9, 40, 1000),
      fc.boolean(),
      async (drawn, overlapping, maxSeq, within, reverse, most, changes) => {
        const tables = await makeTables(drawn, overlapping)
        const origin = new TablesOrigin(tables)
        for (const table of tables.flat()) {
          await origin.load({ low: table.meta.low, high: undefined })
        }
        const inRange = expected(drawn, tables, maxSeq, within)
        const wanted = reverse ? inRange.toReversed() : inRange
        entries += wanted.length
        const options = { range: within, reverse, keys: true, values: true }
        const between = (): void => {
          if (changes) origin.stateNumber++
        }
        for (const isAsync of [false, true]) {
          const cursor = new MergingCursor(origin, maxSeq, new ChunkWriter(), options)
          expect(await walk(cursor, isAsync, most, between)).toEqual(wanted)
          const middle = Math.floor(wanted.length / 2)
          if (middle > 0) {
            cursor.seek(Buffer.from(wanted[middle][0], 'hex'))
            expect(await walk(cursor, isAsync, most, between)).toEqual(wanted.slice(middle))
          }
          cursor.close()
        }
        expect(new Set(origin.closed).size).toBe(origin.closed.length)
        // Nothing stays in use: whatever is dropped is closed at once.
        for (const table of tables.flat()) table.drop()
        expect(tables.flat().every((table) => table.isClosed)).toBe(true)
      }
    ),
    { numRuns: 150 }
  )
  expect(entries).toBeGreaterThan(1000)
})
