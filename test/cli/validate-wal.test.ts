import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runImport } from '../../scripts/kill-import.mjs'
import { overwrite } from './damage.js'
import { kintsugi, kintsugiJson, lighthouseStore, samples, workspace } from './workspace.js'

test('validate-wal finds nothing in the log of a good store', async () => {
  const store = await lighthouseStore(workspace())
  expect(await kintsugiJson('validate-wal', store)).toMatchObject({ ok: true, findings: [] })
})

test('validate-wal ends with 3 where acknowledged commits in the log are damaged', async () => {
  const store = join(workspace(), 'damaged')
  const file = join(samples, 'lighthouses.csv')
  const kill = { afterRows: 300 }
  const { signal } = await runImport(file, store, ['--key', 'id'], 10, kill)
  expect(signal).toBe('SIGKILL')
  const wal = join(store, 'wal')
  const [first] = readdirSync(wal).toSorted()
  // Behind the header and in the first of many commits, so later ones prove that it was synced.
  overwrite(join(wal, first), 1024, 16)
  const { code, stdout } = await kintsugi(['validate-wal', store, '--json'])
  expect(code).toBe(3)
  const { findings } = JSON.parse(stdout.toString())
  expect(findings[0]).toMatchObject({ severity: 'error' })
})
