import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { addAbortSignal, type Readable } from 'node:stream'
import type { Command } from 'commander'
import { showBytes } from '../byte-text.js'
import { CliError, fileError, usageError } from '../cli-error.js'
import { copyHelp, runCopy } from '../copying.js'
import {
  addFromLevelDbOption,
  addImportOptions,
  planInput,
  type FromLevelDbOption,
  type ImportOptions,
  type InputPlan
} from '../import-options.js'
import { Importer, type ImportTarget } from '../importer.js'
import { formatDuration, formatNumber, plural, table } from '../output.js'
import { RecordSplitter, type LineEnding, type RawRecord } from '../record-splitter.js'
import { addProfileOption, type Host, type Session } from '../session.js'
import { importLevelDb } from '../../transfer/migrate.js'
import type { Store } from '../../store/store.js'
import { profileOf, withStore } from '../store-access.js'

/** What an import found out about the file beside its rows. */
interface FileFacts {
  readonly endings: Record<LineEnding, number>
  blankLines: number
  header: string | undefined
  readBytes: number
}

const duplicateMemoryBytes = 128 * 1024 * 1024
const batchBytes = 1024 * 1024

export function importCommand(host: Host): Command {
  const command = host.command(
    'import [FILE] [STORE]',
    'import rows of CSV or JSON Lines, - reads standard input; or a LevelDB database',
    [
      'kintsugi import world-cities.csv ./cities --key geonameid',
      'kintsugi import events.csv ./events --key time,id --backend lsm',
      'kintsugi import airports.dat ./airports --no-header --key 1:5    # 00001, 00002, …',
      'kintsugi import routes.dat ./routes --no-header --key 1,3,5',
      'kintsugi import people.csv ./people --columns id,name,mail --key id --as json',
      'kintsugi import events.jsonl ./events --key user,time --unique',
      'kintsugi export ./old | kintsugi import - ./new --format jsonl',
      'kintsugi import log.csv ./log --key "#"                          # keeps the order of the file',
      'kintsugi import --from-leveldb ./old-level ./new --backend lsm'
    ]
  )
  command.usage('FILE STORE [options]\n       kintsugi import --from-leveldb DIR STORE [options]')
  addFromLevelDbOption(addProfileOption(addImportOptions(command))).addHelpText(
    'after',
    `
Every batch is atomic and durable before the next one. Ended at any moment, by a signal or a power
cut, the import is simply run again: rows that are there already are not written twice.
Where a key occurs twice in the file, the later row wins; how many rows that cost is reported.

--from-leveldb copies a plain LevelDB database that nobody has open into a new store; it stays byte
for byte as it is. Damage in it, which LevelDB itself would pass over, is an error.${copyHelp}`
  )
  return command.action(
    host.action<ImportOptions & FromLevelDbOption>(async (session, args, options) => {
      if (options.fromLeveldb !== undefined) {
        await importDatabase(session, options.fromLeveldb, args, options)
        return undefined
      }
      const [file, path] = args
      if (path === undefined) {
        throw usageError(`missing required argument '${file === undefined ? 'file' : 'store'}'`)
      }
      const plan = planInput(file, options)
      const input = await openInput(session, file)
      const { create, durability, backend } = options
      const openOptions = { createIfMissing: create, durability, ...(backend && { backend }) }
      try {
        await withStore(session, path, openOptions, async (store) => {
          const targetWasEmpty = await isEmpty(store)
          const target: ImportTarget = {
            get: (key) => store.getSync(key),
            write: (rows) =>
              store.batch(rows.map(({ key, value }) => ({ type: 'put', key, value })))
          }
          const importer = new Importer(target, {
            batchRows: options.batchRows,
            batchBytes,
            unique: options.unique ?? false,
            targetWasEmpty,
            duplicateMemoryBytes
          })
          const report = await importAll(session, input, plan, importer)
          // Weaker durability is for the way; at the end everything is on the disk.
          await store.flush()
          await reportImport(session, { file, path, options, plan, importer, ...report })
        })
      } finally {
        input.stream.destroy()
      }
      return undefined
    })
  )
}

/** The form of the command that copies a LevelDB database. */
async function importDatabase(
  session: Session,
  source: string,
  [store, more]: readonly string[],
  { backend }: ImportOptions
): Promise<void> {
  if (store === undefined || more !== undefined) {
    throw usageError('--from-leveldb DIR takes the path of a new store and nothing else')
  }
  await runCopy(session, 'import', (work) =>
    importLevelDb(source, store, { ...(backend && { backend }), ...profileOf(session), ...work })
  )
}

interface Input {
  readonly stream: Readable
  readonly sizeBytes: number | undefined
  readonly name: string
}

async function openInput(session: Session, file: string): Promise<Input> {
  if (file === '-') return { stream: session.stdin, sizeBytes: undefined, name: 'standard input' }
  const status = await stat(file).catch((error: unknown) => {
    throw fileError('read', file, error)
  })
  if (status.isDirectory()) {
    const message = `cannot read ${file}: it is a directory; one of LevelDB is copied with --from-leveldb`
    throw new CliError('CLI_FILE', message, { path: file, errno: 'EISDIR' })
  }
  const stream = createReadStream(file, { highWaterMark: 256 * 1024 })
  return { stream, sizeBytes: status.isFile() ? status.size : undefined, name: file }
}

async function importAll(
  session: Session,
  input: Input,
  plan: InputPlan,
  importer: Importer
): Promise<{ facts: FileFacts; elapsedMs: number }> {
  const splitter = new RecordSplitter(plan.dialect)
  const facts: FileFacts = {
    endings: { lf: 0, crlf: 0, none: 0 },
    blankLines: 0,
    header: undefined,
    readBytes: 0
  }
  const progress = session.progress('import')
  const flush = async (): Promise<void> => {
    await importer.flush()
    const fraction = input.sizeBytes ? Math.min(1, facts.readBytes / input.sizeBytes) : undefined
    progress.update({ done: importer.counts.rows, unit: 'rows', fraction })
  }
  const take = async (records: Iterable<RawRecord>): Promise<void> => {
    for (const record of records) {
      const row = plan.mapper.map(record)
      if (row === undefined) continue
      facts.endings[record.ending]++
      if (importer.add(row, record)) {
        await flush()
        stopIfAborted(session, importer)
      }
    }
  }
  try {
    for await (const chunk of chunksOf(session, input)) {
      facts.readBytes += chunk.length
      await take(splitter.push(chunk))
      stopIfAborted(session, importer)
    }
    // An interrupted input ends anywhere; what is left of it is not a row.
    stopIfAborted(session, importer)
    await take(splitter.end())
    await flush()
  } finally {
    progress.end()
  }
  facts.blankLines = splitter.blankLines
  facts.header = plan.mapper.header?.bytes.toString('utf8')
  return { facts, elapsedMs: progress.elapsedMs }
}

/** The bytes of the input; an interruption ends them, even while none arrive. */
async function* chunksOf(session: Session, input: Input): AsyncGenerator<Buffer> {
  try {
    const stream = addAbortSignal(session.signal, input.stream)
    for await (const chunk of stream) yield chunk as Buffer
  } catch (error) {
    if (!session.signal.aborted) throw fileError('read', input.name, error)
  }
}

function stopIfAborted(session: Session, importer: Importer): void {
  if (!session.signal.aborted) return
  const rows = importer.counts.rows
  throw new CliError(
    'CLI_INTERRUPTED',
    `interrupted after ${plural(rows, 'row')}; run the same command again to go on`,
    { rows }
  )
}

interface ImportReport {
  readonly file: string
  readonly path: string
  readonly options: ImportOptions
  readonly plan: InputPlan
  readonly importer: Importer
  readonly facts: FileFacts
  readonly elapsedMs: number
}

async function reportImport(session: Session, report: ImportReport): Promise<void> {
  const { file, path, plan, importer, facts, elapsedMs } = report
  const { counts, duplicatesKnown, examples } = importer
  const rowsPerSecond = Math.round(counts.rows / Math.max(elapsedMs / 1000, 0.001))
  await session.out.result(
    () => ({
      file,
      store: path,
      format: plan.format,
      ...counts,
      duplicatesKnown,
      overwrittenExamples: examples.map(({ key, ...place }) => ({ ...place, key: showBytes(key) })),
      lineEndings: facts.endings,
      blankLines: facts.blankLines,
      header: facts.header ?? null,
      elapsedMs: Math.round(elapsedMs),
      rowsPerSecond
    }),
    () => {
      const { style } = session
      const lines: [string, number][] = [
        ['added', counts.added],
        ['already there', counts.unchanged],
        ['replaced', counts.replaced],
        ['repeated in the file', counts.repeated],
        ['overwritten in the file', counts.overwritten]
      ]
      const shown = lines.filter(([name, count]) => count > 0 || name === 'added')
      return (
        `Imported ${style.strong(plural(counts.rows, 'row'))} from ${file} into ${path} ` +
        `${style.faint(`(${formatDuration(elapsedMs)}, ${formatNumber(rowsPerSecond)} rows/s)`)}\n` +
        table(shown) +
        warnings(report, session).join('') +
        style.faint(exportHint(report))
      )
    }
  )
}

function warnings({ importer, facts }: ImportReport, { style }: Session): string[] {
  const { counts, duplicatesKnown, examples } = importer
  const warning = (text: string): string => `${style.warn('warning:')} ${text}\n`
  const result: string[] = []
  if (counts.overwritten > 0) {
    const places = examples.map(({ line, key }) => `line ${line}, key ${showBytes(key, 60)}`)
    result.push(
      warning(
        `${plural(counts.overwritten, 'row')} overwrote an earlier row with the same key ` +
          `(${places.join('; ')}${counts.overwritten > places.length ? '; …' : ''}). ` +
          'To keep every row, add columns to --key, or # for the row number.'
      )
    )
  }
  if (!duplicatesKnown) result.push(warning('too many rows to tell repeated keys in the file'))
  if (facts.blankLines > 0)
    result.push(warning(`${plural(facts.blankLines, 'blank line')} left out`))
  const kinds = Object.values(facts.endings).filter((count) => count > 0).length
  if (kinds > 1) {
    const { lf, crlf, none } = facts.endings
    result.push(
      warning(
        `line endings differ (${lf} LF, ${crlf} CRLF, ${none} without); ` +
          '--keep-eol stores each row with its own'
      )
    )
  }
  return result
}

/** The command that gives the rows back as they stood in the file. */
function exportHint({ path, options, facts }: ImportReport): string {
  if (options.as !== 'raw' || options.valueColumn !== undefined || !options.key) return ''
  const ending = options.keepEol ? 'none' : facts.endings.crlf > facts.endings.lf ? 'crlf' : 'lf'
  const header = facts.header === undefined ? '' : ` --header ${shellQuote(facts.header)}`
  return `Rows as they were, by key: kintsugi export ${path} --format raw --eol ${ending}${header}\n`
}

function shellQuote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

/** Asks without waiting for the disk: not every backend's cursors can. */
async function isEmpty(store: Store): Promise<boolean> {
  for await (const _ of store.keys({ limit: 1 })) return false
  return true
}
