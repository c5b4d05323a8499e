// Kills an import with SIGKILL at random moments and checks what is left, round after round:
//
//   node scripts/kill-import.mjs --file routes.dat --rounds 50 -- --no-header --key 1,3,5
//
// Arguments behind `--` go to `kintsugi import`. Each round imports into a fresh store, is killed
// one to three times, and checks after every kill, by opening the store in this process, that it
// holds exactly the first rows of the file, byte for byte, no fewer than were acknowledged, and
// that no batch is there in part. Then the import is run to its end and the export compared byte
// for byte. Ends with 1 and keeps the store when anything is not as it should be.
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const dist = new URL('../dist/', import.meta.url)
export const commandFile = fileURLToPath(new URL('cli/main.js', dist))

/** A small seeded generator (mulberry32), so that a failing run can be repeated. */
export function seededRandom(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The rows of a file as the import sees them; keys have to be unique. */
export async function readRows(file, importArguments) {
  const { planInput, addImportOptions } = await import(new URL('cli/import-options.js', dist))
  const { RecordSplitter } = await import(new URL('cli/record-splitter.js', dist))
  const { Command } = await import('commander')
  const options = addImportOptions(new Command()).parse(importArguments, { from: 'user' }).opts()
  const { mapper, dialect } = planInput(file, { ...options, keepEol: true })
  const splitter = new RecordSplitter(dialect)
  const records = [...splitter.push(readFileSync(file)), ...splitter.end()]
  const rows = records.map((record) => mapper.map(record)).filter((row) => row !== undefined)
  const keys = new Set(rows.map(({ key }) => key.toString('latin1')))
  if (keys.size !== rows.length) throw new Error('keys repeat in the file: choose another --key')
  return rows
}

/**
 * Runs an import and, where `kill` says so, ends it with SIGKILL: `kill.afterMs` after it started
 * or as soon as `kill.afterRows` rows are acknowledged. Resolves with how many rows were.
 */
export function runImport(file, store, importArguments, batchRows, kill) {
  const child = spawn(
    process.execPath,
    [commandFile, 'import', file, store, '--json', '--progress', 'json', '--keep-eol'].concat(
      ['--batch-rows', String(batchRows)],
      importArguments
    ),
    { stdio: ['ignore', 'pipe', 'pipe'] }
  )
  const startedMs = performance.now()
  let acknowledged = 0
  let pending = ''
  let errors = ''
  const timer =
    kill?.afterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), kill.afterMs)
  child.stdout.resume()
  child.stderr.setEncoding('utf8').on('data', (text) => {
    const lines = (pending + text).split('\n')
    pending = lines.pop()
    for (const line of lines) {
      const { progress } = JSON.parse(line)
      if (progress === undefined) errors += line
      else acknowledged = progress.done
      if (acknowledged >= (kill?.afterRows ?? Infinity)) child.kill('SIGKILL')
    }
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      // Without the native addon the owner file of a killed process stays behind, and that the
      // process is gone has to be said by somebody who knows (rule S5).
      if (signal === 'SIGKILL') rmSync(join(store, 'LOCK.owner'), { force: true })
      resolve({ acknowledged, code, signal, errors, elapsedMs: performance.now() - startedMs })
    })
  })
}

/** Opens the store here and checks that it holds exactly the first rows of the file. */
export async function checkPrefix(store, rows, acknowledged, batchRows) {
  const { open } = await import(new URL('open.js', dist))
  let db
  try {
    db = await open(store, { createIfMissing: false })
  } catch (error) {
    // Killed before there was a store, which only an import of the same backend may create.
    if (error.code === 'KINTSUGI_STORE_MISSING' && acknowledged === 0) return 0
    throw error
  }
  try {
    const held = new Map()
    for await (const [key, value] of db.entries()) held.set(key.toString('latin1'), value)
    const count = held.size
    if (count < acknowledged) throw new Error(`${acknowledged} rows acknowledged, ${count} there`)
    if (count % batchRows !== 0 && count !== rows.length) {
      throw new Error(`a batch is there in part: ${count} rows, ${batchRows} in a batch`)
    }
    for (const { key, value } of rows.slice(0, count)) {
      if (!held.get(key.toString('latin1'))?.equals(value)) {
        throw new Error(`the row with key ${JSON.stringify(key.toString())} is lost or changed`)
      }
    }
    return count
  } finally {
    await db.close()
  }
}

/** Standard output of a command that has to succeed. */
export function run(args, cwd = process.cwd()) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [commandFile, ...args], {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe']
    })
    const output = []
    const errors = []
    child.stdout.on('data', (data) => output.push(data))
    child.stderr.on('data', (data) => errors.push(data))
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve(Buffer.concat(output))
      else reject(new Error(`kintsugi ${args.join(' ')} ended with ${code}: ${errors.join('')}`))
    })
  })
}

/** The import finished, the export compared with the file, and the whole store checked. */
async function checkEnd(file, store, rows, importArguments, batchRows) {
  const last = await runImport(file, store, importArguments, batchRows)
  if (last.code !== 0) throw new Error(`the import ended with ${last.code}: ${last.errors}`)
  const exported = await run(['export', store, '--format', 'raw', '--eol', 'none'])
  const sorted = rows.toSorted((a, b) => Buffer.compare(a.key, b.key))
  if (!exported.equals(Buffer.concat(sorted.map(({ value }) => value)))) {
    throw new Error('the export differs from the file')
  }
  await run(['validate', store, '--level', 'comprehensive', '--json'])
}

async function main() {
  const split = process.argv.indexOf('--', 2)
  const own = process.argv.slice(2, split < 0 ? undefined : split)
  const importArguments = split < 0 ? [] : process.argv.slice(split + 1)
  const { values } = parseArgs({
    args: own,
    options: {
      file: { type: 'string' },
      rounds: { type: 'string', default: '50' },
      seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
      'batch-rows': { type: 'string', default: '500' }
    }
  })
  if (values.file === undefined) throw new Error('give a file to import: --file FILE')
  const batchRows = Number(values['batch-rows'])
  const random = seededRandom(Number(values.seed))
  const rows = await readRows(values.file, importArguments)
  console.log(`${values.file}: ${rows.length} rows, ${values.rounds} rounds, seed ${values.seed}`)
  const directory = mkdtempSync(join(tmpdir(), 'kintsugi-kill-'))
  const whole = await runImport(values.file, join(directory, 'whole'), importArguments, batchRows)
  if (whole.code !== 0) throw new Error(`the import ended with ${whole.code}: ${whole.errors}`)
  const totals = { kills: 0, duringImport: 0, rowsAtKill: [] }
  for (let round = 0; round < Number(values.rounds); round++) {
    const store = join(directory, `round-${round}`)
    const kills = 1 + Math.floor(random() * 3)
    for (let i = 0; i < kills; i++) {
      // Half at a moment in time, which may be in opening or closing; half behind some batch.
      const kill =
        random() < 0.5
          ? { afterMs: random() * whole.elapsedMs }
          : { afterRows: Math.ceil(random() * rows.length) }
      const { acknowledged, signal, code, errors } = await runImport(
        values.file,
        store,
        importArguments,
        batchRows,
        kill
      )
      if (signal === null && code !== 0) {
        throw new Error(`round ${round} in ${store}: the import ended with ${code}: ${errors}`)
      }
      if (signal !== 'SIGKILL') continue
      totals.kills++
      if (acknowledged > 0 && acknowledged < rows.length) totals.duringImport++
      try {
        totals.rowsAtKill.push(await checkPrefix(store, rows, acknowledged, batchRows))
      } catch (error) {
        throw new Error(`round ${round} in ${store}: ${error.message}`, { cause: error })
      }
    }
    await checkEnd(values.file, store, rows, importArguments, batchRows)
    rmSync(store, { recursive: true, force: true })
  }
  rmSync(directory, { recursive: true, force: true })
  const { kills, duringImport, rowsAtKill } = totals
  const distinct = new Set(rowsAtKill).size
  console.log(
    `ok: ${kills} kills (${duringImport} between the first and the last batch), ` +
      `${distinct} different states found, nothing acknowledged lost, no batch in part, ` +
      `${values.rounds} exports equal to the file`
  )
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  main().catch((error) => {
    console.error(error.message)
    process.exitCode = 1
  })
}
