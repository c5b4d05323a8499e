import { join } from 'node:path'
import { expect, test } from 'vitest'
import { backendNames } from '../../dist/backends/registry.js'
import { open } from '../../dist/index.js'
import { killedStore } from './damage.js'
import { kintsugi, kintsugiFailure, kintsugiJson, workspace } from './workspace.js'

test.each(backendNames)('flush brings what a crash left in the log into %s', async (backend) => {
  const store = join(workspace(), 'store')
  killedStore(store, backend)
  const flushed = await kintsugiJson('flush', store)
  expect(flushed).toMatchObject({ store, seq: 3, durableSeq: 3, replayedCommits: 3 })
  expect(await kintsugiJson('flush', store)).toMatchObject({ durableSeq: 3, replayedCommits: 0 })
  const again = await open(store, { readOnly: true })
  expect(again.recovery.replayedCommits).toBe(0)
  expect(String(again.getSync('k2'))).toBe('v2')
  await again.close()
  const { stdout } = await kintsugi(['flush', store])
  expect(stdout.toString()).toMatch(/up to sequence number 3/)
})

test('flush of a path without a store says so', async () => {
  const { code, error } = await kintsugiFailure(['flush', `${workspace()}/absent`])
  expect([code, error.code]).toEqual([6, 'KINTSUGI_STORE_MISSING'])
})
