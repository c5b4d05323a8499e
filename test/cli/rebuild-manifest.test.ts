import { expect, test } from 'vitest'
import { directoryDigest } from './damage.js'
import { kintsugiFailure, sailingStore, workspace } from './workspace.js'

test('rebuild-manifest of a store that has none says so, and changes nothing', async () => {
  const store = await sailingStore(workspace())
  const before = directoryDigest(store)
  for (const options of [['--dry-run'], []]) {
    const { code, error } = await kintsugiFailure(['rebuild-manifest', store, ...options])
    expect([code, error.code]).toEqual([1, 'KINTSUGI_NOT_SUPPORTED'])
    expect(directoryDigest(store)).toEqual(before)
  }
})
