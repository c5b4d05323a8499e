import { expect, test } from 'vitest'
import { kintsugi, kintsugiJson, lighthouseStore, workspace } from './workspace.js'

test('compact keeps every entry', async () => {
  const store = await lighthouseStore(workspace())
  const before = await kintsugi(['export', store])
  const { bytesBefore, bytesAfter } = await kintsugiJson('compact', store)
  expect(bytesBefore).toBeGreaterThan(0)
  expect(bytesAfter).toBeGreaterThan(0)
  expect((await kintsugi(['export', store])).stdout).toEqual(before.stdout)
})
