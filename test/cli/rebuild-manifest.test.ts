import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { directoryDigest } from './damage.js'
import {
  eventStore,
  kintsugi,
  kintsugiFailure,
  kintsugiJson,
  sailingStore,
  workspace
} from './workspace.js'

test('rebuild-manifest of a store that has none says so, and changes nothing', async () => {
  const store = await sailingStore(workspace())
  const before = directoryDigest(store)
  for (const options of [['--dry-run'], []]) {
    const { code, error } = await kintsugiFailure(['rebuild-manifest', store, ...options])
    expect([code, error.code]).toEqual([6, 'KINTSUGI_BACKEND_MISMATCH'])
    expect(directoryDigest(store)).toEqual(before)
  }
})

test.each(['CURRENT', 'manifest'])(
  'rebuild-manifest brings a store back whose %s is lost, every entry included',
  async (lost) => {
    const store = await eventStore(workspace())
    const whole = await kintsugi(['export', store])
    rmSync(join(store, 'lsm-1', lost), { recursive: true })
    expect((await kintsugi(['get', store, 'e000001'])).code).toBe(3)
    const before = directoryDigest(store)
    const dry = await kintsugiJson('rebuild-manifest', store, '--dry-run')
    expect(dry).toMatchObject({ dryRun: true, rebuilt: true, lost: [], possiblyStale: [] })
    expect(directoryDigest(store)).toEqual(before)
    const { stdout } = await kintsugi(['rebuild-manifest', store, '--dry-run'])
    expect(stdout.toString()).toContain(`next: kintsugi rebuild-manifest ${store}`)

    const report = await kintsugiJson('rebuild-manifest', store)
    expect(report).toMatchObject({ dryRun: false, rebuilt: true, lost: [], lostCommits: [] })
    expect(existsSync(report.quarantine)).toBe(true)
    expect((await kintsugi(['export', store])).stdout).toEqual(whole.stdout)
    expect(await kintsugiJson('export-manifest', store)).toMatchObject({ source: 'manifest' })
  }
)

test('rebuild-manifest of a whole store gives the same store', async () => {
  const store = await eventStore(workspace())
  const whole = await kintsugi(['export', store])
  expect(await kintsugiJson('rebuild-manifest', store)).toMatchObject({ rebuilt: true, lost: [] })
  expect((await kintsugi(['export', store])).stdout).toEqual(whole.stdout)
})
