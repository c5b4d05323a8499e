import { describe, expect, it } from 'vitest'
import { testedBackend } from '../helpers/tested-backend.js'
import { runReadHistory } from './read-history.js'

/** The same histories every time; fuzz/reads.mjs runs those that nobody has run before. */
const runs = { btree: 15, lsm: 8, level: 10 }[testedBackend]

describe('every way to read a store', () => {
  it('gets what some commit left, whatever the bytes, and whatever goes on beside', async () => {
    let reads = 0
    for (let seed = 1; seed <= runs; seed++) {
      const figures = await runReadHistory(testedBackend, seed).catch((error: unknown) => {
        const again = `node fuzz/reads.mjs --backend ${testedBackend} --seed ${seed} --runs 1`
        throw new Error(`seed ${seed}; again: ${again}`, { cause: error })
      })
      reads += figures.points + figures.scans
    }
    console.log(`reads on ${testedBackend}: seeds 1 to ${runs}: ${reads} reads`)
    expect(reads).toBeGreaterThan(runs * 20)
  })
})
