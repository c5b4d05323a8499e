import { expect, test } from 'vitest'
import { kintsugi, kintsugiJson, lighthouseStore, workspace } from './workspace.js'

test('stats are figures, and say what opening did', async () => {
  const store = await lighthouseStore(workspace())
  const { stats, recovery } = await kintsugiJson('stats', store)
  expect(Object.values(stats).every((value) => typeof value === 'number')).toBe(true)
  expect(stats.seq).toBeGreaterThan(0)
  expect(recovery).toMatchObject({ clean: true, replayedCommits: 0, droppedBytes: 0 })
  const { stdout } = await kintsugi(['stats', store])
  expect(stdout.toString()).toMatch(/clean close before +yes/)
})
