// Runs one row for Kintsugi under the CPU profiler and prints where the time went:
// `node bench/profile.mjs get-sync [--scale 0.1] [--top 25] [--contender kintsugi] [--keep file]`
import { copyFileSync, mkdirSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { remove } from './lib/files.mjs'
import { Runner } from './lib/runner.mjs'
import { rows } from './rows.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const SAMPLE_INTERVAL_US = 200

const help = `Usage: node bench/profile.mjs <row> [options]

  --scale x       share of one million keys (default: 1)
  --top n         functions to print (default: 25)
  --contender c   store (default: kintsugi)
  --keep file     keep the profile, to open in a browser's developer tools

Rows: ${rows.map((row) => row.id).join(' ')}`

/** Self time by function: each sample belongs to the function on top of the stack. */
function selfTimes(profile) {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node.callFrame]))
  const times = new Map()
  let totalUs = 0
  for (let i = 0; i < profile.samples.length; i++) {
    const elapsedUs = profile.timeDeltas[i]
    const frame = nodes.get(profile.samples[i])
    const file = frame.url.replace(/^.*\/(dist|bench|node_modules)\//, '$1/')
    const place = file === '' ? '' : ` ${file}:${frame.lineNumber + 1}`
    const name = `${frame.functionName || '(anonymous)'}${place}`
    times.set(name, (times.get(name) ?? 0) + elapsedUs)
    totalUs += elapsedUs
  }
  const sorted = [...times].sort((a, b) => b[1] - a[1])
  return { sorted, totalUs }
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      scale: { type: 'string', default: '1' },
      top: { type: 'string', default: '25' },
      contender: { type: 'string', default: 'kintsugi' },
      keep: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false }
    }
  })
  if (values.help || positionals.length !== 1) return console.log(help)
  const row = rows.find((known) => known.id === positionals[0])
  if (row === undefined) throw new Error(`unknown row '${positionals[0]}'; see --help`)
  const workDir = join(here, '..', '.tmp', `profile-${process.pid}`)
  const profiles = join(workDir, 'profiles')
  mkdirSync(profiles, { recursive: true })
  const count = Math.max(10, Math.round(Number(values.scale) * 1000)) * 1000
  const runner = new Runner({ workDir, count, timeoutMs: 300_000 })
  try {
    const result = await runner.run(values.contender, row.cell, [
      '--cpu-prof',
      `--cpu-prof-dir=${profiles}`,
      `--cpu-prof-interval=${SAMPLE_INTERVAL_US}`
    ])
    if (result.metrics === undefined) throw new Error(result.error ?? result.unsupported)
    console.log(`${row.title}, ${values.contender}, under the profiler:`, result.metrics)
    const file = join(profiles, readdirSync(profiles)[0])
    if (values.keep !== undefined) copyFileSync(file, values.keep)
    const { sorted, totalUs } = selfTimes(JSON.parse(readFileSync(file, 'utf8')))
    console.log(`\nself time of ${(totalUs / 1000).toFixed(0)} ms, opening and warm-up included`)
    for (const [name, elapsedUs] of sorted.slice(0, Number(values.top))) {
      const share = ((elapsedUs / totalUs) * 100).toFixed(1).padStart(5)
      console.log(`${(elapsedUs / 1000).toFixed(0).padStart(7)} ms ${share} %  ${name}`)
    }
  } finally {
    remove(workDir)
  }
}

try {
  await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
