import { join } from 'node:path'
import { expect, test } from 'vitest'
import { kintsugi, kintsugiJson, sailingStore, workspace } from './workspace.js'

async function keys(store: string, ...args: string[]): Promise<string[]> {
  const { code, stdout } = await kintsugi(['scan', store, '--json', ...args])
  expect(code).toBe(0)
  const lines = stdout.toString().split('\n').filter(Boolean)
  return lines.map((line) => JSON.parse(line).key)
}

test('scan prints a range in key order, either way', async () => {
  const store = join(workspace(), 'store')
  await kintsugiJson('init', store)
  for (const key of ['b', 'a', 'ab', 'c', 'd']) await kintsugiJson('put', store, key, `v${key}`)
  expect(await keys(store)).toEqual(['a', 'ab', 'b', 'c', 'd'])
  expect(await keys(store, '--gte', 'ab', '--lt', 'd')).toEqual(['ab', 'b', 'c'])
  expect(await keys(store, '--gt', 'ab', '--lte', 'd')).toEqual(['b', 'c', 'd'])
  expect(await keys(store, '--reverse', '--limit', '2')).toEqual(['d', 'c'])
  expect(await keys(store, '--prefix', 'a')).toEqual(['a', 'ab'])
  expect(await keys(store, '--prefix', 'a', '--gt', 'a')).toEqual(['ab'])
  expect(await keys(store, '--limit', '0')).toEqual([])
})

test('scan by parts gives exactly the keys whose first parts are these', async () => {
  const store = await sailingStore(workspace())
  // There is a line A and a line A1, so the first letter is not enough.
  const found = await keys(store, '--prefix', 'A', '--parts')
  expect(found.length).toBeGreaterThan(0)
  expect(found.every((key) => key.startsWith('A\0'))).toBe(true)
  expect(await kintsugiJson('count', store, '--prefix', 'A', '--parts')).toEqual({
    count: found.length
  })
})

test('scan shows one readable line per entry, whatever bytes there are', async () => {
  const store = join(workspace(), 'store')
  await kintsugiJson('init', store)
  await kintsugiJson('put', store, 'lines', 'one\ntwo\ttab \\ ☂')
  await kintsugiJson('put', store, 'ff00', 'fe', '--key-encoding', 'hex', '--value-encoding', 'hex')
  const { stdout } = await kintsugi(['scan', store])
  expect(stdout.toString().split('\n')).toEqual([
    'lines             one\\ntwo\\ttab \\\\ ☂',
    '0xff00            0xfe',
    ''
  ])
})

test('scan refuses bounds that contradict each other, and numbers that are none', async () => {
  const store = join(workspace(), 'store')
  await kintsugiJson('init', store)
  expect((await kintsugi(['scan', store, '--gt', 'a', '--gte', 'a'])).code).toBe(2)
  expect((await kintsugi(['scan', store, '--limit', '-1'])).code).toBe(2)
  expect((await kintsugi(['scan', store, '--limit', 'many'])).code).toBe(2)
})
