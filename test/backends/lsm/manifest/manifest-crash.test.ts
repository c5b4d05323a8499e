import { afterAll, describe, expect, it } from 'vitest'
import { Manifest } from '../../../../dist/backends/lsm/manifest/manifest.js'
import { settleTableFiles } from '../../../../dist/backends/lsm/manifest/table-files.js'
import { tableName } from '../../../../dist/backends/lsm/table-meta.js'
import { SeededRandom } from '../../../../dist/base/random.js'
import type { Fault, FaultPlan, FaultRule } from '../../../../dist/vfs/fault-plan.js'
import { FaultVfs } from '../../../../dist/vfs/fault-vfs.js'
import { SeededScheduler } from '../../../../dist/vfs/mem-scheduler.js'
import { MemVfs } from '../../../../dist/vfs/mem-vfs.js'
import {
  exploreCrashes,
  type CheckContext,
  type ExplorerOptions
} from '../../../helpers/crash-explorer.js'
import { contextOf, directory, stateOf, tableOf } from './fixture.js'
import { checkState, type Fact, footerReader, ManifestUser } from './manifest-user.js'

let states = 0
let rolls = 0
let failures = 0

afterAll(() => {
  console.log(`manifest: ${states} crash states, ${rolls} rolls, ${failures} failed operations`)
})

/** Opens a crash state, compares it with what was promised, and goes on with it. */
async function check(clone: MemVfs, context: CheckContext<Fact>, isExact: boolean) {
  const { acknowledged, attempted, recovered } = context
  if (acknowledged.length === 0) return // being created: the store builds it again
  const backendContext = contextOf(clone, { epoch: 1000 + context.depth })
  const manifest = await Manifest.open(backendContext)
  const wrong = checkState(manifest.version, acknowledged, attempted)
  expect(wrong).toBeUndefined()
  const files = await settleTableFiles(backendContext, manifest, footerReader(clone))
  recovered()

  expect(files.damaged).toEqual([])
  // This user does not repeat jobs that failed, so their outputs may be left unexplained.
  if (isExact) expect(files.quarantined).toEqual([])
  const { version } = manifest
  const kept = [...version.tables(), ...version.obsolete].map(({ number }) => tableName(number))
  const present = clone.readdirSync(directory).filter((name) => name.endsWith('.sst'))
  expect(kept).toEqual(expect.arrayContaining(present))
  expect(clone.readdirSync(directory).filter((name) => name.includes('.sst.'))).toEqual([])
  await goOn(clone, manifest, files.nextTable)
}

/** What an opened manifest acknowledges survives the next power cut. */
async function goOn(clone: MemVfs, manifest: Manifest, nextTable: number): Promise<void> {
  for (let i = 0; i < 2; i++) await manifest.append({ added: [tableOf(nextTable + i)] })
  const again = await Manifest.open(contextOf(clone.crashClone('nothing'), { epoch: 2000 }))
  expect(stateOf(again.version)).toBe(stateOf(manifest.version))
  await manifest.close(true)
  const closed = await Manifest.open(contextOf(clone.crashClone('nothing'), { epoch: 2001 }))
  expect(stateOf(closed.version)).toBe(stateOf(manifest.version))
  expect(closed.recovery?.clean).toBe(true)
}

/** A failure of some kind at about every n-th operation on the manifest's files and names. */
function faultPlan(random: SeededRandom, everyNth: number, count: number): FaultPlan {
  const plan: FaultRule[] = []
  for (let nth = 40, i = 0; i < count; i++) {
    nth += 1 + random.below(everyNth * 2)
    const fault: Fault = random.chance(1, 4)
      ? { kind: 'short-write', lengthBytes: random.below(300), errno: 'EIO' }
      : { kind: 'error', errno: random.pick(['EIO', 'ENOSPC']), afterEffect: random.chance(1, 3) }
    plan.push({ operation: 'mutation', path: '/lsm*', nth, fault })
  }
  return plan
}

async function explore(
  seed: number,
  steps: number,
  more: Partial<ExplorerOptions<Fact>> = {},
  withFaults = false
) {
  const report = await exploreCrashes<Fact>({
    seed,
    history: async (context) => {
      const random = new SeededRandom(seed)
      const plan = withFaults ? faultPlan(random, 14, 40) : []
      const user = new ManifestUser(new FaultVfs(context.vfs, plan), random, context)
      await user.create()
      for (let i = 0; i < steps; i++) {
        await context.step(`step ${i}`)
        if (random.below(16) === 0) await user.reopen()
        else await user.act()
      }
      rolls += user.rolls
      failures += user.failures
    },
    check: (clone, context) => check(clone, context, !withFaults),
    fixedFates: ['n', 'e', 'k'],
    randomFates: 2,
    ...more
  })
  states += report.states
  return report
}

describe('a power cut at any moment', () => {
  it.each([1, 2, 3, 4])(
    'leaves acknowledged edits, in order, and their tables (history %i)',
    async (seed) => {
      const report = await explore(seed, 60, { everyNth: 9 })
      expect(report.states).toBeGreaterThan(100)
    }
  )

  it.each([11, 12, 13])('the same while threads and loop interleave (history %i)', async (seed) => {
    const scheduler = (random: SeededRandom) => new SeededScheduler(random)
    const report = await explore(seed, 60, { scheduler, everyNth: 9 })
    expect(report.states).toBeGreaterThan(100)
  })

  it.each([21, 22, 23, 24, 25, 26])('the same when operations fail (history %i)', async (seed) => {
    const report = await explore(seed, 70, { everyNth: 9 }, true)
    expect(report.states).toBeGreaterThan(100)
  })

  it.each([31, 32])('the same when opening is interrupted (history %i)', async (seed) => {
    const nested = { everyNth: 6, fixedFates: ['k'] as const, randomFates: 1 }
    const report = await explore(seed, 40, { depth: 2, everyNth: 100, nested }, seed === 32)
    expect(report.statesByDepth).toHaveLength(3)
  })
})

describe('a fault at every operation', () => {
  it.each(['EIO', 'ENOSPC'] as const)('leaves one truth (%s)', async (errno) => {
    for (let nth = errno === 'EIO' ? 1 : 2, fired = true; fired; nth += 2) {
      const vfs = new MemVfs()
      const fault = { kind: 'error', errno, afterEffect: nth % 3 === 0 } as const
      const faults = new FaultVfs(vfs, [
        { operation: 'mutation', nth, times: 1 + (nth % 2), fault }
      ])
      const acknowledged: Fact[] = []
      const attempted: Fact[] = []
      const user = new ManifestUser(faults, new SeededRandom(5), {
        attempt: (fact) => void attempted.push(fact),
        acknowledge: (fact) => void acknowledged.push(fact)
      })
      try {
        await user.create()
        for (let i = 0; i < 30; i++) await (i % 10 === 9 ? user.reopen() : user.act())
      } catch (error) {
        // A creation that fails leaves nothing to check.
        if (acknowledged.length > 0) throw error
      }
      fired = faults.faults.fired.length > 0
      states++
      if (acknowledged.length === 0) continue
      const again = await Manifest.open(contextOf(vfs.crashClone('nothing'), { epoch: 1000 }))
      const wrong = checkState(again.version, acknowledged, attempted)
      expect(wrong, faults.faults.describe()).toBeUndefined()
    }
  })
})
