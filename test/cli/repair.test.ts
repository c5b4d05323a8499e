import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { damageLargestFile, directoryDigest } from './damage.js'
import {
  kintsugi,
  kintsugiFailure,
  kintsugiJson,
  largeStore,
  sailingStore,
  workspace
} from './workspace.js'

async function entries(store: string): Promise<Map<string, string>> {
  const { stdout } = await kintsugi(['export', store])
  const lines = stdout.toString().split('\n').filter(Boolean)
  return new Map(lines.map((line) => JSON.parse(line)).map(({ key, value }) => [key, value]))
}

test('repair of a good store changes nothing', async () => {
  const store = await sailingStore(workspace())
  const before = directoryDigest(store)
  expect(await kintsugiJson('repair', store, '--dry-run')).toMatchObject({ healthy: true })
  expect(directoryDigest(store)).toEqual(before)
  expect(await kintsugiJson('repair', store)).toMatchObject({ healthy: true, quarantine: null })
  expect((await entries(store)).size).toBe(360)
})

test('repair saves what proves itself, names what is lost, and keeps the damaged files', async () => {
  const store = await largeStore(workspace(), 'damaged')
  const whole = await entries(store)
  damageLargestFile(store, 'btree-1')
  const before = directoryDigest(store)
  const dry = await kintsugi(['repair', store, '--dry-run', '--json'])
  expect(dry.code).toBe(3)
  expect(directoryDigest(store)).toEqual(before)
  const { code, stdout } = await kintsugi(['repair', store, '--json'])
  const report = JSON.parse(stdout.toString())
  expect(report).toMatchObject({ healthy: false, dryRun: false })
  const lossNamed = report.lost.length + report.possiblyStale.length > 0
  expect(code).toBe(lossNamed ? 3 : 0)
  expect(existsSync(join(store, report.quarantine.replace(`${store}/`, '')))).toBe(true)
  const saved = await entries(store)
  expect(saved.size).toBe(report.entries)
  for (const [key, value] of saved) expect(value).toBe(whole.get(key))
  expect(saved.size).toBeGreaterThan(0)
  if (saved.size < whole.size) expect(report.lost.length).toBeGreaterThan(0)
  expect((await kintsugiJson('validate', store, '--level', 'comprehensive')).ok).toBe(true)
})

test('repair where there is no store says so and creates nothing', async () => {
  const store = join(workspace(), 'nothing')
  expect((await kintsugiFailure(['repair', store])).code).toBe(6)
  expect(existsSync(store)).toBe(false)
})
