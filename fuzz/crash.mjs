// Power cuts and faults at random moments of the scripted histories, deeper than the tests go:
// node fuzz/crash.mjs [--backend lsm] [--seed 1] [--runs 20 | --minutes 10]
import { SeededRandom } from '../dist/base/random.js'
import { SeededScheduler } from '../dist/vfs/mem-scheduler.js'
import { campaign, load } from './campaign.mjs'

process.setMaxListeners(0)
const { exploreCrashes } = await load('helpers/crash-explorer.js')
const { scripted } = await load('crash/script.js')
const { runFaulted } = await load('crash/faulted-run.js')
const scripts = Object.entries(await load('crash/scripts.js'))

await campaign('crash', { runs: 20 }, async (seed, backend) => {
  const random = new SeededRandom(seed)
  const [name, script] = random.pick(scripts)
  const made = scripted({ backend, seed, script, continueEveryNth: 5 })
  const report = await exploreCrashes({
    ...made.explorer,
    seed,
    scheduler: (own) => new SeededScheduler(own),
    everyNth: 6,
    fixedFates: ['n', 'e', 'k'],
    randomFates: 4,
    depth: random.below(2),
    nested: { everyNth: 9, fixedFates: ['n'], randomFates: 1 }
  }).catch((error) => {
    throw new Error(name, { cause: error })
  })
  const faulted = await runFaulted({ ...faultedRun(random), backend, seed })
  return {
    crashStates: report.states,
    cutAfterServing: made.counts.servedThenCut,
    faultedStates: faulted.states,
    faults: faulted.fired,
    acknowledged: faulted.acknowledged,
    unknown: faulted.unknown
  }
})

function faultedRun(random) {
  const plan = []
  for (let count = 1 + random.below(4); count > 0; count--) {
    const errno = random.pick(['EIO', 'ENOSPC'])
    plan.push({
      operation: random.pick(['mutation', 'datasync', 'write']),
      nth: 1 + random.below(200),
      times: random.pick([1, 1, 2, 5]),
      fault: random.pick([
        { kind: 'error', errno },
        { kind: 'error', errno, afterEffect: true },
        { kind: 'short-write', lengthBytes: random.below(600), errno },
        { kind: 'disk-full' }
      ])
    })
  }
  const before = random.pick(['nothing', 'closed', 'killed'])
  return { plan, commits: 40, before }
}
