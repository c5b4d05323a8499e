import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { kintsugiJson, workspace } from './workspace.js'

test('benchmark measures every case and leaves nothing behind', async () => {
  const directory = workspace()
  const { keys, measurements } = await kintsugiJson(
    'benchmark',
    '--keys',
    '2000',
    '--directory',
    directory
  )
  expect(keys).toBe(2000)
  const names = measurements.map(({ name }: { name: string }) => name)
  expect(names).toContain('durable put, one writer')
  for (const { perSecond } of measurements) expect(perSecond).toBeGreaterThan(0)
  expect(readdirSync(directory)).toEqual([])
})
