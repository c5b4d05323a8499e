import { InvalidArgumentError, Option, type Command } from 'commander'
import { addBackendOption, type BackendOption } from './backend-option.js'
import { usageError } from './cli-error.js'
import { CsvMapper } from './csv-mapper.js'
import { durabilities, type Durability } from '../options.js'
import { JsonMapper } from './json-mapper.js'
import { splitList } from './key-plan.js'
import { wholeNumber } from './number-options.js'
import { linesDialect, type Dialect } from './record-splitter.js'
import type { RowMapper, ValueMode } from './row-mapper.js'
import { addSoleOption } from './sole-option.js'

export interface ImportOptions extends BackendOption {
  readonly format?: 'csv' | 'jsonl'
  readonly key?: string
  readonly as: ValueMode
  readonly valueColumn?: string
  readonly keepEol?: boolean
  readonly header: boolean
  readonly columns?: string
  readonly delimiter?: number
  readonly quote: number
  readonly escape?: number
  readonly relaxQuotes?: boolean
  readonly null?: string
  readonly maxRecordBytes: number
  readonly unique?: boolean
  readonly durability: Durability
  readonly batchRows: number
  readonly create: boolean
}

export function addImportOptions(command: Command): Command {
  return addBackendOption(command)
    .addOption(
      new Option('--format <format>', 'csv or jsonl; by the name of the file without it').choices([
        'csv',
        'jsonl'
      ])
    )
    .option(
      '--key <columns>',
      'what makes up the key: id; or several a,b,c; id:10 pads a number with zeros to 10 digits ' +
        'so that keys order as numbers; # is the number of the row'
    )
    .addOption(
      new Option('--as <what>', 'what is stored: the row byte for byte, or a JSON object of it')
        .choices(['raw', 'json'])
        .default('raw')
    )
    .option('--value-column <name>', 'store the content of this column alone')
    .option('--keep-eol', 'store rows with their line ending')
    .option('--no-header', 'the first row is data; columns are named 1, 2, 3 …')
    .option('--columns <names>', 'names for the columns of a file without a header')
    .option('--delimiter <sign>', 'between fields; a comma, or a tab for .tsv', signByte)
    .addOption(
      new Option('--quote <sign>', 'around fields; none for none')
        .argParser(signByte)
        .default(0x22, '"')
    )
    .option('--escape <sign>', 'before a quote inside quotes; doubled quotes without it', signByte)
    .option('--relax-quotes', 'take text behind a closing quote as part of the field')
    .option('--null <text>', 'with --as json: an unquoted field that says this is null')
    .option('--unique', 'stop at a key that an earlier row of the file has')
    .addOption(
      new Option('--durability <mode>', 'when a batch counts as written')
        .choices(durabilities)
        .default('sync')
    )
    .option('--batch-rows <count>', 'rows per batch', wholeNumber('--batch-rows', 1), 2000)
    .option(
      '--max-record-bytes <bytes>',
      'refuse a longer row',
      wholeNumber('--max-record-bytes', 1),
      64 * 1024 * 1024
    )
    .option('--no-create', 'fail where there is no store yet')
}

export interface FromLevelDbOption {
  readonly fromLeveldb?: string
}

/** Instead of a file; what says how a file is read has no meaning with it. */
export function addFromLevelDbOption(command: Command): Command {
  const description = 'copy a plain LevelDB database into a new store'
  return addSoleOption(command, '--from-leveldb <dir>', description, ['backend'])
}

/** One byte: the sign itself, `\t` or `tab`, or `none`. */
function signByte(text: string): number {
  if (text === 'none') return -1
  if (text === '\\t' || text === 'tab') return 0x09
  if (text.length === 1 && text.charCodeAt(0) < 0x80 && !/[\r\n]/.test(text)) {
    return text.charCodeAt(0)
  }
  throw new InvalidArgumentError('Give one ASCII character, tab, or none.')
}

/** How a file is to be read; `file` is `-` for standard input. */
export interface InputPlan {
  readonly format: 'csv' | 'jsonl'
  readonly dialect: Dialect
  readonly mapper: RowMapper
}

export function planInput(file: string, options: ImportOptions): InputPlan {
  const format = options.format ?? formatByName(file)
  const mapperOptions = {
    keySpec: options.key,
    valueMode: options.as,
    valueColumn: options.valueColumn,
    keepLineEnding: options.keepEol ?? false
  }
  if (format === 'jsonl') {
    return {
      format,
      dialect: linesDialect(options.maxRecordBytes),
      mapper: new JsonMapper(mapperOptions)
    }
  }
  const columns =
    options.columns === undefined ? undefined : splitList(options.columns, '--columns')
  return {
    format,
    dialect: dialectOf(file, options),
    mapper: new CsvMapper({
      ...mapperOptions,
      columns,
      hasHeader: options.header && columns === undefined,
      nullText: options.null
    })
  }
}

function dialectOf(file: string, options: ImportOptions): Dialect {
  const delimiter = options.delimiter ?? (/\.tsv$/i.test(file) ? 0x09 : 0x2c)
  const { quote } = options
  if (quote === delimiter && quote >= 0) throw usageError('--quote and --delimiter are the same')
  return {
    delimiter,
    quote,
    escape: options.escape ?? quote,
    relaxQuotes: options.relaxQuotes ?? false,
    maxRecordBytes: options.maxRecordBytes
  }
}

function formatByName(file: string): 'csv' | 'jsonl' {
  if (/\.(jsonl|ndjson)$/i.test(file)) return 'jsonl'
  if (file === '-') throw usageError('say what standard input is: --format csv or --format jsonl')
  return 'csv'
}
