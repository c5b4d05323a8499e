import fc from 'fast-check'
import { spanHolds, spanOf } from '../../../../dist/memtable/key-span.js'
import type { KeySpan } from '../../../../dist/memtable/key-span.js'
import { RangeTombstones } from '../../../../dist/memtable/range-tombstones.js'
import { Table } from '../../../../dist/backends/lsm/table/table.js'
import { TableEnv } from '../../../../dist/backends/lsm/table/table-env.js'
import { compareBytes } from '../../../../dist/base/bytes.js'
import type { ByteRange } from '../../../../dist/batch/batch.js'
import { checksum, emptyVfs, inOrder, storeId, writeTable } from '../table/table-harness.js'
import type { Version } from '../table/table-harness.js'

export const seqsPerLevel = 1000
const blockBytes = 1024

/** What one level holds, cut at some keys into tables. */
export interface Level {
  readonly versions: readonly Version[]
  readonly removed: readonly (KeySpan & { readonly seq: number })[]
  readonly cuts: readonly Buffer[]
}

const keyOf = (n: number): Buffer => Buffer.from(`key:${String(n).padStart(4, '0')}`)
export const key = fc.nat(400).map(keyOf)

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
export const levels = fc.array(level, { minLength: 1, maxLength: 4 }).map((drawn) =>
  drawn.map(({ versions, removed, cuts }, at): Level => {
    const base = seqsPerLevel * (drawn.length - at)
    return {
      versions: inOrder(versions.map((version) => ({ ...version, seq: base + version.seq }))),
      removed: removed.map((range) => ({ ...range, seq: base + range.seq })),
      cuts
    }
  })
)

/** The first `overlapping` levels as single tables of level 0, the others as levels in tables. */
export async function makeTables(drawn: readonly Level[], overlapping: number): Promise<Table[][]> {
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

/** Keys and values in hexadecimal, in order. The tables are open where they have removed ranges. */
export function expected(
  drawn: readonly Level[],
  tables: Table[][],
  maxSeq: number,
  range: ByteRange
) {
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
