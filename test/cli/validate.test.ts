import { expect, test } from 'vitest'
import { directoryDigest } from './damage.js'
import { kintsugiJson, lighthouseStore, workspace } from './workspace.js'

test('validate finds nothing in a good store, at any level, and changes nothing', async () => {
  const store = await lighthouseStore(workspace())
  const before = directoryDigest(store)
  for (const level of ['basic', 'standard', 'comprehensive']) {
    const report = await kintsugiJson('validate', store, '--level', level)
    expect(report).toMatchObject({ ok: true, errors: 0, warnings: 0, findings: [] })
  }
  expect(directoryDigest(store)).toEqual(before)
})
