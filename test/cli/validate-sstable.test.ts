import { cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { directoryDigest, overwrite } from './damage.js'
import {
  eventStore,
  kintsugi,
  kintsugiFailure,
  kintsugiJson,
  lighthouseStore,
  workspace
} from './workspace.js'

const tablesOf = (store: string): string[] =>
  readdirSync(join(store, 'lsm-1'))
    .filter((name) => name.endsWith('.sst'))
    .map((name) => join(store, 'lsm-1', name))

test('validate-sstable finds nothing in whole tables, at any level, and changes nothing', async () => {
  const store = await eventStore(workspace())
  const before = directoryDigest(store)
  for (const level of ['basic', 'standard', 'comprehensive']) {
    const report = await kintsugiJson('validate-sstable', store, '--level', level)
    expect(report).toMatchObject({ store, level, ok: true, errors: 0, warnings: 0, findings: [] })
    expect(report.tables.map((table: { path: string }) => table.path)).toEqual(tablesOf(store))
    expect(report.tables[0].entries).toBeGreaterThan(0)
  }
  const { stdout } = await kintsugi(['validate-sstable', tablesOf(store)[0]])
  expect(stdout.toString()).toMatch(/\.sst +level \d.*\nok 1 table, no damage found/)
  expect(directoryDigest(store)).toEqual(before)
})

test('validate-sstable names file and keys of damage, of a store that does not open as well', async () => {
  const store = await eventStore(workspace(), 'damaged')
  const [table] = tablesOf(store)
  overwrite(table, 3000, 20)
  for (const manifest of ['there', 'lost']) {
    if (manifest === 'lost') rmSync(join(store, 'lsm-1', 'CURRENT'))
    const { code, stdout } = await kintsugi(['validate-sstable', store, '--json'])
    const report = JSON.parse(stdout.toString())
    expect([code, report.ok]).toEqual([3, false])
    expect(report.tables[0].findings[0].path).toBe(table)
    expect(report.tables[0].findings[0].lowKey).toMatch(/^[0-9a-f]+$/)
    expect(report.findings).toHaveLength(manifest === 'lost' ? 1 : 0)
  }
  const { code, stdout } = await kintsugi(['validate-sstable', store])
  expect(code).toBe(3)
  expect(stdout.toString()).toContain(`kintsugi repair ${store} --dry-run`)
})

test('validate-sstable checks a file that lies in quarantine, or in no store', async () => {
  const directory = workspace()
  const store = await eventStore(directory)
  const [table] = tablesOf(store)
  const other = await eventStore(directory, 'other', 'secret')
  mkdirSync(join(other, 'quarantine'))
  const quarantined = join(other, 'quarantine', table.slice(-16))
  cpSync(table, quarantined)
  const foreign = await kintsugi(['validate-sstable', quarantined])
  expect(foreign.code).toBe(3)
  expect(foreign.stdout.toString()).toContain('another store')
  cpSync(table, join(directory, table.slice(-16)))
  const alone = await kintsugi(['validate-sstable', join(directory, table.slice(-16))])
  expect(alone.code).toBe(0)
  expect(alone.stderr).toContain('lies in no store')
})

test('validate-sstable of what has no tables says so', async () => {
  const directory = workspace()
  const store = await lighthouseStore(directory)
  const refused = await kintsugiFailure(['validate-sstable', store])
  expect([refused.code, refused.error.code]).toEqual([6, 'KINTSUGI_BACKEND_MISMATCH'])
  const missing = await kintsugiFailure(['validate-sstable', join(directory, 'absent')])
  expect([missing.code, missing.error.code]).toEqual([1, 'CLI_FILE'])
  const foreign = await kintsugiFailure(['validate-sstable', directory])
  expect(foreign.code).toBe(6)
})
