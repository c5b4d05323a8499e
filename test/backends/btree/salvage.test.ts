import { describe, expect, it } from 'vitest'
import { BtreeBackend } from '../../../dist/backends/btree/btree-backend.js'
import { salvageTree } from '../../../dist/backends/btree/salvage.js'
import { compareBytes } from '../../../dist/base/bytes.js'
import { SeededRandom } from '../../../dist/base/random.js'
import type { SalvageReport } from '../../../dist/backend/backend.js'
import type { MemVfs } from '../../../dist/vfs/mem-vfs.js'
import { zeroBlock } from '../../helpers/damage.js'
import { contextOf, everything, Pair, readAll } from './tree-harness.js'

const path = '/tree/tree.pages'
const pageBytes = 4096
const silent = { report: () => undefined, signal: undefined }
const logSynced = () => Promise.resolve()

/** All values that keys ever had, by key as hexadecimal. */
type History = Map<string, Buffer[]>

async function build(seed: number): Promise<{ pair: Pair; history: History }> {
  const random = new SeededRandom(seed)
  const pair = await Pair.create()
  const history: History = new Map()
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 250; i++) {
      const index = random.below(600)
      const key = Buffer.alloc(index % 60 === 0 ? 2500 : 12, 1)
      key.writeUInt32BE(index)
      key.writeUInt32BE(index, key.length - 4)
      const value = Buffer.alloc(random.below(20) === 0 ? 7000 : 80)
      random.fill(value)
      if (random.below(6) === 0) await pair.apply([{ type: 'del', key }])
      else {
        await pair.apply([{ type: 'put', key, value }])
        const hex = key.toString('hex')
        history.set(hex, [...(history.get(hex) ?? []), value])
      }
    }
    await pair.backend.persist(logSynced)
  }
  await pair.backend.close()
  return { pair, history }
}

async function salvage(disk: MemVfs): Promise<{
  report: SalvageReport
  entries: { key: Buffer; value: Buffer }[]
}> {
  disk.mkdirSync('/new')
  const context = { ...contextOf(disk), directory: '/new' }
  const report = await salvageTree('/tree', context, silent)
  const backend = await BtreeBackend.open(context)
  expect(await backend.verify('comprehensive', silent)).toEqual([])
  expect(backend.appliedSeq).toBe(report.seq)
  const view = backend.readView()
  const entries = readAll(view.cursor(everything(false)))
  view.close()
  await backend.close()
  expect(report.entries).toBe(entries.length)
  return { report, entries }
}

function isWithin(
  ranges: readonly { lowKey: Uint8Array | undefined; highKey: Uint8Array | undefined }[],
  key: Buffer
): boolean {
  return ranges.some(
    ({ lowKey, highKey }) =>
      (lowKey === undefined || compareBytes(key, lowKey) >= 0) &&
      (highKey === undefined || compareBytes(key, highKey) < 0)
  )
}

describe('the salvage of a B+ tree', () => {
  it('copies a sound file entry by entry', async () => {
    const { pair } = await build(1)
    const { report, entries } = await salvage(pair.vfs)
    expect(entries).toEqual(pair.model.entries)
    expect(report).toMatchObject({ seq: pair.seq, lost: [], possiblyStale: [], findings: [] })
  })

  it('says that all is lost where there is no file', async () => {
    const { pair } = await build(1)
    pair.vfs.unlinkSync(path)
    const { report, entries } = await salvage(pair.vfs)
    expect(entries).toEqual([])
    expect(report.lost).toHaveLength(1)
  })

  it('reports every key that is missing or old, whatever pages are gone', async () => {
    let missing = 0
    let old = 0
    for (let seed = 1; seed <= 4; seed++) {
      const { pair, history } = await build(seed)
      const random = new SeededRandom(seed * 31)
      const pages = pair.vfs.statSync(path)!.sizeBytes / pageBytes
      for (let run = 0; run < 12; run++) {
        const disk = pair.vfs.killClone().crashClone('everything')
        const gone = Array.from({ length: 1 + random.below(25) }, () => random.below(pages))
        for (const page of gone) zeroBlock(disk, path, page * pageBytes, pageBytes)
        const what = `seed ${seed}, run ${run}, pages ${gone.join()}`
        const { report, entries } = await salvage(disk)
        const found = new Map(entries.map(({ key, value }) => [key.toString('hex'), value]))
        for (const { key, value } of entries) {
          const values = history.get(key.toString('hex')) ?? []
          expect(
            values.some((known) => known.equals(value)),
            what
          ).toBe(true)
        }
        // The log brings an older state up to date, so only the newest is compared with the model.
        if (report.seq !== pair.seq) continue
        for (const { key, value } of pair.model.entries) {
          const there = found.get(key.toString('hex'))
          if (there?.equals(value)) continue
          if (there === undefined) {
            missing++
            expect(isWithin([...report.lost, ...report.possiblyStale], key), what).toBe(true)
          } else {
            old++
            expect(isWithin(report.possiblyStale, key), what).toBe(true)
          }
        }
        for (const { key } of entries) {
          if (pair.model.get(key) === undefined) {
            expect(isWithin(report.possiblyStale, key), what).toBe(true)
          }
        }
      }
    }
    expect(missing).toBeGreaterThan(20)
    expect(old).toBeGreaterThan(5)
  })
})
