import { describe, it } from 'vitest'
import { runCampaign } from './campaign.js'
import * as scripts from './scripts.js'

const timeoutMs = 300_000

describe('a power cut before any I/O operation', () => {
  it(
    'of persists and a compaction under load loses nothing acknowledged',
    async () => {
      const explorer = { fixedFates: ['n', 'e', 'k'] as const, randomFates: 9 }
      const script = scripts.persistsUnderLoad
      await runCampaign({ name: 'persistsUnderLoad', script, seed: 21, explorer })
    },
    timeoutMs
  )

  it(
    'of closing and opening leaves a store that opens',
    async () => {
      const explorer = { fixedFates: ['n', 'e', 'k'] as const, randomFates: 10 }
      await runCampaign({ name: 'reopenings', script: scripts.reopenings, seed: 22, explorer })
    },
    timeoutMs
  )

  it(
    'of the creation of a store leaves one that opens, or none',
    async () => {
      const explorer = { fixedFates: ['n', 'e', 'k'] as const, randomFates: 10 }
      await runCampaign({ name: 'creation', script: scripts.creation, seed: 23, explorer })
    },
    timeoutMs
  )

  it(
    'of an interrupted creation leaves one that can be created again',
    async () => {
      const explorer = {
        fixedFates: ['n', 'e'] as const,
        randomFates: 3,
        depth: 1,
        nested: { fixedFates: ['n', 'e'] as const, randomFates: 1, everyNth: 3 }
      }
      await runCampaign({
        name: 'interruptedCreation',
        script: scripts.creation,
        seed: 24,
        explorer
      })
    },
    timeoutMs
  )

  it(
    'of what was recovered from a page cache loses nothing that was recovered',
    async () => {
      // The process dies, the next one acts on what was never synced, and then the power goes.
      const explorer = {
        fixedFates: ['k'] as const,
        randomFates: 0,
        depth: 1,
        nested: { everyNth: 3, fixedFates: ['n'] as const, randomFates: 0 }
      }
      const script = scripts.persistsUnderLoad
      await runCampaign({ name: 'killedThenCut', script, seed: 26, continueEveryNth: 16, explorer })
    },
    timeoutMs
  )

  it(
    'of recoveries, and of recoveries of interrupted recoveries, loses nothing',
    async () => {
      const explorer = {
        everyNth: 8,
        fixedFates: ['k'] as const,
        randomFates: 2,
        depth: 2,
        nested: { everyNth: 7, fixedFates: ['n'] as const, randomFates: 1 }
      }
      await runCampaign({
        name: 'interruptedRecoveries',
        script: scripts.mixedDurability,
        seed: 25,
        continueEveryNth: 16,
        explorer
      })
    },
    timeoutMs
  )
})
