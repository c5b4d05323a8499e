import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { directoryDigest } from './damage.js'
import { kintsugiFailure, kintsugiJson, sailingStore, workspace } from './workspace.js'

test('repair of a good store changes nothing', async () => {
  const store = await sailingStore(workspace())
  const before = directoryDigest(store)
  expect(await kintsugiJson('repair', store, '--dry-run')).toMatchObject({ healthy: true })
  expect(directoryDigest(store)).toEqual(before)
  expect(await kintsugiJson('repair', store)).toMatchObject({ healthy: true, quarantine: null })
  expect(await kintsugiJson('count', store)).toEqual({ count: 360 })
})

test('repair where there is no store says so and creates nothing', async () => {
  const store = join(workspace(), 'nothing')
  expect((await kintsugiFailure(['repair', store])).code).toBe(6)
  expect(existsSync(store)).toBe(false)
})
