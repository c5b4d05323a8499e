// Commits what workload.mjs says and keeps a ledger, both below $RECORDED_ROOT. Arguments: backend,
// seed, number of the first commit, how many, and `close` or `exit` for how it ends. Lines of the
// ledger: `a N` N is about to be committed; `s N`, `o N`, `m N` it is acknowledged as synced, handed
// to the operating system, in memory.
import { openSync, writeSync } from 'node:fs'
import { SeededRandom } from '../../dist/base/random.js'
import { open } from '../../dist/index.js'
import { commitOf, options } from './workload.mjs'

const [, , backend, seedText, firstText, countText, ending] = process.argv
const [seed, first, count] = [seedText, firstText, countText].map(Number)
const root = process.env.RECORDED_ROOT
const ledger = openSync(`${root}/ledger`, 'a')
const store = await open(`${root}/store`, { ...options, backend })
const random = new SeededRandom(seed + first)
const upkeep = new Set()

/** Goes on beside the commits. */
function beside(work) {
  upkeep.add(work)
  void work.finally(() => upkeep.delete(work))
}

const inFlight = new Set()
for (let number = first; number < first + count; number++) {
  const { durability, gte, lt, operations } = commitOf(seed, number)
  writeSync(ledger, `a ${number}\n`)
  const done = () => void writeSync(ledger, `${durability[0]} ${number}\n`)
  if (operations && random.chance(1, 6)) {
    // Those that wait come first.
    store.batchSync(operations, { durability })
    done()
  } else {
    const commit = operations
      ? store.batch(operations, { durability })
      : store.clear({ gte, lt, durability })
    const settled = commit.then(done)
    inFlight.add(settled)
    void settled.then(() => inFlight.delete(settled))
  }
  if (inFlight.size > 4) await Promise.race(inFlight)
  if (random.chance(1, 20)) await Promise.all(inFlight)
  if (random.chance(1, 25)) beside(store.persist())
  if (random.chance(1, 120)) beside(store.compact())
}
await Promise.all(inFlight)
if (ending === 'exit') process.kill(process.pid, 'SIGKILL')
await Promise.all(upkeep)
await store.close()
