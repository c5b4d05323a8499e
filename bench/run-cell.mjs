// One cell in a process of its own: `run-cell.mjs <contender> <cell> <phase> <dir> <count>`.
// Sends one message to the parent: { metrics } | { unsupported } | { error }.
import { cells } from './cells/all.mjs'
import { Random } from './lib/data.mjs'

const CACHE_BYTES = 256 * 2 ** 20

function answer(message) {
  if (process.send === undefined) console.log(JSON.stringify(message, undefined, 2))
  else process.send(message)
}

async function main([contender, cellName, phase, dir, countText]) {
  const peer = await import(`./peers/${contender}.mjs`)
  const cell = cells[cellName]
  for (const need of cell.needs ?? []) {
    const reason = peer.unsupported?.[need]
    if (reason !== undefined) return { unsupported: reason }
  }
  const openIn = (durability) => peer.openStore(dir, { durability, cacheBytes: CACHE_BYTES })
  const context = {
    dir,
    count: Number(countText),
    random: (seed) => new Random(seed),
    openEmpty: openIn,
    openFixture: openIn
  }
  const metrics = await cell[phase](context)
  return { metrics, version: peer.version }
}

try {
  answer(await main(process.argv.slice(2)))
} catch (error) {
  answer({ error: String(error?.stack ?? error) })
  process.exitCode = 1
}
