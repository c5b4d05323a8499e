// A tour of the command line, on data that comes along or on a directory of your own:
//
//   npm run demo                 # the samples in test/samples
//   npm run demo -- ~/my-data    # every .csv, .dat, .tsv and .jsonl file in there
//
// Everything happens in a temporary directory, through the command, as a user would do it.
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, extname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { checkPrefix, commandFile, readRows, run, runImport } from './kill-import.mjs'

const samples = fileURLToPath(new URL('../test/samples/', import.meta.url))
const color = process.stdout.isTTY === true && !process.env.NO_COLOR
const bold = (text) => (color ? `\u001b[1m${text}\u001b[0m` : text)
const faint = (text) => (color ? `\u001b[2m${text}\u001b[0m` : text)
const green = (text) => (color ? `\u001b[32m${text}\u001b[0m` : text)

const shownLines = 18
const shownColumns = 110

function title(text) {
  console.log(`\n${bold(`── ${text} ${'─'.repeat(Math.max(2, 72 - text.length))}`)}\n`)
}

function say(text) {
  console.log(`  ${text}`)
}

function good(text) {
  console.log(`  ${green('✓')} ${text}`)
}

/** Shows a command, runs it in the directory, and shows what it prints. */
async function show(directory, ...args) {
  console.log(`  ${faint('$')} kintsugi ${args.map(quoted).join(' ')}`)
  const lines = (await run(args, directory)).toString().trimEnd().split('\n')
  for (const line of lines.slice(0, shownLines)) {
    const cut = line.length > shownColumns ? `${line.slice(0, shownColumns - 1)}…` : line
    console.log(`    ${cut}`)
  }
  if (lines.length > shownLines) console.log(faint(`    … ${lines.length - shownLines} more lines`))
  console.log()
}

function quoted(word) {
  return /^[\w./:@=,-]+$/.test(word) ? word : `'${word}'`
}

/** The fewest columns that tell every row of a file from the others; `#` where none do. */
async function smallestKey(file, options) {
  const { RecordSplitter } = await import('../dist/cli/record-splitter.js')
  const { planInput } = await import('../dist/cli/import-options.js')
  const { dialect } = planInput(file, {
    as: 'raw',
    header: true,
    quote: 0x22,
    maxRecordBytes: 2 ** 26
  })
  const splitter = new RecordSplitter(dialect)
  const records = [...splitter.push(readFileSync(file)), ...splitter.end()]
  const hasHeader = !options.includes('--no-header')
  const [first] = records
  const names = Array.from({ length: first.fieldCount }, (_, i) =>
    hasHeader ? first.field(i).toString() : String(i + 1)
  )
  const rows = hasHeader ? records.slice(1) : records
  for (const columns of combinations(names.length)) {
    const seen = new Set()
    const isUnique = rows.every((row) => {
      const key = columns.map((i) => row.field(i).toString('latin1')).join('\0')
      return !seen.has(key) && seen.add(key)
    })
    if (isUnique) return columns.map((i) => names[i]).join(',')
  }
  return '#'
}

/** All sets of one column, then of two, then of three. */
function* combinations(count) {
  for (let a = 0; a < count; a++) yield [a]
  for (let a = 0; a < count; a++) for (let b = a + 1; b < count; b++) yield [a, b]
  for (let a = 0; a < count; a++) {
    for (let b = a + 1; b < count; b++) for (let c = b + 1; c < count; c++) yield [a, b, c]
  }
}

/** What is imported, and how. */
async function inputs(directory) {
  if (directory === undefined) {
    return [
      { file: join(samples, 'lighthouses.csv'), options: ['--key', 'id'] },
      { file: join(samples, 'sailings.dat'), options: ['--no-header', '--key', '1,2,4'] }
    ]
  }
  const found = readdirSync(directory).filter((name) => /\.(csv|dat|tsv|jsonl)$/.test(name))
  return Promise.all(
    found.toSorted().map(async (name) => {
      const file = join(directory, name)
      if (extname(name) === '.jsonl') return { file, options: ['--key', '#'] }
      const header = extname(name) === '.dat' ? ['--no-header'] : []
      return { file, options: [...header, '--key', await smallestKey(file, header)] }
    })
  )
}

async function tour(directory, { file, options }) {
  const name = basename(file)
  const store = `./${basename(file, extname(file))}`
  symlinkSync(resolve(file), join(directory, name))
  title(name)
  await show(directory, 'import', name, store, ...options)
  const scan = await run(['scan', store, '--limit', '40', '--json'], directory)
  const entries = scan.toString().trimEnd().split('\n')
  const { key } = JSON.parse(entries[Math.floor(entries.length / 2)])
  const parts = key.split('\0')
  if (parts.length > 1) {
    await show(directory, 'get', store, parts.join(','), '--parts')
    await show(directory, 'scan', store, '--prefix', parts[0], '--parts', '--limit', '4')
    await show(directory, 'count', store, '--prefix', parts[0], '--parts')
  } else {
    await show(directory, 'get', store, key)
    await show(directory, 'scan', store, '--gte', key, '--limit', '4')
  }
  await show(directory, 'validate', store)
  const rows = await readRows(file, options)
  const exported = await run(['export', store, '--format', 'raw', '--eol', 'none'], directory)
  const sorted = rows.toSorted((a, b) => Buffer.compare(a.key, b.key))
  if (!exported.equals(Buffer.concat(sorted.map(({ value }) => stripEnding(value))))) {
    throw new Error(`the export of ${file} differs from the file`)
  }
  const count = rows.length.toLocaleString('en-US')
  good(`exported again: all ${count} rows, byte for byte as in the file`)
  say(faint(`  sha256 ${createHash('sha256').update(exported).digest('hex')}`))
}

function stripEnding(value) {
  const end = value.at(-1) === 0x0a ? (value.at(-2) === 0x0d ? 2 : 1) : 0
  return value.subarray(0, value.length - end)
}

/** Rows enough that a kill finds the import at work. */
function writeReadings(file, count) {
  const lines = ['time,sensor,celsius,remark\n']
  for (let i = 0; i < count; i++) {
    const time = new Date(Date.UTC(2026, 0, 1) + i * 1000).toISOString()
    const remark = i % 97 === 0 ? '"checked, ""ok""\nby hand"' : ''
    lines.push(`${time},s${i % 7},${(20 + 8 * Math.sin(i / 900)).toFixed(2)},${remark}\n`)
  }
  writeFileSync(file, lines.join(''))
}

async function pullThePlug(directory) {
  const count = 40_000
  const batchRows = 500
  const file = join(directory, 'readings.csv')
  const store = join(directory, 'readings')
  const options = ['--key', 'time']
  title('Pulling the plug')
  writeReadings(file, count)
  const rows = await readRows(file, options)
  say(
    `${count.toLocaleString('en-US')} rows, ${batchRows} to a batch, every batch durable before the next.\n`
  )
  for (const share of [0.2, 0.5, 0.8]) {
    const kill = { afterRows: Math.round(count * share) }
    const { acknowledged, signal } = await runImport(file, store, options, batchRows, kill)
    if (signal !== 'SIGKILL') continue
    const held = await checkPrefix(store, rows, acknowledged, batchRows)
    good(
      `SIGKILL with ${acknowledged.toLocaleString('en-US')} rows acknowledged; reopened: ` +
        `${held.toLocaleString('en-US')} there, every one right, no batch in part`
    )
  }
  console.log()
  await show(directory, 'import', 'readings.csv', './readings', ...options, '--keep-eol')
  const exported = await run(['export', store, '--format', 'raw', '--eol', 'none'])
  if (!exported.equals(Buffer.concat(rows.map(({ value }) => value)))) {
    throw new Error('the export differs from the file')
  }
  good('run again to its end: the export equals the file')
  console.log()
  await show(directory, 'stats', './readings')
  await show(directory, 'validate', './readings', '--level', 'comprehensive')
}

async function main() {
  const startedMs = performance.now()
  const directory = mkdtempSync(join(tmpdir(), 'kintsugi-demo-'))
  console.log(`\n${bold('Kintsugi')}  an embedded key-value store with recovery at its heart`)
  console.log(faint(`  kintsugi is ${commandFile}\n  stores are in ${directory}`))
  try {
    for (const input of await inputs(process.argv[2])) await tour(directory, input)
    await pullThePlug(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
  console.log(`${green('Done')} in ${seconds} s. Nothing that was acknowledged was lost.\n`)
}

main().catch((error) => {
  console.error(`\nThe demo failed: ${error.message}`)
  process.exitCode = 1
})
