// The comparison with other stores: `node bench/compare.mjs --help`.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { machineFacts } from './lib/machine.mjs'
import { figure, markdown, summarize } from './lib/report.mjs'
import { Runner } from './lib/runner.mjs'
import { rows as allRows } from './rows.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const allContenders = [
  'kintsugi',
  'kintsugi-lsm',
  'lmdb',
  'classic-level',
  'better-sqlite3',
  'nxtedition-rocksdb',
  'rocksdb'
]
const KEYS_AT_SCALE_1 = 1_000_000

const help = `Usage: node bench/compare.mjs [options]

Runs each workload for each store in a process of its own, stores in turn, several rounds,
and writes medians, spread and the ratio to the best peer.

Options
  --rows a,b          only these rows (default: all)
  --contenders a,b    only these stores (default: all)
  --rounds n          rounds (default: 3)
  --scale x           share of one million keys, for quick runs (default: 1)
  --json file         where the figures go (default: bench/results/<date>.json);
                      the table goes beside it as .md
  --no-save           print only
  --dir path          where stores are made (default: .tmp/bench in the checkout)
  --timeout s         longest time for one cell (default: 120)
  --list              names of rows and stores

Rows: ${allRows.map((row) => row.id).join(' ')}

Stores: ${allContenders.join(' ')}

Examples
  node bench/compare.mjs --rows get-sync,seek-10 --contenders kintsugi,lmdb --rounds 1
  node bench/compare.mjs --scale 0.1 --rounds 1 --no-save`

function options() {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string' },
      contenders: { type: 'string' },
      rounds: { type: 'string', default: '3' },
      scale: { type: 'string', default: '1' },
      json: { type: 'string' },
      dir: { type: 'string', default: join(here, '..', '.tmp', `bench-${process.pid}`) },
      timeout: { type: 'string', default: '120' },
      'no-save': { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false }
    }
  })
  return values
}

function chosen(text, known, what) {
  if (text === undefined) return known
  const names = text.split(',').map((name) => name.trim())
  for (const name of names) {
    if (!known.includes(name)) throw new Error(`unknown ${what} '${name}'; see --list`)
  }
  return names
}

function positive(text, what) {
  const value = Number(text)
  if (!(value > 0)) throw new Error(`--${what} must be a number above 0, '${text}' was given`)
  return value
}

function keep(results, contender, cell, outcome) {
  results[contender] ??= {}
  results[contender][cell] ??= []
  results[contender][cell].push(outcome)
}

function describe(outcome, rows) {
  if (outcome.unsupported !== undefined) return `– (${outcome.unsupported})`
  if (outcome.error !== undefined) return `FAILED ${outcome.error}`
  return rows
    .filter((row) => outcome.metrics[row.metric] !== undefined)
    .map((row) => `${figure(outcome.metrics[row.metric], row.unit)} ${row.unit}`)
    .join(', ')
}

/** Row by row, round by round, the stores in turn. */
async function measure(runner, { rows, contenders, rounds }) {
  const results = {}
  const versions = {}
  const cells = [...new Set(rows.map((row) => row.cell))]
  for (const cell of cells) {
    const cellRows = rows.filter((row) => row.cell === cell)
    for (let round = 0; round < rounds; round++) {
      for (const contender of contenders) {
        const before = results[contender]?.[cell]?.[0]
        if (before?.unsupported !== undefined || before?.error !== undefined) continue
        const outcome = await runner.run(contender, cell)
        keep(results, contender, cell, outcome)
        if (outcome.version !== undefined) versions[contender] = outcome.version
        console.log(`${cell} ${round + 1} ${contender.padEnd(18)} ${describe(outcome, cellRows)}`)
      }
    }
  }
  return { results, versions }
}

async function main() {
  const given = options()
  if (given.help) return console.log(help)
  if (given.list) {
    console.log(allRows.map((row) => `${row.id.padEnd(22)} ${row.title}`).join('\n'))
    return console.log(`\n${allContenders.join('\n')}`)
  }
  const rowIds = chosen(
    given.rows,
    allRows.map((row) => row.id),
    'row'
  )
  const rows = allRows.filter((row) => rowIds.includes(row.id))
  const contenders = chosen(given.contenders, allContenders, 'store')
  const rounds = Math.round(positive(given.rounds, 'rounds'))
  // Batches of 1000 divide the number of keys.
  const count = Math.max(10, Math.round(positive(given.scale, 'scale') * 1000)) * 1000
  if (given.scale !== '1') console.log(`${count} keys instead of ${KEYS_AT_SCALE_1}`)
  const runner = new Runner({
    workDir: given.dir,
    count,
    timeoutMs: positive(given.timeout, 'timeout') * 1000
  })
  try {
    const machine = machineFacts(given.dir)
    if (machine.loadAverage > 0.5) {
      console.log(`the machine is busy (load average ${machine.loadAverage}): expect noise`)
    }
    const from = performance.now()
    const { results, versions } = await measure(runner, { rows, contenders, rounds })
    const report = {
      date: new Date().toISOString().slice(0, 16).replace('T', ' '),
      command: `node bench/compare.mjs ${process.argv.slice(2).join(' ')}`.trim(),
      machine,
      count,
      rounds,
      contenders,
      versions,
      elapsedSeconds: Math.round((performance.now() - from) / 1000),
      rows: rows.map((row) => summarize(row, contenders, results)),
      raw: results
    }
    const table = markdown(report)
    console.log(`\n${table}`)
    if (!given['no-save']) save(given.json, report, table)
    const failed = Object.values(results).some((byCell) =>
      Object.values(byCell).some((outcomes) => outcomes.some((outcome) => outcome.error))
    )
    if (failed) process.exitCode = 1
  } finally {
    runner.close()
  }
}

function save(json, report, table) {
  const path = json ?? join(here, 'results', `${report.date.replace(/[ :]/g, '-')}.json`)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `${JSON.stringify(report, undefined, 2)}\n`)
  writeFileSync(`${path.replace(/\.json$/, '')}.md`, table)
  console.log(`written to ${path}`)
}

try {
  await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
