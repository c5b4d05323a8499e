import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EntryKind } from '../../../../dist/memtable/entry.js'
import { joinedSpans, retainedTombstones } from '../../../../dist/backends/lsm/jobs/key-spans.js'
import { SourceRun } from '../../../../dist/backends/lsm/jobs/merge-source.js'
import { Merger } from '../../../../dist/backends/lsm/jobs/merger.js'
import type { KeySpan } from '../../../../dist/memtable/key-span.js'
import { RangeTombstones } from '../../../../dist/memtable/range-tombstones.js'
import { ArraySource, tombstonesOf, valueAt } from './merge-model.js'
import type { Version } from './merge-model.js'

interface Merged {
  readonly versions: Version[]
  /** The versions and the tombstones that were kept. */
  readonly all: Version[]
}

async function merge(
  sources: readonly (readonly Version[])[],
  viewSeqs: readonly number[],
  below: readonly KeySpan[],
  isAsync = false
): Promise<Merged> {
  const arrays = sources.map((versions) => new ArraySource(versions, isAsync))
  const runs = arrays.map((source) => new SourceRun([async () => source]))
  const tombstones = RangeTombstones.merge(arrays.map((source) => source.tombstones))
  const spans = joinedSpans(below)
  const merger = new Merger(runs, { viewSeqs, tombstones, below: spans })
  const versions: Version[] = []
  const keys = new Set<string>()
  while (await merger.next()) {
    const { entry } = merger
    const key = Buffer.from(entry.key.subarray(entry.keyStart, entry.keyEnd)).toString()
    const value = Buffer.from(entry.value.subarray(entry.valueStart, entry.valueEnd)).toString()
    expect(merger.isNewKey).toBe(!keys.has(key))
    keys.add(key)
    versions.push({
      key,
      seq: entry.seq,
      kind: entry.kind === EntryKind.put ? 'put' : 'delete',
      value
    })
  }
  await merger.close()
  expect(arrays.every((source) => source.isClosed)).toBe(true)
  const kept = retainedTombstones(tombstones, viewSeqs, spans)
  return { versions, all: [...versions, ...versionsOf(kept)] }
}

function versionsOf(set: RangeTombstones): Version[] {
  return set.spans().flatMap(({ low, high, seqs }) =>
    seqs.map((seq) => ({
      kind: 'clear' as const,
      key: Buffer.from(low).toString(),
      ...(high !== undefined && { high: Buffer.from(high).toString() }),
      seq
    }))
  )
}

const put = (key: string, seq: number, value = `${key}${seq}`): Version => ({
  key,
  seq,
  kind: 'put',
  value
})
const del = (key: string, seq: number): Version => ({ key, seq, kind: 'delete' })
const clear = (key: string, high: string | undefined, seq: number): Version => ({
  key,
  seq,
  kind: 'clear',
  ...(high !== undefined && { high })
})
const everywhere: KeySpan[] = [{ low: Buffer.alloc(0), high: undefined }]
const shown = ({ versions }: Merged) =>
  versions.map(({ key, seq, kind }) => `${key}${seq}${kind[0]}`)

describe('merging versions', () => {
  it('keeps the newest of each key, in key order', async () => {
    const merged = await merge(
      [
        [put('b', 5), put('d', 6)],
        [put('a', 1), put('b', 2)]
      ],
      [],
      []
    )
    expect(shown(merged)).toEqual(['a1p', 'b5p', 'd6p'])
  })

  it('keeps for every view the newest version that it sees', async () => {
    const merged = await merge(
      [
        [put('a', 9), put('a', 7)],
        [put('a', 4), put('a', 3)]
      ],
      [3, 8],
      []
    )
    expect(shown(merged)).toEqual(['a9p', 'a7p', 'a3p'])
  })

  it('keeps a tombstone while something older may lie below, or a view looks before it', async () => {
    const sources = [[del('a', 5), del('m', 6)]]
    const below = [{ low: Buffer.from('k'), high: Buffer.from('n') }]
    expect(shown(await merge(sources, [], below))).toEqual(['m6d'])
    expect(shown(await merge(sources, [4], []))).toEqual(['a5d', 'm6d'])
    expect(shown(await merge(sources, [6], []))).toEqual([])
  })

  it('leaves out what a removed range hides, but not what is as new as the range', async () => {
    const sources = [[clear('a', 'c', 5)], [put('a', 4), put('b', 5), put('c', 3)]]
    const merged = await merge(sources, [], [])
    expect(shown(merged)).toEqual(['b5p', 'c3p'])
    expect(merged.all).toHaveLength(2)
    expect((await merge(sources, [], everywhere)).all).toHaveLength(3)
  })

  it('keeps what a range hides for the views before it', async () => {
    const merged = await merge([[clear('a', undefined, 5)], [put('a', 4), put('a', 2)]], [4], [])
    expect(shown(merged)).toEqual(['a4p'])
    expect(merged.all).toContainEqual({ key: 'a', seq: 5, kind: 'clear' })
  })

  it('takes the newer source where key and number are alike', async () => {
    const merged = await merge([[put('a', 5, 'new')], [put('a', 5, 'old')]], [5], [])
    expect(merged.versions).toEqual([put('a', 5, 'new')])
  })

  it('passes on the error of a source and closes all', async () => {
    const good = new ArraySource([put('a', 1)])
    const bad = new ArraySource([put('a', 2)], true)
    bad.next = async () => {
      throw new Error('unreadable')
    }
    const runs = [good, bad].map((source) => new SourceRun([async () => source]))
    const merger = new Merger(runs, { viewSeqs: [], tombstones: new RangeTombstones(), below: [] })
    await expect(merger.next()).rejects.toThrow('unreadable')
    await merger.close()
    expect(good.isClosed && bad.isClosed).toBe(true)
  })
})

const keys = ['a', 'aa', 'b', 'c', 'd', 'e', 'f']
const versionOf = fc.record({
  at: fc.nat(keys.length - 1),
  to: fc.nat(keys.length),
  kind: fc.constantFrom('put', 'put', 'delete', 'clear')
})

describe('a merge', () => {
  it('changes what no reader can see, whatever lies below', async () => {
    const history = fc.array(versionOf, { minLength: 1, maxLength: 40 })
    const cuts = fc.array(fc.nat(40), { maxLength: 5 })
    const views = fc.uniqueArray(fc.nat(42), { maxLength: 4 })
    const property = fc.asyncProperty(
      history,
      cuts,
      views,
      fc.boolean(),
      async (made, at, seqs, isAsync) => {
        // Two operations to a number: versions and ranges of the same commit.
        const versions = made.map(({ at: from, to, kind }, i): Version => {
          const seq = 1 + (i >> 1)
          if (kind !== 'clear')
            return kind === 'put' ? put(keys[from]!, seq, `${i}`) : del(keys[from]!, seq)
          return clear(keys[from]!, to <= from ? undefined : keys[to], seq)
        })
        // A key has one version of a number, the last; as the memtable keeps it.
        const unique = versions.filter(
          (version, i) =>
            version.kind === 'clear' ||
            !versions.some(
              (o, j) =>
                j > i && o.kind !== 'clear' && o.key === version.key && o.seq === version.seq
            )
        )
        const bounds = [...new Set(at.map((cut) => cut % (unique.length + 1)))].sort(
          (a, b) => a - b
        )
        const layers = [0, ...bounds].map((start, i) => unique.slice(start, bounds[i]))
        const older = layers.shift()!
        const viewSeqs = seqs.toSorted((a, b) => a - b)
        const below: KeySpan[] = older.map(({ key, kind, high }) => ({
          low: Buffer.from(key),
          high:
            kind === 'clear'
              ? high === undefined
                ? undefined
                : Buffer.from(high)
              : Buffer.from(`${key}\0`)
        }))
        const merged = await merge(layers.toReversed(), viewSeqs, below, isAsync)
        for (const view of [...viewSeqs, Number.MAX_SAFE_INTEGER]) {
          for (const key of keys) {
            const before = valueAt([...older, ...layers.flat()], key, view)
            expect(valueAt([...older, ...merged.all], key, view), `${key} at ${view}`).toBe(before)
          }
        }
        expect(isMinimal(merged.versions, viewSeqs)).toBe(true)
      }
    )
    await fc.assert(property, { numRuns: 1500 })
  })
})

/** No reader needs two versions of a key. */
function isMinimal(versions: readonly Version[], viewSeqs: readonly number[]): boolean {
  const counts = new Map<string, number>()
  for (const { key } of versions) counts.set(key, (counts.get(key) ?? 0) + 1)
  return [...counts.values()].every((count) => count <= viewSeqs.length + 1)
}

describe('tombstones of a merge', () => {
  it('stay where tables below may hold what they hide', () => {
    const all = tombstonesOf([clear('b', 'y', 7)])
    const below = joinedSpans([
      { low: Buffer.from('d'), high: Buffer.from('f') },
      { low: Buffer.from('e'), high: Buffer.from('h') }
    ])
    const spans = retainedTombstones(all, [], below).spans()
    expect(spans.map(({ low, high }) => `${Buffer.from(low)}-${Buffer.from(high!)}`)).toEqual([
      'd-h'
    ])
  })
})
