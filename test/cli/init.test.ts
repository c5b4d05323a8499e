import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { kintsugi, kintsugiFailure, kintsugiJson, workspace } from './workspace.js'

test('init creates an empty store', async () => {
  const store = join(workspace(), 'store')
  expect(await kintsugiJson('init', store)).toEqual({ store, backend: 'btree', created: true })
  expect(await kintsugiJson('count', store)).toEqual({ count: 0 })
})

test('init refuses to touch a store that is there', async () => {
  const store = join(workspace(), 'store')
  await kintsugiJson('init', store)
  const { code, error } = await kintsugiFailure(['init', store])
  expect([code, error.code]).toEqual([6, 'KINTSUGI_STORE_EXISTS'])
})

test('init refuses a directory with something else in it', async () => {
  const directory = join(workspace(), 'other')
  mkdirSync(directory)
  writeFileSync(join(directory, 'letter.txt'), 'dear reader')
  const { code, error } = await kintsugiFailure(['init', directory])
  expect([code, error.code]).toEqual([6, 'KINTSUGI_FOREIGN_DIRECTORY'])
})

test('init refuses a page size that cannot be, as wrong usage', async () => {
  const directory = workspace()
  const { code, stderr } = await kintsugi([
    'init',
    join(directory, 'store'),
    '--page-bytes',
    '5000'
  ])
  expect(code).toBe(2)
  expect(stderr).toContain('power of two')
})
