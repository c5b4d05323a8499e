import { isBase64, utf8Text, type ByteEncoding } from './byte-text.js'
import { inputError, usageError } from './cli-error.js'
import { buildKey, parseKeySpec, type KeyPart } from './key-plan.js'
import type { RawRecord } from './record-splitter.js'
import { exportColumns, type MappedRow, type MapperOptions, type RowMapper } from './row-mapper.js'

export interface CsvMapperOptions extends MapperOptions {
  /** The first record names the columns. */
  readonly hasHeader: boolean
  /** Names for the columns of a file without a header; numbers from 1 where absent. */
  readonly columns: readonly string[] | undefined
  /** An unquoted field that says this is null in JSON values. */
  readonly nullText: string | undefined
}

interface Layout {
  readonly columns: readonly string[]
  readonly keyParts: readonly KeyPart[]
  /** Field index per key part; -1 for the row number. */
  readonly keyFields: readonly number[]
  readonly keyEncoding: ByteEncoding
  readonly valueField: number
  readonly valueEncoding: ByteEncoding
}

/** Rows of delimited text. */
export class CsvMapper implements RowMapper {
  readonly #options: CsvMapperOptions
  #layout: Layout | undefined
  #header: RawRecord | undefined

  constructor(options: CsvMapperOptions) {
    this.#options = options
  }

  get header(): RawRecord | undefined {
    return this.#header
  }

  map(record: RawRecord): MappedRow | undefined {
    if (this.#layout === undefined) {
      this.#layout = this.#resolve(record)
      if (this.#options.hasHeader) {
        this.#header = record
        return undefined
      }
    }
    const layout = this.#layout
    const rowNumber = this.#header === undefined ? record.number : record.number - 1
    const key = buildKey(
      layout.keyParts,
      rowNumber,
      (part, column) =>
        decode(this.#field(record, layout.keyFields[part], column), layout.keyEncoding, record),
      (message) => inputError(message, record.number, record.line)
    )
    return { key, value: this.#value(record, layout) }
  }

  #resolve(first: RawRecord): Layout {
    const columns = this.#columnNames(first)
    const { keySpec, valueColumn } = this.#options
    const indexOf = (name: string): number => columns.indexOf(name)
    if (keySpec === undefined) return exportLayout(columns, valueColumn)
    const keyParts = parseKeySpec(keySpec, columns)
    if (valueColumn !== undefined && indexOf(valueColumn) < 0) {
      throw usageError(
        `--value-column names ${JSON.stringify(valueColumn)}, which is not a column; ` +
          `there are ${columns.join(', ')}`
      )
    }
    return {
      columns,
      keyParts,
      keyFields: keyParts.map(({ column }) => indexOf(column)),
      keyEncoding: 'utf8',
      valueField: valueColumn === undefined ? -1 : indexOf(valueColumn),
      valueEncoding: 'utf8'
    }
  }

  #columnNames(first: RawRecord): readonly string[] {
    const { hasHeader, columns } = this.#options
    if (columns !== undefined) {
      if (columns.length === first.fieldCount) return columns
      throw usageError(
        `--columns names ${columns.length} columns, but the file has ${first.fieldCount}`
      )
    }
    const numbers = Array.from({ length: first.fieldCount }, (_, i) => i)
    const names = numbers.map((i) => (hasHeader ? first.field(i).toString() : String(i + 1)))
    const repeated = names.find((name, i) => names.indexOf(name) !== i)
    if (repeated === undefined) return names
    throw inputError(
      `the header names ${JSON.stringify(repeated)} twice; ` +
        'if the file has no header, use --no-header or --columns',
      first.number,
      first.line
    )
  }

  #field(record: RawRecord, index: number, column: string): Buffer {
    if (index < record.fieldCount) return record.field(index)
    throw inputError(
      `there is no field for ${column}: the row has ${record.fieldCount} fields`,
      record.number,
      record.line
    )
  }

  #value(record: RawRecord, layout: Layout): Buffer {
    const { valueMode, keepLineEnding } = this.#options
    if (layout.valueField >= 0) {
      const column = layout.columns[layout.valueField]
      return decode(this.#field(record, layout.valueField, column), layout.valueEncoding, record)
    }
    if (valueMode === 'json') return this.#jsonValue(record, layout)
    return keepLineEnding ? record.withEnding : record.bytes
  }

  #jsonValue(record: RawRecord, { columns }: Layout): Buffer {
    if (record.fieldCount !== columns.length) {
      throw inputError(
        `the row has ${record.fieldCount} fields for ${columns.length} columns`,
        record.number,
        record.line
      )
    }
    const { nullText } = this.#options
    const entries = columns.map((column, i): [string, string | null] => {
      if (nullText !== undefined && record.rawField(i).toString() === nullText)
        return [column, null]
      const text = utf8Text(record.field(i))
      if (text !== undefined) return [column, text]
      throw inputError(
        `${column} is not UTF-8 text; import with --as raw to keep the bytes`,
        record.number,
        record.line
      )
    })
    return Buffer.from(JSON.stringify(Object.fromEntries(entries)))
  }
}

/** The layout of a file that `export --format csv` wrote. */
function exportLayout(columns: readonly string[], valueColumn: string | undefined): Layout {
  const keyColumn = Object.keys(exportColumns.key).find((name) => columns.includes(name))
  const value = Object.keys(exportColumns.value).find((name) => columns.includes(name))
  if (keyColumn === undefined || value === undefined || valueColumn !== undefined) {
    throw usageError(
      `say which columns make up the key: --key with one or more of ${columns.join(', ')}`
    )
  }
  return {
    columns,
    keyParts: [{ column: keyColumn, digits: 0 }],
    keyFields: [columns.indexOf(keyColumn)],
    keyEncoding: exportColumns.key[keyColumn as keyof typeof exportColumns.key],
    valueField: columns.indexOf(value),
    valueEncoding: exportColumns.value[value as keyof typeof exportColumns.value]
  }
}

function decode(field: Buffer, encoding: ByteEncoding, record: RawRecord): Buffer {
  if (encoding === 'utf8') return field
  const text = field.toString('latin1')
  const valid = encoding === 'hex' ? /^([0-9a-fA-F]{2})*$/.test(text) : isBase64(text)
  if (!valid) throw inputError(`a field is not ${encoding}`, record.number, record.line)
  return Buffer.from(text, encoding)
}
