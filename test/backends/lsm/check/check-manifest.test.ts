import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { Finding } from '../../../../dist/backend/backend.js'
import { open } from '../../../../dist/index.js'

// A check read the manifest while an edit went to its next segment, which was not there yet when the
// check had looked for segments: one check in ten called a busy store damaged.
it('is no damage that edits are written while the manifest is checked', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'kintsugi-check-'))
  const store = await open(directory, {
    backend: 'lsm',
    walSegmentBytes: 65_536,
    memtableBytes: 16_384,
    blockBytes: 1024,
    compactionThreshold: 2,
    durability: 'memory'
  })
  let isBusy = true
  const writes = (async () => {
    for (let i = 0; isBusy; i++) {
      await store.put(`key${i % 50}${'-'.repeat(i % 2 === 0 ? 0 : 1500)}`, Buffer.alloc(200, i))
      if (i % 10 === 0) await store.persist()
    }
  })()
  const found: Finding[] = []
  for (let check = 0; check < 80; check++) found.push(...(await store.verify('basic')))
  isBusy = false
  await writes
  expect(found).toEqual([])
  await store.close()
  rmSync(directory, { recursive: true })
})
