import { beforeAll, describe, expect, it } from 'vitest'
import { SeededRandom } from '../../../../dist/base/random.js'
import type { MemVfs } from '../../../../dist/vfs/mem-vfs.js'
import * as damage from '../../../helpers/damage.js'
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

/** Sums over the cases, so that a campaign that harms nothing is noticed. */
class Tally {
  cases = 0
  rebuilt = 0
  missing = 0
  stale = 0
  reported = 0

  add({ report, missing, stale }: Outcome): void {
    this.cases++
    if (report.rebuilt) this.rebuilt++
    if (report.lost.length + report.possiblyStale.length > 0) this.reported++
    this.missing += missing
    this.stale += stale
  }
}

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
})
