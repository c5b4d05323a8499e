import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FingerprintSet } from '../../dist/cli/fingerprint-set.js'
import { Importer, type ImporterOptions } from '../../dist/cli/importer.js'
import { linesDialect, RecordSplitter } from '../../dist/cli/record-splitter.js'
import type { MappedRow } from '../../dist/cli/row-mapper.js'

const defaults: ImporterOptions = {
  batchRows: 3,
  batchBytes: 1 << 20,
  unique: false,
  targetWasEmpty: true,
  duplicateMemoryBytes: 1 << 20
}

type Row = readonly [key: string, value: string]

/** Imports rows into a map, which plays the store, and stops after `batches` writes. */
async function run(
  store: Map<string, string>,
  rows: readonly Row[],
  options: Partial<ImporterOptions> = {},
  batches = Infinity
): Promise<Importer> {
  let writes = 0
  const importer = new Importer(
    {
      get: (key) => {
        const value = store.get(key.toString())
        return value === undefined ? undefined : Buffer.from(value)
      },
      write: async (batch: readonly MappedRow[]) => {
        writes++
        for (const { key, value } of batch) store.set(key.toString(), value.toString())
      }
    },
    { ...defaults, targetWasEmpty: store.size === 0, ...options }
  )
  const [record] = [...new RecordSplitter(linesDialect(100)).push(Buffer.from('x\n'))]
  for (const [key, value] of rows) {
    if (importer.add({ key: Buffer.from(key), value: Buffer.from(value) }, record)) {
      await importer.flush()
      if (writes >= batches) return importer
    }
  }
  await importer.flush()
  return importer
}

describe('an import', () => {
  test('counts what is new, what is there already and what it replaces', async () => {
    const store = new Map([
      ['a', '1'],
      ['b', '1']
    ])
    const { counts } = await run(store, [
      ['a', '1'],
      ['b', '2'],
      ['c', '3']
    ])
    expect(counts).toMatchObject({ rows: 3, added: 1, unchanged: 1, replaced: 1, overwritten: 0 })
  })

  test('reports rows that overwrite others of the same file, in one batch or far apart', async () => {
    const rows: Row[] = [
      ['a', '1'],
      ['a', '2'],
      ['b', '1'],
      ['c', '1'],
      ['d', '1'],
      ['b', '2'],
      ['c', '1']
    ]
    for (const store of [new Map<string, string>(), new Map([['z', 'other']])]) {
      const importer = await run(store, rows)
      expect(importer.counts).toMatchObject({ rows: 7, added: 4, overwritten: 2, repeated: 1 })
      expect(importer.examples.map(({ key }) => key.toString())).toEqual(['a', 'b'])
      expect([store.get('a'), store.get('b')]).toEqual(['2', '2'])
    }
  })

  test('with unique refuses the first repeated key, even with the same value', async () => {
    const rows: Row[] = [
      ['a', '1'],
      ['a', '1']
    ]
    await expect(run(new Map(), rows, { unique: true })).rejects.toThrow(
      /earlier row has the key a/
    )
  })

  test('says so when it cannot remember all keys, and with unique refuses to guess', async () => {
    const rows = Array.from({ length: 2000 }, (_, i): Row => [`k${i}`, 'v'])
    const few = { duplicateMemoryBytes: 8192 }
    const importer = await run(new Map([['z', '']]), rows, few)
    expect(importer.duplicatesKnown).toBe(false)
    await expect(run(new Map([['z', '']]), rows, { ...few, unique: true })).rejects.toThrow(
      /no memory left to tell whether keys are unique/
    )
  })

  test('ended anywhere and run again leads to the same state as one that was not', async () => {
    const row = fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e'), fc.constantFrom('1', '2'))
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { maxLength: 20 }),
        fc.integer({ min: 1, max: 4 }),
        async (rows, batches) => {
          const whole = new Map<string, string>()
          await run(whole, rows)
          const resumed = new Map<string, string>()
          await run(resumed, rows, {}, batches)
          const { counts } = await run(resumed, rows)
          expect(resumed).toEqual(whole)
          expect(counts.rows).toBe(rows.length)
        }
      ),
      { numRuns: 500 }
    )
  })
})

describe('a set of fingerprints', () => {
  test('tells every one of 200,000 similar keys from the others', () => {
    const set = new FingerprintSet(1 << 24)
    for (let i = 0; i < 200_000; i++) expect(set.add(Buffer.from(`key-${i}`))).toBe(true)
    for (let i = 0; i < 200_000; i += 97) expect(set.add(Buffer.from(`key-${i}`))).toBe(false)
    expect(set.size).toBe(200_000)
  })
})
