import { expect, test } from 'vitest'
import { kintsugi, kintsugiJson, lighthouseStore, workspace } from './workspace.js'

test('count counts all keys, or those of a range', async () => {
  const store = await lighthouseStore(workspace())
  expect(await kintsugiJson('count', store)).toEqual({ count: 360 })
  const low = (await kintsugiJson('count', store, '--lt', '5')).count
  const high = (await kintsugiJson('count', store, '--gte', '5')).count
  expect(low).toBeGreaterThan(0)
  expect(low + high).toBe(360)
  expect((await kintsugi(['count', store])).stdout.toString()).toBe('360\n')
})
