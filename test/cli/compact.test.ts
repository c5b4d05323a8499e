import { expect, test } from 'vitest'
import { kintsugi, kintsugiFailure, kintsugiJson, lighthouseStore, workspace } from './workspace.js'

test('compact counts no log files that are only set aside', async () => {
  const store = await lighthouseStore(workspace())
  await kintsugiJson('compact', store)
  const { diskBytes } = await kintsugiJson('stats', store)
  expect((await kintsugiJson('compact', store)).bytesBefore).toBe(diskBytes)
})

test('compact of a path without a store says so', async () => {
  const { code, error } = await kintsugiFailure(['compact', `${workspace()}/absent`])
  expect([code, error.code]).toEqual([6, 'KINTSUGI_STORE_MISSING'])
})

test('compact keeps every entry', async () => {
  const store = await lighthouseStore(workspace())
  const before = await kintsugi(['export', store])
  const { bytesBefore, bytesAfter } = await kintsugiJson('compact', store)
  expect(bytesBefore).toBeGreaterThan(0)
  expect(bytesAfter).toBeGreaterThan(0)
  expect((await kintsugi(['export', store])).stdout).toEqual(before.stdout)
})

test('compact of a level, where the store has none, says so', async () => {
  const store = await lighthouseStore(workspace())
  const { code, error } = await kintsugiFailure(['compact', store, '--level', '0'])
  expect([code, error.code]).toEqual([1, 'KINTSUGI_NOT_SUPPORTED'])
  expect((await kintsugiFailure(['compact', store, '--level', 'one'])).code).toBe(2)
})
