import { describe, expect, it } from 'vitest'
import { runCampaign } from './campaign.js'
import { promisedStates, quotas } from './quotas.js'
import * as scripts from './scripts.js'

const timeoutMs = 300_000

describe('a power cut before any I/O operation', () => {
  it('is tried in as many states as promised', () => {
    const sum = Object.values(quotas).reduce((total, quota) => total + quota, 0)
    expect(sum).toBeGreaterThanOrEqual(promisedStates)
  })

  it(
    'of single writes loses nothing acknowledged',
    async () => {
      const explorer = { fixedFates: ['n', 'e', 'k'] as const, randomFates: 12 }
      await runCampaign({ name: 'singleWrites', script: scripts.singleWrites, seed: 11, explorer })
    },
    timeoutMs
  )

  it(
    'of batches larger than a segment leaves each whole or absent',
    async () => {
      const explorer = { fixedFates: ['n', 'e', 'k'] as const, randomFates: 10 }
      await runCampaign({ name: 'largeBatches', script: scripts.largeBatches, seed: 12, explorer })
    },
    timeoutMs
  )

  it(
    'of writes of every durability loses a suffix at most',
    async () => {
      const explorer = { fixedFates: ['n', 'e', 'k'] as const, randomFates: 12 }
      const script = scripts.mixedDurability
      await runCampaign({ name: 'mixedDurability', script, seed: 13, explorer })
    },
    timeoutMs
  )
})
