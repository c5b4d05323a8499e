import { expect } from 'vitest'
import { SeededScheduler } from '../../dist/vfs/mem-scheduler.js'
import { exploreCrashes, type ExplorerOptions } from '../helpers/crash-explorer.js'
import { quotas } from './quotas.js'
import { scripted, type Fact, type Script } from './script.js'

interface Campaign {
  readonly name: keyof typeof quotas
  readonly script: (script: Script) => Promise<void>
  readonly seed: number
  readonly continueEveryNth?: number
  readonly explorer: Partial<ExplorerOptions<Fact>>
}

/** Runs a campaign, prints what it reached, and holds it to its quota. */
export async function runCampaign(campaign: Campaign): Promise<void> {
  const { name, seed, script, continueEveryNth } = campaign
  const startedMs = performance.now()
  const made = scripted({ seed, script, ...(continueEveryNth && { continueEveryNth }) })
  const report = await exploreCrashes<Fact>({
    scheduler: (random) => new SeededScheduler(random),
    ...made.explorer,
    ...campaign.explorer
  })
  const seconds = (performance.now() - startedMs) / 1000
  const { servedThenCut, continued } = made.counts
  console.log(
    `${name}: ${report.states} crash states (${report.statesByDepth.join(' + ')} by depth) at ` +
      `${report.moments} moments of ${report.operations} operations, ${servedThenCut} cut again ` +
      `after serving, ${continued} written to again; seed ${seed}, ${seconds.toFixed(1)} s`
  )
  expect(report.states).toBeGreaterThanOrEqual(quotas[name])
}
