import { createWriteStream } from 'node:fs'
import { open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { finished } from 'node:stream/promises'
import { Option, type Command } from 'commander'
import { byteEncodings, jsonBytes, notUtf8, utf8Text, type ByteEncoding } from '../byte-text.js'
import { fileError, ifThere, usageError } from '../cli-error.js'
import { addRangeOptions, parseRange, type RangeOptions } from '../key-options.js'
import { wholeNumber } from '../number-options.js'
import { formatBytes, formatDuration, formatNumber, Output, plural } from '../output.js'
import type { Host, Session } from '../session.js'
import { exportLevelDb } from '../../transfer/migrate.js'
import { copyHelp, runCopy } from '../copying.js'
import { addSoleOption } from '../sole-option.js'
import { profileOf, withStore } from '../store-access.js'

interface ExportOptions extends RangeOptions {
  readonly format: 'jsonl' | 'csv' | 'raw'
  readonly encoding?: ByteEncoding | 'auto'
  readonly eol: 'lf' | 'crlf' | 'none'
  readonly header?: string
  readonly limit?: number
  readonly reverse?: boolean
  readonly force?: boolean
  readonly toLeveldb?: string
}

/** Written at once: larger pieces cost memory, smaller ones calls. */
const pieceBytes = 64 * 1024

export function exportCommand(host: Host): Command {
  const command = host.command(
    'export STORE [FILE]',
    'write the entries of a range, in key order, to a file or standard output, or to LevelDB',
    [
      'kintsugi export ./cities cities.jsonl',
      'kintsugi export ./routes - --format raw --eol crlf > routes-by-key.dat',
      'kintsugi export ./routes 2B.csv --format csv --prefix 2B --parts',
      'kintsugi export ./old | kintsugi import - ./new --format jsonl',
      'kintsugi export ./new --to-leveldb ./plain-level'
    ]
  )
  command.usage('STORE [FILE] [options]\n       kintsugi export STORE --to-leveldb DIR [options]')
  addExportOptions(command)
  return addToLevelDbOption(command)
    .addHelpText(
      'after',
      `
--to-leveldb copies the whole store into a new plain LevelDB database, for programs that know only
that.${copyHelp}
Of an unfinished copy LevelDB itself knows nothing: do not open it before the command is through.`
    )
    .action(
      host.action<ExportOptions>(async (session, [path, file], options) => {
        if (options.toLeveldb === undefined) await exportEntries(session, path, file, options)
        else if (file !== undefined) throw usageError('give either a file or --to-leveldb')
        else await exportDatabase(session, path, options.toLeveldb)
        return undefined
      })
    )
}

function addExportOptions(command: Command): Command {
  return addRangeOptions(command)
    .option('--limit <count>', 'at most this many entries', wholeNumber('--limit', 0))
    .option('--reverse', 'from the last key to the first')
    .addOption(
      new Option(
        '--format <format>',
        'jsonl: objects with key and value; csv: two columns; raw: values only, one per line'
      )
        .choices(['jsonl', 'csv', 'raw'])
        .default('jsonl')
    )
    .addOption(
      new Option(
        '--encoding <encoding>',
        'of keys and values; auto, for jsonl, is text where it can be and base64 where not'
      ).choices(['auto', ...byteEncodings])
    )
    .addOption(
      new Option('--eol <ending>', 'behind each line').choices(['lf', 'crlf', 'none']).default('lf')
    )
    .option('--header <text>', 'first line, for raw')
    .option('--force', 'replace the file if it is there')
}

/** Instead of a file; what says which entries, and how they are written, has no meaning with it. */
function addToLevelDbOption(command: Command): Command {
  return addSoleOption(command, '--to-leveldb <dir>', 'copy everything into a new LevelDB database')
}

async function exportDatabase(session: Session, path: string, target: string): Promise<void> {
  await runCopy(session, 'export', (work) =>
    exportLevelDb(path, target, { ...profileOf(session), ...work })
  )
}

async function exportEntries(
  session: Session,
  path: string,
  file = '-',
  options: ExportOptions
): Promise<void> {
  const formatter = formatterOf(options)
  const range = {
    ...parseRange(options),
    limit: options.limit,
    reverse: options.reverse,
    signal: session.signal
  }
  const progress = session.progress('export')
  const totals = { entries: 0, bytes: 0 }
  const work = (target: Output): Promise<void> =>
    withStore(session, path, { readOnly: true }, async (store) => {
      const writer = new PieceWriter(target)
      await writer.add(formatter.head)
      for await (const [key, value] of store.entries(range)) {
        await writer.add(formatter.entry(key, value))
        if (++totals.entries % 5_000 === 0) {
          progress.update({ done: totals.entries, unit: 'entries', fraction: undefined })
        }
      }
      await writer.flush()
      totals.bytes = writer.bytes
    })
  await (file === '-' ? work(session.out) : toFile(session, file, options, work)).finally(() =>
    progress.end()
  )
  if (file !== '-') await report(session, path, file, totals, progress.elapsedMs)
}

async function report(
  session: Session,
  path: string,
  file: string,
  totals: { entries: number; bytes: number },
  elapsedMs: number
): Promise<void> {
  const perSecond = Math.round(totals.entries / Math.max(elapsedMs / 1000, 0.001))
  await session.out.result(
    () => ({ store: path, file, ...totals, elapsedMs: Math.round(elapsedMs) }),
    () =>
      `Exported ${session.style.strong(plural(totals.entries, 'entry', 'entries'))}, ` +
      `${formatBytes(totals.bytes)}, from ${path} to ${file} ` +
      session.style.faint(`(${formatDuration(elapsedMs)}, ${formatNumber(perSecond)} entries/s)`)
  )
}

interface Formatter {
  readonly head: string
  entry(key: Buffer, value: Buffer): string | readonly Buffer[]
}

function formatterOf({ format, encoding, eol, header }: ExportOptions): Formatter {
  const ending = { lf: '\n', crlf: '\r\n', none: '' }[eol]
  if (header !== undefined && format !== 'raw') throw usageError('--header is for --format raw')
  if (format === 'raw') {
    if (encoding !== undefined) throw usageError('--encoding is not for --format raw')
    const endingBytes = Buffer.from(ending)
    return {
      head: header === undefined ? '' : header + (ending || '\n'),
      entry: (_, value) => [value, endingBytes]
    }
  }
  if (eol === 'none') throw usageError('--eol none is for --format raw')
  if (format === 'jsonl') {
    const chosen = encoding ?? 'auto'
    return {
      head: '',
      entry: (key, value) =>
        JSON.stringify({ ...jsonBytes('key', key, chosen), ...jsonBytes('value', value, chosen) }) +
        ending
    }
  }
  if (encoding === 'auto') throw usageError('--encoding auto is for --format jsonl')
  return csvFormatter(encoding ?? 'utf8', ending)
}

/** Columns named as `import` knows them, so that the file can be read back without options. */
function csvFormatter(encoding: ByteEncoding, ending: string): Formatter {
  const suffix = { utf8: '', hex: 'Hex', base64: 'Base64' }[encoding]
  const cell = (name: string, bytes: Buffer): string => {
    const text = encoding === 'utf8' ? utf8Text(bytes) : bytes.toString(encoding)
    if (text === undefined) throw notUtf8(name, bytes)
    return /[",\r\n]|^\ufeff/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
  }
  return {
    head: `key${suffix},value${suffix}${ending}`,
    entry: (key, value) => `${cell('key', key)},${cell('value', value)}${ending}`
  }
}

/** Gathers small writes into larger ones. */
class PieceWriter {
  readonly #target: Output
  #parts: Buffer[] = []
  #pendingBytes = 0
  bytes = 0

  constructor(target: Output) {
    this.#target = target
  }

  async add(data: string | readonly Buffer[]): Promise<void> {
    for (const part of typeof data === 'string' ? [Buffer.from(data)] : data) {
      this.#parts.push(part)
      this.#pendingBytes += part.length
    }
    if (this.#pendingBytes >= pieceBytes) await this.flush()
  }

  async flush(): Promise<void> {
    const piece = Buffer.concat(this.#parts)
    this.#parts = []
    this.#pendingBytes = 0
    this.bytes += piece.length
    await this.#target.write(piece)
  }
}

/**
 * Writes beside the file and renames at the end, so that under its name there is a whole export
 * or none, whenever this process or the power ends.
 */
async function toFile(
  session: Session,
  file: string,
  { force }: ExportOptions,
  work: (target: Output) => Promise<void>
): Promise<void> {
  const existing = await ifThere('write', file, stat(file))
  if (existing && !force) throw fileError('write', file, { code: 'EEXIST' })
  // Devices and pipes cannot be renamed onto.
  const direct = existing !== undefined && !existing.isFile()
  const target = direct ? file : `${file}.partial-${process.pid}`
  const stream = createWriteStream(target, { flush: !direct })
  let failure: unknown
  stream.on('error', (error) => (failure ??= error))
  try {
    await work(new Output(stream, session.out.json, session.style))
    stream.end()
    await finished(stream)
    if (!direct) {
      await rename(target, file)
      await syncDirectory(dirname(file))
    }
  } catch (error) {
    stream.destroy()
    if (!direct) await rm(target, { force: true })
    throw failure === undefined ? error : fileError('write', file, failure)
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
