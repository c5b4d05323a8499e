import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { testedBackend } from '../helpers/tested-backend.js'
import { runHistory, type RunFigures } from './history-runner.js'
import { histories } from './steps.js'

const runs = 70
const maxSteps = 100

/** The same histories every time; fuzz/model.mjs runs those that nobody has run before. */
const seeds = Array.from({ length: runs }, (_, i) => i + 1)

describe('a store beside a sorted map', () => {
  it('holds the same through any history of writes, reads, crashes and openings', async () => {
    // Stores that crash never get to take their listener away.
    process.setMaxListeners(0)
    const total: Partial<Record<keyof RunFigures, number>> = {}
    for (const seed of seeds) {
      const [steps] = fc.sample(histories(maxSteps), { seed, numRuns: 1 })
      const figures = await runHistory(steps!, { backend: testedBackend, seed }).catch(
        (error: unknown) => {
          const hint = 'fuzz/model.mjs shows the shortest history that fails'
          throw new Error(`seed ${seed} with ${maxSteps} steps; ${hint}`, { cause: error })
        }
      )
      for (const [name, count] of Object.entries(figures) as [keyof RunFigures, number][]) {
        total[name] = (total[name] ?? 0) + count
      }
    }
    console.log(`model on ${testedBackend}: seeds 1 to ${runs}: ${JSON.stringify(total)}`)
    expect(total.crashes).toBeGreaterThan(runs)
    expect(total.interruptedRecoveries).toBeGreaterThan(runs / 4)
  }, 300_000)
})
