import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BatchMerger } from '../../dist/batch/batch-merger.js'
import { BatchReader, encodeBatch, type BatchOperation } from '../../dist/batch/batch.js'

/** Short keys of few letters, many of them equal or beginnings of others, and some long ones. */
const key = fc.oneof(
  fc
    .array(fc.constantFrom(0, 1, 97, 255), { maxLength: 9 })
    .map((bytes) => Buffer.from([...Buffer.from('same beginning'), ...bytes])),
  fc.array(fc.constantFrom(0, 7, 255), { maxLength: 3 }).map((bytes) => Buffer.from(bytes)),
  fc.uint8Array({ minLength: 60, maxLength: 70 }).map((bytes) => Buffer.from(bytes))
)
const operation: fc.Arbitrary<BatchOperation> = fc.oneof(
  fc.record({
    type: fc.constant('put' as const),
    key,
    value: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))
  }),
  fc.record({ type: fc.constant('del' as const), key })
)

function outcomeOf(batches: readonly (readonly BatchOperation[])[]): Map<string, string> {
  const outcome = new Map<string, string>()
  for (const entry of batches.flat()) {
    if (entry.type === 'clear') continue
    const value = entry.type === 'put' ? Buffer.from(entry.value).toString('hex') : 'deleted'
    outcome.set(Buffer.from(entry.key).toString('hex'), value)
  }
  return outcome
}

/** Everything the merger gives out, as operations that no longer refer to its memory. */
function merged(merger: BatchMerger): BatchOperation[] {
  const operations: BatchOperation[] = []
  merger.sort()
  for (let size = merger.next(); size > 0; size = merger.next()) {
    const reader = new BatchReader(Buffer.from(merger.part.subarray(0, size)))
    while (reader.next()) operations.push(reader.operation())
  }
  return operations
}

function add(merger: BatchMerger, operations: readonly BatchOperation[]): number {
  const bytes = encodeBatch(operations)
  return merger.add(bytes, 0, bytes.length)
}

describe('merged batches', () => {
  test('do the same as one after the other, each key once and in order', () => {
    const merger = new BatchMerger(2 ** 20)
    const batches = fc.array(fc.array(operation, { maxLength: 40 }), { maxLength: 20 })
    fc.assert(
      fc.property(batches, (given) => {
        merger.clear()
        for (const batch of given) expect(add(merger, batch)).toBeGreaterThanOrEqual(0)
        const operations = merged(merger)
        expect(outcomeOf([operations])).toEqual(outcomeOf(given))
        const keys = operations.map((entry) => (entry.type === 'clear' ? undefined : entry.key))
        for (let i = 1; i < keys.length; i++) {
          expect(Buffer.compare(keys[i - 1]!, keys[i]!)).toBe(-1)
        }
      }),
      { numRuns: 300 }
    )
  })

  test('come in parts, an operation larger than a part among them', () => {
    const merger = new BatchMerger(2 ** 22)
    const puts = Array.from({ length: 5000 }, (_, i) => ({
      type: 'put' as const,
      key: Buffer.from(`key ${(i * 7919) % 5000}`),
      value: Buffer.alloc(i === 2500 ? 600_000 : 100, i)
    }))
    add(merger, puts)
    expect(outcomeOf([merged(merger)])).toEqual(outcomeOf([puts]))
  })

  test('of one key that is written all the time are one write', () => {
    const merger = new BatchMerger(2 ** 22)
    for (let i = 0; i < 60_000; i++) {
      add(merger, [{ type: 'put', key: Buffer.from('hot'), value: Buffer.from(`${i}`) }])
    }
    const operations = merged(merger)
    expect(operations).toHaveLength(1)
    expect(operations[0]).toMatchObject({ value: Buffer.from('59999') })
  })

  test('leave out what has no room or removes a range, wholly', () => {
    const merger = new BatchMerger(1000)
    const put = (name: string, bytes: number): BatchOperation => {
      return { type: 'put', key: Buffer.from(name), value: Buffer.alloc(bytes) }
    }
    expect(add(merger, [put('a', 100)])).toBe(0)
    expect(add(merger, [put('b', 100), { type: 'clear', range: {} }])).toBe(-1)
    expect(add(merger, [put('c', 900)])).toBe(-1)
    expect(add(merger, [put('d', 100)])).toBe(109)
    expect(merged(merger)).toEqual([put('a', 100), put('d', 100)])
    merger.clear()
    expect(merger.isEmpty).toBe(true)
    const tiny = Array.from({ length: 65_537 }, () => put('', 0))
    expect(add(new BatchMerger(2 ** 20), tiny)).toBe(-1)
  })
})
