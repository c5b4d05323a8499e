import { expect, test } from 'vitest'
import { styleFor } from '../../dist/cli/output.js'
import { levelsOf, levelsText, ratiosOf } from '../../dist/cli/stats-report.js'
import { eventStore, kintsugi, kintsugiJson, lighthouseStore, workspace } from './workspace.js'

test('stats are figures, and say what opening did', async () => {
  const store = await lighthouseStore(workspace())
  const { backend, stats, recovery } = await kintsugiJson('stats', store)
  expect(backend).toBe('btree')
  expect(Object.values(stats).every((value) => typeof value === 'number')).toBe(true)
  expect(stats.seq).toBeGreaterThan(0)
  expect(recovery).toMatchObject({ clean: true, replayedCommits: 0, droppedBytes: 0 })
  const { stdout } = await kintsugi(['stats', store])
  expect(stdout.toString()).toMatch(/clean close before +yes/)
  expect(stdout.toString()).not.toContain('write amp')
})

test('stats of an LSM store show its levels and what a read has to look into', async () => {
  const store = await eventStore(workspace())
  const { backend, stats, levels, readAmplification } = await kintsugiJson('stats', store)
  expect(backend).toBe('lsm')
  const files = levels.reduce((sum: number, level: { files: number }) => sum + level.files, 0)
  expect(files).toBe(stats.files)
  expect(readAmplification).toBeGreaterThan(0)
  const { stdout } = await kintsugi(['stats', store])
  expect(stdout.toString()).toMatch(/level +files +size +read amp/)
  expect(stdout.toString()).toMatch(new RegExp(`^ +all +${files} `, 'm'))
})

const figures = {
  entries: 7,
  level0Files: 3,
  level0Bytes: 3 * 1024 ** 2,
  level0ReadBytes: 0,
  level0WrittenBytes: 8 * 1024 ** 2,
  level1Files: 0,
  level1Bytes: 0,
  level2Files: 12,
  level2Bytes: 20 * 1024 ** 2,
  level2ReadBytes: 30 * 1024 ** 2,
  level2WrittenBytes: 28 * 1024 ** 2,
  cacheHits: 75,
  cacheMisses: 25,
  filterChecks: 200,
  filterUseful: 150,
  filterFalse: 3,
  slowdowns: 2,
  slowdownMs: 1500
}

test('levels and ratios come from the figures of the levels', () => {
  expect(levelsOf(figures)).toHaveLength(3)
  expect(levelsOf(figures)[2]).toEqual({
    level: 2,
    files: 12,
    bytes: 20 * 1024 ** 2,
    readBytes: 30 * 1024 ** 2,
    writtenBytes: 28 * 1024 ** 2
  })
  expect(ratiosOf(figures)).toEqual({
    readAmplification: 4,
    writeAmplification: 4.5,
    cacheHitRate: 0.75,
    filterSpared: 0.75,
    filterFalseRate: 3 / 153
  })
  expect(ratiosOf({ level0Files: 0, level0WrittenBytes: 0 })).toEqual({
    readAmplification: 0,
    writeAmplification: undefined,
    cacheHitRate: undefined,
    filterSpared: undefined,
    filterFalseRate: undefined
  })
  expect(levelsOf({ entries: 5, treeLevels: 2 })).toEqual([])
})

test('the table of levels has a line for each and one for all', () => {
  const text = levelsText(figures, styleFor(process.stdout, true))
  expect(text).toMatch(/^ +0 +3 +3.0 MiB +3 +0 bytes +8.0 MiB +1 ×$/m)
  expect(text).toMatch(/^ +2 +12 +20.0 MiB +1 +30.0 MiB +28.0 MiB +3.5 ×$/m)
  expect(text).toMatch(/^ +all +15 +23.0 MiB +4 +30.0 MiB +36.0 MiB +4.5 ×$/m)
  expect(text).not.toMatch(/^ +1 /m)
  expect(text).toMatch(/cache hits +75 %/)
  expect(text).toMatch(/writes slowed down +2 times, 1.5 s/)
  expect(levelsText({ entries: 5 }, styleFor(process.stdout, true))).toBe('')
})
