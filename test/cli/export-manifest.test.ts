import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { directoryDigest } from './damage.js'
import {
  eventStore,
  kintsugi,
  kintsugiFailure,
  kintsugiJson,
  lighthouseStore,
  workspace
} from './workspace.js'

interface Level {
  readonly level: number
  readonly tables: readonly { number: number; low: string; high: string; entries: number }[]
}

test('export-manifest lists every table with its keys, and changes nothing', async () => {
  const store = await eventStore(workspace())
  const before = directoryDigest(store)
  const manifest = await kintsugiJson('export-manifest', store)
  expect(manifest).toMatchObject({ store, source: 'manifest', findings: [] })
  expect(manifest.durableSeq).toBeGreaterThan(0)
  const tables = (manifest.levels as Level[]).flatMap((level) => level.tables)
  expect(tables.length).toBeGreaterThan(0)
  for (const { number, low, high } of tables) {
    expect(number).toBeLessThan(manifest.nextTable)
    expect(low < high).toBe(true)
  }
  const { stdout } = await kintsugi(['export-manifest', store])
  expect(stdout.toString()).toMatch(/level +table +size +entries/)
  expect(directoryDigest(store)).toEqual(before)
})

test('export-manifest goes by footers where the manifest is lost, and says so', async () => {
  const store = await eventStore(workspace(), 'damaged')
  const { levels } = await kintsugiJson('export-manifest', store)
  rmSync(join(store, 'lsm-1', 'CURRENT'))
  const { code, stdout } = await kintsugi(['export-manifest', store, '--json'])
  const manifest = JSON.parse(stdout.toString())
  expect(code).toBe(3)
  expect(manifest).toMatchObject({ source: 'footers', durableSeq: null, nextTable: null })
  const numbers = (of: readonly Level[]) =>
    of.flatMap(({ tables }) => tables.map(({ number }) => number)).toSorted((a, b) => a - b)
  expect(numbers(manifest.levels)).toEqual(numbers(levels))
  expect(manifest.findings[0].message).toContain('rebuild-manifest')
  const readable = await kintsugi(['export-manifest', store])
  expect(readable.stdout.toString()).toContain('the manifest cannot be read')
})

test('export-manifest of a B+ tree says that it has none', async () => {
  const store = await lighthouseStore(workspace())
  const { code, error } = await kintsugiFailure(['export-manifest', store])
  expect([code, error.code]).toEqual([6, 'KINTSUGI_BACKEND_MISMATCH'])
})
