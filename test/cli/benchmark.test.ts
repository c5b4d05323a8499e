import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { kintsugi, kintsugiFailure, kintsugiJson, workspace } from './workspace.js'

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

test('a directory that is not there is told in words', async () => {
  const args = ['benchmark', '--directory', `${workspace()}/absent`]
  const { code, error } = await kintsugiFailure(args)
  expect([code, error.code]).toEqual([1, 'CLI_FILE'])
  expect((await kintsugi(args)).stderr).not.toMatch(/\n\s+at /)
})
