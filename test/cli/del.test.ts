import { join } from 'node:path'
import { expect, test } from 'vitest'
import { kintsugi, kintsugiJson, workspace } from './workspace.js'

test('del removes keys and says which were there', async () => {
  const store = join(workspace(), 'store')
  await kintsugiJson('init', store)
  for (const key of ['a', 'b', 'c']) await kintsugiJson('put', store, key, key)
  expect(await kintsugiJson('del', store, 'a', 'x', 'c')).toEqual({
    deleted: 2,
    keys: [
      { key: 'a', existed: true },
      { key: 'x', existed: false },
      { key: 'c', existed: true }
    ]
  })
  const left = await kintsugi(['scan', store, '--json'])
  expect(left.stdout.toString()).toBe('{"key":"b","value":"b"}\n')
})

test('del with one malformed key removes none', async () => {
  const store = join(workspace(), 'store')
  await kintsugiJson('init', store)
  await kintsugiJson('put', store, 'ab', 'v', '--key-encoding', 'hex')
  expect((await kintsugi(['del', store, 'ab', 'xy', '--key-encoding', 'hex'])).code).toBe(2)
  expect(await kintsugiJson('count', store)).toEqual({ count: 1 })
})
