import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../dist/base/random.js'
import { exportLevelDb, importLevelDb, open } from '../../dist/index.js'
import type { TransferReport } from '../../dist/transfer/transfer.js'
import { loadNativeBinding } from '../../dist/native-binding.js'
import { failureCode, useStores } from '../helpers/store.js'
import { contentsOf, linesOf, makeStore, someEntries } from './stores.js'

const stores = useStores()
const script = fileURLToPath(new URL('copier.mjs', import.meta.url))
const entries = someEntries(30_000, 12, 200)
const kills = 7

type Run = { readonly killed: true } | { readonly killed: false; readonly report: TransferReport }

/** Runs a copy in a process of its own and kills it at its n-th report, or lets it end before. */
async function run(args: readonly string[], killAt: number, delayMs: number): Promise<Run> {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (data) => {
    output += data
    if (output.split('\n').length <= killAt) return
    setTimeout(() => child.kill('SIGKILL'), delayMs)
  })
  const [code] = await once(child, 'close')
  const last = output.trim().split('\n').at(-1) ?? ''
  if (last.startsWith('{')) return { killed: false, report: JSON.parse(last) }
  expect(code).toBeNull()
  return { killed: true }
}

// Without the addon a killed process leaves its lock, which somebody has to clear.
describe.runIf(loadNativeBinding() !== undefined)('a copy in a process that is killed', () => {
  it.each([
    ['migrate', 'btree', 'lsm'],
    ['migrate', 'lsm', 'btree'],
    ['exportLevelDb', 'btree', 'leveldb'],
    ['importLevelDb', 'leveldb', 'lsm']
  ] as const)(
    '%s from %s to %s goes on each time, until both sides are the same',
    async (name, from, to) => {
      const directory = stores.directory()
      const [a, b] = [join(directory, 'a'), join(directory, 'b')]
      const made = from === 'leveldb' ? join(directory, 'made') : a
      await makeStore(made, entries, { backend: from === 'leveldb' ? 'btree' : from })
      if (from === 'leveldb') await exportLevelDb(made, a)
      const args = [name, a, b, JSON.stringify(to === 'leveldb' ? {} : { backend: to })]
      const random = new SeededRandom(name.length + from.length)
      let resumed = 0
      let killed = 0
      for (let attempt = 0; killed < kills && attempt < 40; attempt++) {
        const outcome = await run(args, 1 + random.below(9), random.below(40))
        if (outcome.killed) {
          killed++
          if (!fs.existsSync(join(b, 'UNFINISHED-COPY'))) continue
          expect(await failureCode(() => open(b))).toBe('KINTSUGI_UNFINISHED_COPY')
          continue
        }
        expect(outcome.report.entries).toBe(entries.length)
        if (outcome.report.resumed) resumed++
        fs.rmSync(b, { recursive: true })
      }
      fs.rmSync(b, { recursive: true, force: true })
      // The last one is killed once and then finished, whatever came before.
      expect(await run(args, 3, 5)).toEqual({ killed: true })
      const { report } = (await run(args, Infinity, 0)) as Extract<Run, { killed: false }>
      expect(report.entries).toBe(entries.length)
      // By the third report two batches were written, which a kill leaves there.
      expect(report.resumed).toBe(true)
      const store = to === 'leveldb' ? join(directory, 'read') : b
      if (to === 'leveldb') await importLevelDb(b, store)
      expect(await contentsOf(store)).toEqual(linesOf(entries))
      console.log(`${name} ${from} to ${to}: killed ${killed + 1} times, ${resumed} finished later`)
      expect(killed).toBe(kills)
    }
  )
})
