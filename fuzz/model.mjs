// Histories of writes, reads, crashes and openings beside a sorted map:
// node fuzz/model.mjs [--backend lsm] [--seed 1] [--runs 200 | --minutes 10]
import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { campaign, load } from './campaign.mjs'

const maxSteps = 100 // as in the test, so that its seeds give the same histories here
process.setMaxListeners(0) // stores that crash never get to take their exit listener away
const { runHistory } = await load('model/history-runner.js')
const { histories } = await load('model/steps.js')

await campaign('model', { runs: 200 }, async (seed, backend) => {
  const [steps] = fc.sample(histories(maxSteps), { seed, numRuns: 1 })
  const options = { backend, seed }
  try {
    return await runHistory(steps, options)
  } catch (error) {
    const shortest = await shrink(steps, (fewer) => runHistory(fewer, options), kindOf(error))
    const path = join(tmpdir(), `kintsugi-model-${seed}.json`)
    writeFileSync(path, JSON.stringify(shortest))
    for (const step of shortest) console.error(JSON.stringify(step, shorten))
    console.error(`the shortest history that fails has ${shortest.length} steps, kept in ${path}`)
    throw error
  }
})

/** Leaves steps out as long as the history still fails in the same way. */
async function shrink(steps, run, kind) {
  let current = steps
  for (let size = current.length >> 1; size > 0;) {
    let shorter
    for (let at = 0; at < current.length && !shorter; at += size) {
      const fewer = [...current.slice(0, at), ...current.slice(at + size)]
      const again = await run(fewer).then(
        () => undefined,
        (error) => error
      )
      if (again && kindOf(again) === kind) shorter = fewer
    }
    if (shorter) current = shorter
    else size >>= 1
  }
  return current
}

function kindOf(error) {
  return error.message.split('\n')[1]?.replaceAll(/\d+/g, '#').slice(0, 60)
}

function shorten(_, value) {
  if (typeof value !== 'string' || value.length <= 40) return value
  return `${value.slice(0, 16)}…${value.length}`
}
