import { expect, test } from 'vitest'
import { damageLargestFile, directoryDigest } from './damage.js'
import { kintsugi, kintsugiJson, largeStore, lighthouseStore, workspace } from './workspace.js'

test('validate finds nothing in a good store, at any level, and changes nothing', async () => {
  const store = await lighthouseStore(workspace())
  const before = directoryDigest(store)
  for (const level of ['basic', 'standard', 'comprehensive']) {
    const report = await kintsugiJson('validate', store, '--level', level)
    expect(report).toMatchObject({ ok: true, errors: 0, warnings: 0, findings: [] })
  }
  expect(directoryDigest(store)).toEqual(before)
})

test('validate ends with 3 where bytes are damaged, names the file and the way on', async () => {
  const store = await largeStore(workspace(), 'damaged')
  const damaged = damageLargestFile(store, 'btree-1')
  const { code, stdout, stderr } = await kintsugi(['validate', store, '--json'])
  expect(code).toBe(3)
  expect(stdout.toString() + stderr).toContain(damaged)
  const readable = await kintsugi(['validate', store])
  expect(readable.stdout.toString() + readable.stderr).toContain(`kintsugi repair ${store}`)
  expect(readable.stderr).not.toMatch(/\n\s+at /)
})
