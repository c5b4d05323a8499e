import { describe, expect, it } from 'vitest'
import { SeededScheduler } from '../../dist/vfs/mem-scheduler.js'
import { exploreCrashes, type ExplorerOptions } from '../helpers/crash-explorer.js'
import { testedBackend } from '../helpers/tested-backend.js'
import type { Campaign } from './campaigns.js'
import { scripted, type Fact } from './script.js'

const timeoutMs = 600_000

/** One test for each campaign that the tested backend takes part in. */
export function describeCampaigns(part: Readonly<Record<string, Campaign>>): void {
  describe('a power cut before any I/O operation', () => {
    for (const [name, campaign] of Object.entries(part)) {
      const quota = campaign.quotas[testedBackend]
      if (quota === undefined) continue
      it(
        campaign.about,
        async () => {
          expect(await runCampaign(name, campaign)).toBeGreaterThanOrEqual(quota)
        },
        timeoutMs
      )
    }
  })
}

/** Prints what the campaign reached, and returns the number of states. */
async function runCampaign(name: string, campaign: Campaign): Promise<number> {
  const { seed, script, continueEveryNth = 8 } = campaign
  const startedMs = performance.now()
  const made = scripted({ backend: testedBackend, seed, script, continueEveryNth })
  const report = await exploreCrashes<Fact>({
    scheduler: (random) => new SeededScheduler(random),
    ...made.explorer,
    ...campaign.explorer,
    ...strideOf(campaign)
  })
  const seconds = (performance.now() - startedMs) / 1000
  const { servedThenCut, continued } = made.counts
  console.log(
    `${testedBackend}, ${name}: ${report.states} crash states ` +
      `(${report.statesByDepth.join(' + ')} by depth) at ${report.moments} moments of ` +
      `${report.operations} operations, ${servedThenCut} cut again after serving, ` +
      `${continued} written to again; seed ${seed}, ${seconds.toFixed(1)} s`
  )
  return report.states
}

function strideOf({ strides, explorer }: Campaign): Partial<ExplorerOptions<Fact>> {
  const stride = strides?.[testedBackend]
  if (stride === undefined) return {}
  const { history, nested } = stride
  return {
    everyNth: history,
    ...(nested !== undefined && { nested: { ...explorer.nested, everyNth: nested } })
  }
}
