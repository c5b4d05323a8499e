import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import type { BatchOperation, ByteRange } from '../../../dist/batch/batch.js'
import type { ReadView } from '../../../dist/backend/backend.js'
import { Pair, entriesOf, everything, expectEntries, readAll } from './tree-harness.js'
import type { Model } from './tree-harness.js'

const small = fc.integer({ min: 0, max: 1500 }).map((n) => Buffer.from(`k${n}`))
/** Long inline keys make small branches, and so high trees. */
const wide = fc
  .integer({ min: 0, max: 400 })
  .map((n) => Buffer.from(`${String(n * 7919).padStart(8, '0')}`.padEnd(380, 'x')))
const tail = fc
  .tuple(fc.integer({ min: 0, max: 60 }), fc.constantFrom(421, 480, 3000, 9000))
  .map(([n, length]) => Buffer.concat([Buffer.alloc(length, 'p'), Buffer.from(String(n))]))
const odd = fc.oneof(
  fc.constant(Buffer.alloc(0)),
  fc.constant(Buffer.alloc(65_535, 0xff)),
  fc.constant(Buffer.alloc(65_535, 'p')),
  fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes))
)
const keys = fc.oneof(
  { weight: 8, arbitrary: small },
  { weight: 8, arbitrary: wide },
  { weight: 3, arbitrary: tail },
  { weight: 1, arbitrary: odd }
)
const values = fc
  .tuple(
    fc.oneof(
      { weight: 20, arbitrary: fc.integer({ min: 0, max: 120 }) },
      { weight: 4, arbitrary: fc.integer({ min: 300, max: 1100 }) },
      { weight: 1, arbitrary: fc.constantFrom(4015, 4016, 4017, 20_000) }
    ),
    fc.nat(255)
  )
  .map(([length, byte]) => Buffer.alloc(length, byte))

const ranges: fc.Arbitrary<ByteRange> = fc
  .tuple(fc.option(keys), fc.option(keys), fc.boolean(), fc.boolean())
  .map(([low, high, lowOpen, highOpen]) => ({
    ...(low && (lowOpen ? { gt: low } : { gte: low })),
    ...(high && (highOpen ? { lt: high } : { lte: high }))
  }))

const operations: fc.Arbitrary<BatchOperation> = fc.oneof(
  {
    weight: 30,
    arbitrary: fc.record({ type: fc.constant('put' as const), key: keys, value: values })
  },
  { weight: 10, arbitrary: fc.record({ type: fc.constant('del' as const), key: keys }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('clear' as const), range: ranges }) }
)

const runs = fc
  .tuple(keys, fc.integer({ min: 5, max: 200 }), fc.constantFrom(-1, 1))
  .map(([key, count, step]): BatchOperation[] =>
    Array.from({ length: count }, (_, i) => ({
      type: 'put',
      key: Buffer.concat([key.subarray(0, 400), Buffer.from(String(500 + step * i))]),
      value: Buffer.alloc(40, i)
    }))
  )

const steps = fc.oneof(
  { weight: 20, arbitrary: fc.array(operations, { minLength: 1, maxLength: 60 }) },
  { weight: 4, arbitrary: runs },
  { weight: 3, arbitrary: fc.constant('view' as const) },
  { weight: 2, arbitrary: fc.constant('endView' as const) },
  { weight: 2, arbitrary: fc.constant('persist' as const) },
  { weight: 1, arbitrary: fc.constant('startPersist' as const) },
  { weight: 1, arbitrary: fc.constant('compact' as const) },
  { weight: 1, arbitrary: fc.constant('reopen' as const) }
)

const progress = { report() {}, signal: undefined }

interface HeldView {
  view: ReadView
  model: Model
}

function checkView({ view, model }: HeldView, range: ByteRange, probe: Buffer): void {
  const [from, to] = model.bounds(range)
  const expected = model.entries.slice(from, to)
  const options = { range, keys: true, values: true }
  expectEntries(readAll(view.cursor({ ...options, reverse: false }), 7), expected)
  const backwards = readAll(view.cursor({ ...options, reverse: true }), 50)
  expectEntries(backwards, [...expected].reverse())
  expect(view.getSync(probe)).toEqual(model.get(probe))
  const [sought] = model.bounds({ gte: probe })
  const forward = view.cursor(everything(false))
  forward.seek(probe)
  const chunk = forward.nextChunkSync(3)
  expectEntries(
    chunk === undefined ? [] : entriesOf(chunk),
    model.entries.slice(sought, sought + (chunk?.count ?? 0))
  )
  expect(chunk === undefined).toBe(sought === model.entries.length)
  const backward = view.cursor(everything(true))
  backward.seek(probe)
  const last = backward.nextChunkSync(1)
  const [, behind] = model.bounds({ lte: probe })
  expectEntries(
    last === undefined ? [] : entriesOf(last),
    model.entries.slice(Math.max(0, behind - 1), behind)
  )
}

describe('the tree', () => {
  test.each([
    ['everything in memory', 64 * 2 ** 20, 120],
    ['a cache of few pages', 2 ** 18, 80]
  ])('behaves like a sorted map, views included, with %s', async (_, cacheBytes, numRuns) => {
    let height = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(steps, { maxLength: 30 }),
        fc.array(ranges, { minLength: 2, maxLength: 4 }),
        fc.array(keys, { minLength: 2, maxLength: 8 }),
        async (history, someRanges, probes) => {
          const pair = await Pair.create({ cacheBytes })
          let views: HeldView[] = []
          let persisting: Promise<unknown> | undefined
          for (const [i, step] of history.entries()) {
            if (Array.isArray(step)) await pair.apply(step)
            else if (step === 'view') {
              views.push({ view: pair.backend.readView(), model: pair.model.clone() })
            } else if (step === 'endView') views.shift()?.view.close()
            else if (step === 'compact') await pair.backend.compact({}, progress)
            else {
              await persisting
              persisting = undefined
              if (step === 'persist') await pair.persist()
              else if (step === 'startPersist') persisting = pair.persist()
              else {
                for (const { view } of views) view.close()
                views = []
                await pair.reopen()
              }
            }
            const probe = probes[i % probes.length]
            expect(pair.backend.getSync(probe)).toEqual(pair.model.get(probe))
            if (views.length > 0) {
              checkView(views[i % views.length], someRanges[i % someRanges.length], probe)
            }
          }
          await persisting
          height = Math.max(height, pair.backend.tree.height)
          const now = { view: pair.backend.readView(), model: pair.model.clone() }
          for (const held of [...views, now]) {
            for (const range of someRanges) checkView(held, range, probes[0])
            held.view.close()
          }
          const wanted = [...probes, ...pair.model.entries.slice(0, 100).map(({ key }) => key)]
          const many = pair.backend.tryGetMany(wanted)
          for (const [i, key] of wanted.entries()) {
            if (many[i] !== null) expect(many[i]).toEqual(pair.model.get(key))
          }
          await pair.check()
          await pair.reopen()
          await pair.check()
          expect(await pair.backend.verify('comprehensive', progress)).toEqual([])
          await pair.backend.close()
        }
      ),
      { numRuns }
    )
    expect(height).toBeGreaterThanOrEqual(3)
  })
})
