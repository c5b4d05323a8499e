import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { open } from '../../dist/index.js'
import { kintsugi, kintsugiFailure, kintsugiJson, samples, workspace } from './workspace.js'

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

test('init takes a profile, and the backend by name', async () => {
  const directory = workspace()
  const store = join(directory, 'small')
  await kintsugiJson('init', store, '--backend', 'btree', '--profile', 'low-memory')
  const small = await open(store, { pageBytes: 4096 })
  await small.close()
  await kintsugiJson('put', store, 'k', 'v', '--profile', 'safe-mode')
  for (const args of [
    ['init', join(directory, 'other'), '--profile', 'tiny'],
    ['init', join(directory, 'other'), '--backend', 'rocks']
  ]) {
    const { code, error } = await kintsugiFailure(args)
    expect([code, error.code]).toEqual([2, 'CLI_USAGE'])
    expect(error.message).toContain('Allowed choices are')
  }
})

test('init makes an LSM store with blocks of a size, which later commands find out', async () => {
  const store = join(workspace(), 'store')
  const args = ['init', store, '--backend', 'lsm', '--block-bytes', '4096']
  expect(await kintsugiJson(...args)).toEqual({ store, backend: 'lsm', created: true })
  await kintsugiJson('put', store, 'k', 'v')
  expect((await kintsugiJson('get', store, 'k')).value).toBe('v')
  const load = ['import', join(samples, 'lighthouses.csv'), store, '--key', 'id']
  const { code, error } = await kintsugiFailure([...load, '--backend', 'btree'])
  expect([code, error.code]).toEqual([6, 'KINTSUGI_BACKEND_MISMATCH'])
  expect((await kintsugiJson(...load, '--backend', 'lsm')).added).toBe(360)
  expect((await kintsugiJson('stats', store)).backend).toBe('lsm')
})
