import { join } from 'node:path'
import { expect, test } from 'vitest'
import { kintsugi, kintsugiFailure, kintsugiJson, sailingStore, workspace } from './workspace.js'

test('get prints exactly the bytes of the value', async () => {
  const store = join(workspace(), 'store')
  await kintsugiJson('init', store)
  await kintsugiJson('put', store, 'k', '00ff0a', '--value-encoding', 'hex')
  expect((await kintsugi(['get', store, 'k'])).stdout).toEqual(Buffer.from([0, 0xff, 0x0a]))
  const hex = await kintsugi(['get', store, 'k', '--value-encoding', 'hex'])
  expect(hex.stdout.toString()).toBe('00ff0a\n')
})

test('get as JSON has text where it can be and base64 where not', async () => {
  const store = join(workspace(), 'store')
  await kintsugiJson('init', store)
  await kintsugiJson('put', store, 'text', 'naïve')
  await kintsugiJson('put', store, '00ff', 'ff', '--key-encoding', 'hex', '--value-encoding', 'hex')
  expect(await kintsugiJson('get', store, 'text')).toEqual({ key: 'text', value: 'naïve' })
  expect(await kintsugiJson('get', store, 'AP8=', '--key-encoding', 'base64')).toEqual({
    keyBase64: 'AP8=',
    valueBase64: '/w=='
  })
})

test('get finds a composite key by its parts', async () => {
  const store = await sailingStore(workspace())
  const scan = await kintsugi(['scan', store, '--parts', '--limit', '1', '--json'])
  const { parts, value } = JSON.parse(scan.stdout.toString())
  const got = await kintsugiJson('get', store, parts.join(','), '--parts')
  expect(got).toMatchObject({ parts, value })
})

test('get of an absent key ends with 5 and prints nothing', async () => {
  const store = join(workspace(), 'store')
  await kintsugiJson('init', store)
  const { code, error } = await kintsugiFailure(['get', store, 'nobody'])
  expect([code, error.code]).toEqual([5, 'CLI_KEY_ABSENT'])
  expect((await kintsugi(['get', store, 'nobody'])).stdout).toHaveLength(0)
})

test('get refuses a key that is not of its encoding', async () => {
  const store = join(workspace(), 'store')
  await kintsugiJson('init', store)
  for (const [text, encoding] of [
    ['0', 'hex'],
    ['zz', 'hex'],
    ['a', 'base64']
  ]) {
    const { code } = await kintsugi(['get', store, text, '--key-encoding', encoding])
    expect(code).toBe(2)
  }
})

test('get where there is no store ends with 6 and creates none', async () => {
  const store = join(workspace(), 'nothing')
  for (let i = 0; i < 2; i++) {
    const { code, error } = await kintsugiFailure(['get', store, 'k'])
    expect([code, error.code]).toEqual([6, 'KINTSUGI_STORE_MISSING'])
  }
})
