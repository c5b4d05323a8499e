import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RangeTombstones } from '../../dist/memtable/range-tombstones.js'

interface Removed {
  low: Buffer
  high: Buffer | undefined
  seq: number
}

const newest = Number.MAX_SAFE_INTEGER
const key = fc
  .array(fc.constantFrom(0, 1, 98, 255), { maxLength: 2 })
  .map((bytes) => Buffer.from(bytes))
const seq = fc.integer({ min: 1, max: 12 })
const removed: fc.Arbitrary<Removed> = fc.record({
  low: key,
  high: fc.option(key, { nil: undefined, freq: 6 }),
  seq
})
const list = fc.array(removed, { maxLength: 14, size: 'max' })
const views = fc
  .uniqueArray(fc.integer({ min: 0, max: 13 }), { maxLength: 4 })
  .map((seqs) => seqs.toSorted((a, b) => a - b))

/** Every key that can tell bounds of the letters above apart. */
const probes = [Buffer.alloc(0)]
for (let length = 1, from = 0; length <= 3; length++) {
  const to = probes.length
  for (; from < to; from++) {
    for (const byte of [0, 1, 98, 255]) probes.push(Buffer.from([...probes[from]!, byte]))
  }
}

function holds({ low, high }: { low: Uint8Array; high: Uint8Array | undefined }, probe: Buffer) {
  return probe.compare(low) >= 0 && (high === undefined || probe.compare(high) < 0)
}

function naiveSeq(all: readonly Removed[], probe: Buffer, maxSeq: number): number {
  const covering = all.filter((range) => range.seq <= maxSeq && holds(range, probe))
  return Math.max(0, ...covering.map((range) => range.seq))
}

function setOf(all: readonly Removed[]): RangeTombstones {
  const set = new RangeTombstones()
  for (const { low, high, seq: number } of all) set.add(low, high, number)
  return set
}

function seqAt(set: RangeTombstones, probe: Buffer, maxSeq: number): number {
  const around = Buffer.concat([Buffer.from('xy'), probe, Buffer.from('z')])
  return set.coveringSeq(around, 2, around.length - 1, maxSeq)
}

/** Every probe has the same answer at every number, and the spans are as small as they can be. */
function expectSame(set: RangeTombstones, answer: (probe: Buffer, maxSeq: number) => number): void {
  for (const probe of probes) {
    for (const maxSeq of [...Array(14).keys(), newest]) {
      if (seqAt(set, probe, maxSeq) !== answer(probe, maxSeq)) {
        const at = `${probe.toString('hex')} at ${maxSeq}`
        expect(`${at}: ${seqAt(set, probe, maxSeq)}`).toBe(`${at}: ${answer(probe, maxSeq)}`)
      }
    }
  }
  expectWellFormed(set)
}

function expectWellFormed(set: RangeTombstones): void {
  const spans = set.spans()
  expect(set.isEmpty).toBe(spans.length === 0)
  expect(set.seqCount).toBe(spans.reduce((sum, span) => sum + span.seqs.length, 0))
  spans.forEach(({ low, high, seqs }, i) => {
    expect(seqs.length).toBeGreaterThan(0)
    expect(seqs).toEqual([...new Set(seqs)].toSorted((a, b) => b - a))
    expect(high === undefined || Buffer.compare(low, high) < 0).toBe(true)
    const before = spans[i - 1]
    if (before === undefined) return
    expect(before.high).toBeDefined()
    const order = Buffer.compare(before.high!, low)
    expect(order).toBeLessThanOrEqual(0)
    if (order === 0) expect(before.seqs).not.toEqual(seqs)
  })
}

describe('range tombstones', () => {
  test('know the newest number that covers a key, up to any number', () => {
    fc.assert(
      fc.property(list, (all) => {
        expectSame(setOf(all), (probe, maxSeq) => naiveSeq(all, probe, maxSeq))
      }),
      { numRuns: 400 }
    )
  })

  test('added in order answer the same for every view, and drop what no view needs', () => {
    fc.assert(
      fc.property(list, views, (all, viewSeqs) => {
        const set = new RangeTombstones()
        const rising = all.map((range, i) => ({ ...range, seq: i + 1 }))
        for (const { low, high, seq: number } of rising) {
          const newestViewSeq = Math.max(0, ...viewSeqs.filter((view) => view < number))
          set.add(low, high, number, newestViewSeq)
        }
        for (const probe of probes) {
          for (const view of [...viewSeqs, newest]) {
            expect(seqAt(set, probe, view)).toBe(naiveSeq(rising, probe, view))
          }
        }
        expectWellFormed(set)
        if (viewSeqs.length === 0) {
          for (const span of set.spans()) expect(span.seqs).toHaveLength(1)
        }
      }),
      { numRuns: 400 }
    )
  })

  test('merge to what all of them say', () => {
    fc.assert(
      fc.property(fc.array(list, { maxLength: 5 }), (lists) => {
        const merged = RangeTombstones.merge(lists.map(setOf))
        const all = lists.flat()
        expectSame(merged, (probe, maxSeq) => naiveSeq(all, probe, maxSeq))
        expect(merged.spans()).toEqual(setOf(all).spans())
      }),
      { numRuns: 300 }
    )
  })

  test('of many ranges at once keep the newest of each key', () => {
    const many = fc.array(removed, { maxLength: 200, size: 'max' })
    fc.assert(
      fc.property(many, list, fc.nat({ max: 12 }), (all, older, viewSeq) => {
        const set = RangeTombstones.newestOf(all)
        expectSame(set, (probe, maxSeq) => {
          const last = naiveSeq(all, probe, newest)
          return last <= maxSeq ? last : 0
        })
        const later = all.map((range) => ({ ...range, seq: 13 }))
        const both = setOf(older).with(RangeTombstones.newestOf(later), viewSeq)
        expectWellFormed(both)
        for (const probe of probes) {
          for (const view of [...Array(viewSeq + 1).keys(), newest]) {
            expect(seqAt(both, probe, view)).toBe(naiveSeq([...older, ...later], probe, view))
          }
        }
      }),
      { numRuns: 60 }
    )
  })

  test('are clipped to a span of keys', () => {
    const bound = fc.option(key, { nil: undefined })
    fc.assert(
      fc.property(list, bound, bound, (all, low, high) => {
        const span = { low: low ?? Buffer.alloc(0), high }
        expectSame(setOf(all).clip(low, high), (probe, maxSeq) =>
          holds(span, probe) ? naiveSeq(all, probe, maxSeq) : 0
        )
      }),
      { numRuns: 400 }
    )
  })

  test('come back from their encoding', () => {
    fc.assert(
      fc.property(list, (all) => {
        const set = setOf(all.map((range) => ({ ...range, seq: range.seq * 2 ** 40 })))
        const encoded = set.encode()
        const decoded = RangeTombstones.decode(encoded)
        encoded.fill(0xee)
        expect(decoded.spans()).toEqual(set.spans())
        expectWellFormed(decoded)
      })
    )
  })

  test('refuse bytes that they did not make, and never answer nonsense', () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), {
      minLength: 1,
      maxLength: 3
    })
    fc.assert(
      fc.property(list, damage, fc.nat({ max: 8 }), (all, changes, cut) => {
        const encoded = setOf(all).encode()
        for (const [at, byte] of changes) encoded[at % encoded.length] = byte
        const bytes = encoded.subarray(0, Math.max(0, encoded.length - cut))
        let decoded: RangeTombstones
        try {
          decoded = RangeTombstones.decode(bytes)
        } catch (error) {
          expect(error).toMatchObject({ code: 'KINTSUGI_CORRUPTION' })
          return
        }
        for (const span of decoded.spans()) {
          for (const number of span.seqs) expect(Number.isSafeInteger(number)).toBe(true)
        }
        expectWellFormed(decoded)
      }),
      { numRuns: 1000 }
    )
  })

  test('keep, where older data lies below, the answer of every view and of the newest state', () => {
    fc.assert(
      fc.property(list, views, (all, viewSeqs) => {
        const kept = setOf(all).retain(viewSeqs, false)
        expectWellFormed(kept)
        for (const probe of probes) {
          for (const view of [...viewSeqs, newest]) {
            expect(seqAt(kept, probe, view)).toBe(naiveSeq(all, probe, view))
          }
        }
        for (const span of kept.spans()) {
          expect(span.seqs.length).toBeLessThanOrEqual(viewSeqs.length + 1)
        }
      }),
      { numRuns: 400 }
    )
  })

  test('at the bottom keep what hides a version that is kept for a view, and nothing else', () => {
    const version = fc.record({ probe: key, seq })
    fc.assert(
      fc.property(list, fc.array(version, { maxLength: 12 }), views, (all, versions, viewSeqs) => {
        const kept = setOf(all).retain(viewSeqs, true)
        const states = [...viewSeqs, newest]
        const visible = (probe: Buffer, state: number, hidden: (max: number) => number): number => {
          const seqs = versions
            .filter((one) => one.seq <= state && one.probe.equals(probe))
            .map((one) => one.seq)
          const last = Math.max(0, ...seqs)
          return last < hidden(state) ? 0 : last
        }
        // What the merge keeps: the versions that some state shows.
        const needed = versions.filter((one) =>
          states.some((state) => {
            const shown = visible(one.probe, state, (max) => naiveSeq(all, one.probe, max))
            return shown === one.seq
          })
        )
        for (const { probe } of versions) {
          for (const state of states) {
            const left = needed.filter((one) => one.probe.equals(probe) && one.seq <= state)
            const last = Math.max(0, ...left.map((one) => one.seq))
            const after = last < seqAt(kept, probe, state) ? 0 : last
            expect(after).toBe(visible(probe, state, (max) => naiveSeq(all, probe, max)))
          }
        }
        const oldest = viewSeqs[0] ?? newest
        for (const span of kept.spans()) expect(span.seqs.at(-1)).toBeGreaterThan(oldest)
      }),
      { numRuns: 400 }
    )
  })

  test('stay few and fast when the same ranges are removed again and again', () => {
    const set = new RangeTombstones()
    const startMs = performance.now()
    const keyOf = (i: number) => Buffer.from(String(i).padStart(8, '0'))
    for (let i = 1; i <= 20_000; i++) set.add(Buffer.alloc(0), keyOf(i), i, 0)
    expect(set.spans()).toHaveLength(1)
    for (let i = 20_001; i <= 30_000; i++) {
      const low = keyOf((i * 7919) % 100_000)
      set.add(low, Buffer.concat([low, Buffer.from('x')]), i, 0)
    }
    expect(set.spans().length).toBeGreaterThan(9000)
    for (let i = 30_001; i <= 30_100; i++) set.add(Buffer.alloc(0), undefined, i, 0)
    expect(set.spans()).toMatchObject([{ high: undefined, seqs: [30_100] }])
    expect(performance.now() - startMs).toBeLessThan(10_000)
  })
})
