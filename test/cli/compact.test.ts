import { expect, test } from 'vitest'
import {
  eventStore,
  kintsugi,
  kintsugiFailure,
  kintsugiJson,
  lighthouseStore,
  workspace
} from './workspace.js'

test('compact counts no log files that are only set aside', async () => {
  const store = await lighthouseStore(workspace())
  await kintsugiJson('compact', store)
  const { diskBytes } = await kintsugiJson('stats', store)
  expect((await kintsugiJson('compact', store)).bytesBefore).toBe(diskBytes)
})

test('compact of a path without a store says so', async () => {
  const { code, error } = await kintsugiFailure(['compact', `${workspace()}/absent`])
  expect([code, error.code]).toEqual([6, 'KINTSUGI_STORE_MISSING'])
})

test('compact keeps every entry', async () => {
  const store = await lighthouseStore(workspace())
  const before = await kintsugi(['export', store])
  const { bytesBefore, bytesAfter } = await kintsugiJson('compact', store)
  expect(bytesBefore).toBeGreaterThan(0)
  expect(bytesAfter).toBeGreaterThan(0)
  expect((await kintsugi(['export', store])).stdout).toEqual(before.stdout)
})

test('compact of a level, where the store has none, says so', async () => {
  const store = await lighthouseStore(workspace())
  const { code, error } = await kintsugiFailure(['compact', store, '--level', '0'])
  expect([code, error.code]).toEqual([1, 'KINTSUGI_NOT_SUPPORTED'])
  expect((await kintsugiFailure(['compact', store, '--level', 'one'])).code).toBe(2)
})

test('compact of one level of an LSM store moves what it has to the next', async () => {
  const store = await eventStore(workspace())
  const before = await kintsugi(['export', store])
  const filesOf = async (level: number): Promise<number> =>
    (await kintsugiJson('stats', store)).levels[level].files
  // Whatever compacted by itself meanwhile: a fresh entry is in level 0.
  await kintsugiJson('put', store, 'e000000', 'new', '--profile', 'safe-mode')
  expect(await filesOf(0)).toBeGreaterThan(0)
  await kintsugiJson('compact', store, '--level', '0')
  expect(await filesOf(0)).toBe(0)
  await kintsugiJson('compact', store, '--profile', 'low-memory')
  const { levels, readAmplification } = await kintsugiJson('stats', store)
  expect(levels.filter(({ files }: { files: number }) => files > 0)).toHaveLength(1)
  expect(readAmplification).toBe(1)
  const lines = (output: Buffer): string[] => output.toString().split('\n').slice(1)
  const after = await kintsugi(['export', store])
  expect(lines(after.stdout)).toEqual(lines(before.stdout))
  expect(String((await kintsugi(['get', store, 'e000000'])).stdout)).toContain('new')
})
