import { parse } from 'csv-parse/sync'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RecordSplitter, type Dialect, type RawRecord } from '../../dist/cli/record-splitter.js'

const rfc4180: Dialect = {
  delimiter: 0x2c,
  quote: 0x22,
  escape: 0x22,
  relaxQuotes: false,
  maxRecordBytes: 1 << 20
}

function split(bytes: Buffer, dialect = rfc4180, chunkBytes = bytes.length || 1): RawRecord[] {
  const splitter = new RecordSplitter(dialect)
  const records: RawRecord[] = []
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    records.push(...splitter.push(bytes.subarray(at, at + chunkBytes)))
  }
  records.push(...splitter.end())
  return records
}

function fields(record: RawRecord): string[] {
  return Array.from({ length: record.fieldCount }, (_, i) => record.field(i).toString())
}

const texts = (text: string, dialect = rfc4180): string[][] =>
  split(Buffer.from(text), dialect).map(fields)

describe('records of delimited text', () => {
  test('end at line feeds, with or without a carriage return, and at the end of the file', () => {
    const records = split(Buffer.from('a,b\r\nc,d\ne,f'))
    expect(records.map(fields)).toEqual([
      ['a', 'b'],
      ['c', 'd'],
      ['e', 'f']
    ])
    expect(records.map((record) => record.ending)).toEqual(['crlf', 'lf', 'none'])
    expect(records.map((record) => record.bytes.toString())).toEqual(['a,b', 'c,d', 'e,f'])
  })

  test('keep line breaks and delimiters inside quotes, and doubled quotes', () => {
    expect(texts('1,"a\r\nb, ""c"""\n2,"",\n')).toEqual([
      ['1', 'a\r\nb, "c"'],
      ['2', '', '']
    ])
  })

  test('leave \\N and backslashes alone, inside quotes too, unless backslash is the escape', () => {
    expect(texts('\\N,"a\\b"\n')).toEqual([['\\N', 'a\\b']])
    const backslash = { ...rfc4180, escape: 0x5c }
    expect(texts('\\N,"say \\"hi\\" \\\\ \\N",x\n', backslash)).toEqual([
      ['\\N', 'say "hi" \\ \\N', 'x']
    ])
  })

  test('take a quote that is not the first byte of a field as it is', () => {
    expect(texts('5" pipe,a"b"c\n')).toEqual([['5" pipe', 'a"b"c']])
  })

  test('know the line they start on, past blank lines and multi-line records', () => {
    const records = split(Buffer.from('"a\nb"\n\n\r\nc\n'))
    expect(records.map(({ number, line }) => [number, line])).toEqual([
      [1, 1],
      [2, 5]
    ])
  })

  test('do not contain the byte order mark of the file', () => {
    for (const chunkBytes of [1, 2, 3, 100]) {
      const bytes = Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from('"a",b\n')])
      expect(split(bytes, rfc4180, chunkBytes).map(fields)).toEqual([['a', 'b']])
    }
  })

  test('refuse text behind a closing quote, unless told to take it', () => {
    expect(() => texts('a\n1,"b"c\n')).toThrow(/record 2 \(line 2\): text follows a closing quote/)
    expect(() => texts('"b"\rc\n')).toThrow(/text follows a closing quote/)
    expect(texts('1,"b"c\n', { ...rfc4180, relaxQuotes: true })).toEqual([['1', 'bc']])
  })

  test('refuse a quoted field that never ends, naming where it began', () => {
    expect(() => texts('a\n"b\nc\n')).toThrow(/record 2 \(line 2\): a quoted field is never closed/)
  })

  test('refuse a record beyond the size limit instead of filling the memory', () => {
    const text = `a\n"${'x'.repeat(5000)}`
    expect(() => texts(text, { ...rfc4180, maxRecordBytes: 4096 })).toThrow(/longer than 4096/)
  })

  test('together give back every byte of the file, however it is cut into chunks', () => {
    const alphabet = fc.constantFrom('a', ',', '"', '\n', '\r', '\\', 'é', '\\N', '""', '\r\n')
    const property = fc.property(
      fc.array(alphabet, { maxLength: 40 }),
      fc.integer({ min: 1, max: 9 }),
      fc.boolean(),
      (pieces, chunkBytes, backslash) => {
        const bytes = Buffer.from(pieces.join(''))
        const dialect = { ...rfc4180, relaxQuotes: true, ...(backslash && { escape: 0x5c }) }
        let whole: RawRecord[]
        try {
          whole = split(bytes, dialect)
        } catch {
          expect(() => split(bytes, dialect, chunkBytes)).toThrow()
          return
        }
        const cut = split(bytes, dialect, chunkBytes)
        expect(cut.map((record) => record.withEnding)).toEqual(
          whole.map((record) => record.withEnding)
        )
        expect(cut.map(fields)).toEqual(whole.map(fields))
        const blankLess = bytes.toString('latin1')
        const joined = whole.map((record) => record.withEnding.toString('latin1')).join('')
        if (!/(^|\n)\r?\n/.test(blankLess)) expect(joined).toBe(blankLess)
      }
    )
    fc.assert(property, { numRuns: 2000 })
  })

  test('have the fields that csv-parse finds, for every well-formed file', () => {
    const cell = fc.array(fc.constantFrom('a', ',', '"', '\n', '\r', '\\', 'é', ' '), {
      maxLength: 6
    })
    const quoted = (text: string): string =>
      /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
    const property = fc.property(
      fc.array(fc.array(cell, { minLength: 2, maxLength: 4 }), { minLength: 1, maxLength: 6 }),
      fc.constantFrom('\n', '\r\n'),
      (rows, ending) => {
        const text = rows
          .map((row) => row.map((parts) => quoted(parts.join(''))).join(',') + ending)
          .join('')
        const expected = parse(text, { relax_column_count: true, record_delimiter: ending })
        expect(texts(text)).toEqual(expected)
      }
    )
    fc.assert(property, { numRuns: 2000 })
  })
})
