import { usageError } from './cli-error.js'
import { encodeParts } from './composite-key.js'
import { RecordSplitter, type Dialect } from './record-splitter.js'

/** One part of a key, as `--key` names it. */
export interface KeyPart {
  /** Column name; `#` is the number of the row in the file. */
  readonly column: string
  /** Digits to pad a number to, so that keys order as the numbers do; 0 for none. */
  readonly digits: number
}

/** Enough digits for any file, so that row numbers order as text. */
const rowNumberDigits = 12

const listDialect: Dialect = {
  delimiter: 0x2c,
  quote: 0x22,
  escape: 0x22,
  relaxQuotes: false,
  maxRecordBytes: 1 << 20
}

/** Items separated by commas; an item in quotes may contain commas. */
export function splitList(text: string, what: string): string[] {
  const splitter = new RecordSplitter(listDialect)
  try {
    const records = [...splitter.push(Buffer.from(text)), ...splitter.end()]
    if (records.length === 0) return ['']
    if (records.length === 1) {
      return Array.from({ length: records[0].fieldCount }, (_, i) => records[0].field(i).toString())
    }
  } catch {
    // Falls through to the one message about lists.
  }
  throw usageError(`${what} is not a list: separate items by commas, quote those with a comma`)
}

/** `--key a,b:10,#` with the columns there are; undefined columns: any name goes (JSON fields). */
export function parseKeySpec(spec: string, columns: readonly string[] | undefined): KeyPart[] {
  return splitList(spec, '--key').map((item) => {
    const known = (name: string): boolean => name === '#' || (columns?.includes(name) ?? true)
    const padded = /^(.+):(\d{1,2})$/.exec(item)
    const isWhole = columns?.includes(item) ?? padded === null
    if (item !== '' && (isWhole || item === '#')) return { column: item, digits: 0 }
    if (padded && known(padded[1])) return { column: padded[1], digits: Number(padded[2]) }
    throw usageError(
      `--key names ${JSON.stringify(item)}, which is not a column; ` +
        `there are ${columns?.join(', ') ?? 'fields of JSON objects'}, and # for the row number`
    )
  })
}

/** The key of a row; `valueOf` gives a column's bytes, `fail` the error that names the row. */
export function buildKey(
  parts: readonly KeyPart[],
  rowNumber: number,
  valueOf: (part: number, column: string) => Buffer,
  fail: (message: string) => Error
): Buffer {
  const values: Buffer[] = []
  for (let i = 0; i < parts.length; i++) {
    const { column, digits } = parts[i]
    if (column === '#') {
      values.push(Buffer.from(String(rowNumber).padStart(digits || rowNumberDigits, '0')))
      continue
    }
    const value = valueOf(i, column)
    values.push(digits === 0 ? value : padNumber(value, column, digits, fail))
  }
  return encodeParts(values)
}

function padNumber(
  value: Buffer,
  column: string,
  digits: number,
  fail: (message: string) => Error
): Buffer {
  const text = value.toString('latin1')
  if (!/^\d+$/.test(text) || text.length > digits) {
    throw fail(
      `${column} is ${JSON.stringify(text)}, not a whole number of at most ${digits} digits`
    )
  }
  return Buffer.from(text.padStart(digits, '0'))
}
