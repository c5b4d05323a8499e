import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { kintsugi, kintsugiFailure, kintsugiJson, workspace } from './workspace.js'

test('put sets and replaces a value', async () => {
  const store = join(workspace(), 'store')
  await kintsugiJson('init', store)
  const done = await kintsugiJson('put', store, 'k', 'one')
  expect(done).toEqual({ key: 'k', valueBytes: 3, durability: 'sync' })
  await kintsugiJson('put', store, 'k', 'two', '--durability', 'os')
  expect((await kintsugiJson('get', store, 'k')).value).toBe('two')
})

test('put takes the value from a file or from standard input, byte for byte', async () => {
  const directory = workspace()
  const store = join(directory, 'store')
  await kintsugiJson('init', store)
  const value = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
  writeFileSync(join(directory, 'value'), value)
  await kintsugiJson('put', store, 'file', '--value-file', join(directory, 'value'))
  expect((await kintsugi(['put', store, 'input', '--value-file', '-'], value)).code).toBe(0)
  for (const key of ['file', 'input']) {
    expect((await kintsugi(['get', store, key])).stdout).toEqual(value)
  }
})

test('put wants exactly one value', async () => {
  const store = join(workspace(), 'store')
  await kintsugiJson('init', store)
  expect((await kintsugiFailure(['put', store, 'k'])).code).toBe(2)
  expect((await kintsugiFailure(['put', store, 'k', 'v', '--value-file', '-'])).code).toBe(2)
  expect(await kintsugiJson('count', store)).toEqual({ count: 0 })
})

test('put refuses a key that is too long and writes nothing', async () => {
  const store = join(workspace(), 'store')
  await kintsugiJson('init', store)
  const { code, error } = await kintsugiFailure(['put', store, 'k'.repeat(65_536), 'v'])
  expect([code, error.code]).toEqual([2, 'KINTSUGI_KEY_TOO_LARGE'])
  expect(await kintsugiJson('count', store)).toEqual({ count: 0 })
})

test('put does not create a store, so a misspelled path is told', async () => {
  const { code, error } = await kintsugiFailure(['put', join(workspace(), 'stroe'), 'k', 'v'])
  expect([code, error.code]).toEqual([6, 'KINTSUGI_STORE_MISSING'])
})
