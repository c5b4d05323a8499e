import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Cursor, EntryChunk } from '../../../../dist/backend/backend.js'
import { spanHolds, spanOf } from '../../../../dist/backends/lsm/key-span.js'
import type { KeySpan } from '../../../../dist/backends/lsm/key-span.js'
import { RangeTombstones } from '../../../../dist/backends/lsm/range-tombstones.js'
import { ChunkWriter } from '../../../../dist/backends/lsm/read/chunk-writer.js'
import { loadSources, openSources } from '../../../../dist/backends/lsm/read/cursor-sources.js'
import type { LevelSource } from '../../../../dist/backends/lsm/read/level-source.js'
import { MergingCursor } from '../../../../dist/backends/lsm/read/merging-cursor.js'
import type { CursorOrigin } from '../../../../dist/backends/lsm/read/merging-cursor.js'
import { tablesOf } from '../../../../dist/backends/lsm/read/sources.js'
import type { Sources } from '../../../../dist/backends/lsm/read/sources.js'
import { Table } from '../../../../dist/backends/lsm/table/table.js'
import { TableEnv } from '../../../../dist/backends/lsm/table/table-env.js'
import { compareBytes } from '../../../../dist/base/bytes.js'
import type { ByteRange } from '../../../../dist/batch/batch.js'
import { checksum, emptyVfs, inOrder, storeId, writeTable } from '../table/table-harness.js'
import type { Version } from '../table/table-harness.js'

const seqsPerLevel = 1000
const blockBytes = 1024

/** What one level holds, cut at some keys into tables. */
interface Level {
  readonly versions: readonly Version[]
  readonly removed: readonly (KeySpan & { readonly seq: number })[]
  readonly cuts: readonly Buffer[]
}

const keyOf = (n: number): Buffer => Buffer.from(`key:${String(n).padStart(4, '0')}`)
const key = fc.nat(400).map(keyOf)

/** Mostly plain pages, and of everything else a little, together or apart. */
const anyVersion = fc.record({
  key: fc.oneof(
    { weight: 40, arbitrary: key },
    { weight: 1, arbitrary: fc.nat(9).map((n) => Buffer.from(`key:${'long'.repeat(99)}${n}`)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 9 }).map((bytes) => Buffer.from(bytes)) }
  ),
  seq: fc.integer({ min: 1, max: seqsPerLevel - 1 }),
  value: fc.oneof(
    { weight: 20, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)) },
    { weight: 1, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.nat(255).map((byte) => Buffer.alloc(900, byte)) }
  )
})
const plainStretch = fc
  .record({
    first: fc.nat(380),
    keys: fc.integer({ min: 1, max: 200 }),
    step: fc.constantFrom(1, 2, 20),
    seq: fc.integer({ min: 1, max: seqsPerLevel - 1 })
  })
  .map(({ first, keys, step, seq }) =>
    Array.from({ length: keys }, (_, i) => ({
      key: keyOf(first + i * step),
      seq,
      value: Buffer.from(`value ${first} ${i}`)
    }))
  )
const removals = fc.array(
  fc.record({ low: key, high: key, seq: fc.integer({ min: 1, max: seqsPerLevel - 1 }) }),
  { maxLength: 2 }
)
const level: fc.Arbitrary<Level> = fc
  .record({
    stretches: fc.array(plainStretch, { maxLength: 3 }),
    others: fc.oneof(fc.constant([]), fc.array(anyVersion, { maxLength: 60 })),
    hasRemovals: fc.nat(4).map((n) => n === 0),
    removed: removals,
    cuts: fc.array(key, { maxLength: 2 })
  })
  .map(({ stretches, others, hasRemovals, removed, cuts }) => ({
    versions: [...stretches.flat(), ...others],
    removed: removed.filter(({ low, high }) => hasRemovals && compareBytes(low, high) < 0),
    cuts: cuts.toSorted(compareBytes)
  }))

/** Levels newest first; each has higher numbers than those behind it. */
const levels = fc.array(level, { minLength: 1, maxLength: 4 }).map((drawn) =>
  drawn.map(({ versions, removed, cuts }, at): Level => {
    const base = seqsPerLevel * (drawn.length - at)
    return {
      versions: inOrder(versions.map((version) => ({ ...version, seq: base + version.seq }))),
      removed: removed.map((range) => ({ ...range, seq: base + range.seq })),
      cuts
    }
  })
)

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
    return loadSources(this.sources, span)
  }
}

/** The first `overlapping` levels as single tables of level 0, the others as levels in tables. */
async function makeTables(drawn: readonly Level[], overlapping: number): Promise<Table[][]> {
  const vfs = emptyVfs()
  const env = new TableEnv({
    vfs,
    storeId,
    checksum,
    blockBytes,
    cacheBytes: 33 * blockBytes,
    slabBytes: 1 << 14
  })
  let number = 10
  const make = async ({ versions, removed }: Level): Promise<Table> => {
    number++
    const path = `/store/${number}.sst`
    const tombstones = new RangeTombstones()
    for (const { low, high, seq } of removed) tombstones.add(low, high, seq)
    const shape = { blockBytes, compression: 'none' as const, tombstones, number }
    return new Table(env, path, await writeTable(vfs, versions, shape, path))
  }
  const made: Table[][] = [[]]
  for (const [at, one] of drawn.entries()) {
    if (one.versions.length === 0) continue
    if (at < overlapping) {
      made[0].push(await make(one))
      continue
    }
    const row: Table[] = []
    const bounds = [undefined, ...one.cuts, undefined]
    for (let i = 0; i + 1 < bounds.length; i++) {
      const span = { low: bounds[i] ?? Buffer.alloc(0), high: bounds[i + 1] }
      const versions = one.versions.filter((version) => spanHolds(span, version.key))
      const clipped = one.removed.flatMap(({ low, high, seq }) => {
        const from = compareBytes(low, span.low) < 0 ? span.low : low
        const to = span.high && compareBytes(high!, span.high) > 0 ? span.high : high!
        return compareBytes(from, to) < 0 ? [{ low: from, high: to, seq }] : []
      })
      if (versions.length > 0) row.push(await make({ versions, removed: clipped, cuts: [] }))
      // A table of nothing but removed ranges does not matter here.
    }
    made.push(row)
  }
  return made
}

function expected(drawn: readonly Level[], tables: Table[][], maxSeq: number, range: ByteRange) {
  const span = spanOf(range)
  const removed = tables.flat().map((table) => table.tombstones)
  const newest = new Map<string, Version>()
  for (const version of drawn.flatMap(({ versions }) => versions)) {
    if (version.seq > maxSeq || !spanHolds(span, version.key)) continue
    const name = version.key.toString('hex')
    if (version.seq > (newest.get(name)?.seq ?? 0)) newest.set(name, version)
  }
  return [...newest.values()]
    .filter(({ key: own, seq, value }) => {
      const covering = removed.map((one) => one.coveringSeq(own, 0, own.length, maxSeq))
      return value !== undefined && covering.every((other) => other <= seq)
    })
    .toSorted((a, b) => compareBytes(a.key, b.key))
    .map((version): [string, string] => [
      version.key.toString('hex'),
      version.value!.toString('hex')
    ])
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
