import { beforeAll, describe, expect, it } from 'vitest'
import { SeededRandom } from '../../../../dist/base/random.js'
import type { MemVfs } from '../../../../dist/vfs/mem-vfs.js'
import * as damage from '../../../helpers/damage.js'
import { Tally } from '../../../helpers/repair-losses.js'
import {
  filesOf,
  makeSpecimen,
  type Outcome,
  repairAndJudge,
  type Specimen
} from './repair-harness.js'

const timeoutMs = 280_000

let specimen: Specimen

beforeAll(async () => {
  specimen = await makeSpecimen({ seed: 11, commits: 1200, closed: false })
})

async function attempt(
  inflict: (vfs: MemVfs) => string,
  plan: { rebuildManifest?: boolean } = {}
): Promise<Outcome> {
  const vfs = specimen.vfs.crashClone('everything')
  let what = 'nothing yet'
  try {
    what = inflict(vfs)
    return await repairAndJudge(specimen, vfs, plan)
  } catch (error) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
    throw new Error(`${what}: ${message}`, { cause: error })
  }
}

function tables(): string[] {
  return filesOf(specimen.vfs, /\.sst$/)
}

const sizeOf = (file: string): number => specimen.vfs.medium.read(file).length

describe('a repair of an LSM store', () => {
  it('has something to work on', () => {
    expect(tables().length).toBeGreaterThan(5)
    expect(filesOf(specimen.vfs, /manifest\//).length).toBeGreaterThan(0)
  })

  it('leaves an undamaged one alone, and rebuilds its manifest without loss', async () => {
    const { report } = await attempt(() => 'nothing')
    expect(report).toMatchObject({ rebuilt: false, findings: [], lost: [], possiblyStale: [] })
    const rebuilt = await attempt(() => 'nothing', { rebuildManifest: true })
    expect(rebuilt.report).toMatchObject({ rebuilt: true, lost: [], possiblyStale: [] })
    expect(rebuilt).toMatchObject({ missing: 0, stale: 0 })
  })

  it(
    'names what a bit or a sector of a table took away, and keeps the rest',
    async () => {
      const tally = new Tally()
      for (const [index, file] of tables().entries()) {
        const random = new SeededRandom(index)
        for (let i = 0; i < 6; i++) {
          const bit = random.below(sizeOf(file) * 8)
          tally.add(await attempt((vfs) => damage.flipBit(vfs, file, bit)))
          const at = random.below(Math.ceil(sizeOf(file) / 512)) * 512
          tally.add(await attempt((vfs) => damage.zeroBlock(vfs, file, at)))
        }
        for (const behind of [1, 100, 300, 700, 1500]) {
          const bit = (sizeOf(file) - Math.min(behind, sizeOf(file))) * 8
          tally.add(await attempt((vfs) => damage.flipBit(vfs, file, bit)))
        }
      }
      console.log('tables, bits and sectors', JSON.stringify(tally))
      expect(tally.rebuilt).toBeGreaterThan(100)
      expect(tally.missing).toBeGreaterThan(50)
    },
    timeoutMs
  )

  it(
    'names what swapped, stale and cut blocks of tables took away',
    async () => {
      const tally = new Tally()
      for (const [index, file] of tables().entries()) {
        const random = new SeededRandom(100 + index)
        const blocks = Math.ceil(sizeOf(file) / 512)
        for (let i = 0; i < 5; i++) {
          const [one, other] = [random.below(blocks) * 512, random.below(blocks) * 512]
          tally.add(await attempt((vfs) => damage.swapBlocks(vfs, file, one, other)))
          const from = random.pick(tables())
          const at = random.below(Math.min(blocks, Math.ceil(sizeOf(from) / 512))) * 512
          tally.add(await attempt((vfs) => blockOf(vfs, from, file, at)))
          const cut = random.below(sizeOf(file))
          tally.add(await attempt((vfs) => damage.truncate(vfs, file, cut)))
        }
      }
      console.log('tables, swapped and cut', JSON.stringify(tally))
      expect(tally.rebuilt).toBeGreaterThan(50)
      expect(tally.missing).toBeGreaterThan(50)
    },
    timeoutMs
  )

  it(
    'names what missing, foreign, exchanged and older tables took away',
    async () => {
      const tally = new Tally()
      const foreign = await makeSpecimen({ seed: 12, commits: 1200, closed: false })
      const [any] = filesOf(foreign.vfs, /\.sst$/)
      for (const [index, file] of tables().entries()) {
        tally.add(await attempt((vfs) => damage.remove(vfs, file)))
        tally.add(await attempt((vfs) => put(vfs, file, foreign.vfs.medium.read(any!))))
        const other = tables()[(index + 1) % tables().length]!
        tally.add(await attempt((vfs) => damage.swapFiles(vfs, file, other)))
        tally.add(await attempt((vfs) => put(vfs, file, specimen.vfs.medium.read(other))))
        tally.add(await attempt((vfs) => put(vfs, file, Buffer.alloc(0))))
      }
      console.log('tables, missing and foreign', JSON.stringify(tally))
      expect(tally.rebuilt).toBe(tally.cases)
      expect(tally.missing).toBeGreaterThan(50)
    },
    timeoutMs
  )

  it(
    'makes a damaged or missing manifest again from the tables, without loss',
    async () => {
      const tally = new Tally()
      const files = filesOf(specimen.vfs, /CURRENT|manifest\//)
      for (const [index, file] of files.entries()) {
        const random = new SeededRandom(200 + index)
        const size = sizeOf(file)
        tally.add(await attempt((vfs) => damage.remove(vfs, file)))
        tally.add(await attempt((vfs) => damage.truncate(vfs, file, random.below(size))))
        for (let i = 0; i < 10; i++) {
          const bit = random.below(size * 8)
          tally.add(await attempt((vfs) => damage.flipBit(vfs, file, bit)))
          const at = random.below(Math.ceil(size / 512)) * 512
          tally.add(await attempt((vfs) => damage.zeroBlock(vfs, file, at)))
        }
        if (specimen.older.statSync(file) === undefined) continue
        tally.add(await attempt((vfs) => damage.restoreStaleFile(vfs, specimen.older, file)))
      }
      tally.add(await attempt((vfs) => removeAll(vfs, /CURRENT|manifest\//)))
      tally.add(await attempt((vfs) => staleManifest(vfs)))
      console.log('manifest', JSON.stringify(tally))
      expect(tally.rebuilt).toBeGreaterThan(10)
      expect(tally).toMatchObject({ missing: 0, stale: 0 })
    },
    timeoutMs
  )

  it(
    'without manifest names what damaged tables took away',
    async () => {
      const tally = new Tally()
      for (const [index, file] of tables().entries()) {
        const random = new SeededRandom(300 + index)
        const spoil = (vfs: MemVfs) => removeAll(vfs, /CURRENT/)
        for (let i = 0; i < 6; i++) {
          const bit = random.below(sizeOf(file) * 8)
          tally.add(await attempt((vfs) => spoil(vfs) + damage.flipBit(vfs, file, bit)))
          const at = random.below(Math.ceil(sizeOf(file) / 512)) * 512
          tally.add(await attempt((vfs) => spoil(vfs) + damage.zeroBlock(vfs, file, at)))
          const cut = random.below(sizeOf(file))
          tally.add(await attempt((vfs) => spoil(vfs) + damage.truncate(vfs, file, cut)))
        }
        for (const behind of [1, 100, 300, 700]) {
          const bit = (sizeOf(file) - Math.min(behind, sizeOf(file))) * 8
          tally.add(await attempt((vfs) => spoil(vfs) + damage.flipBit(vfs, file, bit)))
        }
      }
      console.log('tables without manifest', JSON.stringify(tally))
      expect(tally.missing).toBeGreaterThan(50)
    },
    timeoutMs
  )
})

function blockOf(vfs: MemVfs, from: string, to: string, at: number): string {
  const bytes = vfs.medium.read(from).subarray(at, Math.min(at + 512, sizeOf(to)))
  vfs.medium.overwrite(to, bytes, at)
  return `512 bytes at ${at} of ${from} put into ${to}`
}

function put(vfs: MemVfs, file: string, bytes: Uint8Array): string {
  vfs.medium.resize(file, 0)
  vfs.medium.overwrite(file, bytes, 0)
  return `${file} replaced`
}

function removeAll(vfs: MemVfs, pattern: RegExp): string {
  for (const file of filesOf(vfs, pattern)) damage.remove(vfs, file)
  return `${pattern.source} removed `
}

/** CURRENT and manifest as they were before: nothing about them is damaged. */
function staleManifest(vfs: MemVfs): string {
  for (const file of filesOf(vfs, /manifest\//)) damage.remove(vfs, file)
  for (const file of filesOf(specimen.older, /CURRENT|manifest\//)) {
    const bytes = specimen.older.medium.read(file)
    if (vfs.statSync(file) === undefined) vfs.openSync(file, 'create').closeSync()
    put(vfs, file, bytes)
  }
  return 'the whole manifest put back to an older version'
}
