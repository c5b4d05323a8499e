import { inputError } from './cli-error.js'

/** How the bytes of a delimited file are to be read; every sign is one byte, -1 for none. */
export interface Dialect {
  readonly delimiter: number
  readonly quote: number
  /** Makes the byte behind it literal inside quotes; the quote itself where quotes are doubled. */
  readonly escape: number
  /** Takes text behind a closing quote as part of the field instead of refusing the row. */
  readonly relaxQuotes: boolean
  /** A longer record is refused: the bound on memory, and what a forgotten quote runs into. */
  readonly maxRecordBytes: number
}

export type LineEnding = 'lf' | 'crlf' | 'none'

/** Lines as they are, without fields: what JSON Lines are. */
export function linesDialect(maxRecordBytes: number): Dialect {
  return { delimiter: -1, quote: -1, escape: -1, relaxQuotes: false, maxRecordBytes }
}

/** One record, byte for byte as it stood in the file. */
export class RawRecord {
  constructor(
    /** The record with its line ending. */
    readonly withEnding: Buffer,
    readonly ending: LineEnding,
    /** Start and end of each field in `withEnding`, quotes included. */
    private readonly bounds: readonly number[],
    /** Counted from 1; a header line counts, blank lines do not. */
    readonly number: number,
    /** The line of the file it starts on, counted from 1. */
    readonly line: number,
    private readonly dialect: Dialect
  ) {}

  /** The record without its line ending. */
  get bytes(): Buffer {
    const endingLength = this.ending === 'crlf' ? 2 : this.ending === 'lf' ? 1 : 0
    return this.withEnding.subarray(0, this.withEnding.length - endingLength)
  }

  get fieldCount(): number {
    return this.bounds.length / 2
  }

  /** What a field says: without its quotes and escapes. */
  field(index: number): Buffer {
    const field = this.rawField(index)
    const { quote } = this.dialect
    return quote >= 0 && field[0] === quote ? unquote(field, this.dialect) : field
  }

  /** A field as it stands, quotes included. */
  rawField(index: number): Buffer {
    return this.withEnding.subarray(this.bounds[2 * index], this.bounds[2 * index + 1])
  }
}

function unquote(field: Buffer, { quote, escape, relaxQuotes }: Dialect): Buffer {
  const text = Buffer.allocUnsafe(field.length)
  let length = 0
  let quoted = true
  for (let i = 1; i < field.length; i++) {
    const byte = field[i]
    const next = i + 1 < field.length ? field[i + 1] : -1
    if (quoted && byte === escape && (next === quote || next === escape)) {
      text[length++] = next
      i++
    } else if (quoted && byte === quote) {
      quoted = false
      if (!relaxQuotes) break
    } else {
      text[length++] = byte
    }
  }
  return text.subarray(0, length)
}

const enum State {
  FieldStart,
  Unquoted,
  Quoted,
  /** Behind an escape sign inside quotes. */
  Escaped,
  /** Behind a quote inside quotes, which closes the field unless another one follows. */
  QuoteSeen,
  /** Behind a closing quote and a carriage return: only the line feed may follow. */
  EndExpected
}

const lineFeed = 0x0a
const carriageReturn = 0x0d
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf])

/**
 * Cuts a stream of bytes into records. A record ends at a line feed that is not inside quotes; a
 * carriage return before it belongs to the line ending. A quote opens a quoted field only as its
 * first byte. Holds one record at a time and looks at each byte once.
 */
export class RecordSplitter {
  readonly #dialect: Dialect
  #buffer: Buffer = Buffer.allocUnsafe(64 * 1024)
  #length = 0
  #start = 0
  #next = 0
  #state = State.FieldStart
  #bounds: number[] = []
  #fieldStart = 0
  #number = 0
  #line = 1
  #linesInRecord = 0
  #atFileStart = true
  #blankLines = 0

  constructor(dialect: Dialect) {
    this.#dialect = dialect
  }

  get blankLines(): number {
    return this.#blankLines
  }

  /** Records completed by the next bytes of the file. */
  *push(chunk: Uint8Array): Generator<RawRecord, void, undefined> {
    this.#append(chunk)
    if (this.#atFileStart && !this.#skipByteOrderMark()) return
    while (this.#scanRecord()) {
      const record = this.#take(this.#next)
      if (record !== undefined) yield record
    }
    const pending = this.#length - this.#start
    if (pending > this.#dialect.maxRecordBytes) {
      throw this.#error(
        `the record is longer than ${this.#dialect.maxRecordBytes} bytes; ` +
          'is a quote missing? See --quote, --escape and --max-record-bytes'
      )
    }
  }

  /** The last record, where the file does not end with a line feed. */
  *end(): Generator<RawRecord, void, undefined> {
    if (this.#state === State.Quoted || this.#state === State.Escaped) {
      throw this.#error('a quoted field is never closed; see --quote and --escape')
    }
    if (this.#start === this.#length) return
    const record = this.#take(this.#length)
    if (record !== undefined) yield record
  }

  /** Room for the chunk behind what is pending; grows by doubling, so long records stay linear. */
  #append(chunk: Uint8Array): void {
    const pending = this.#length - this.#start
    let target = this.#buffer
    if (pending + chunk.length > target.length) {
      target = Buffer.allocUnsafe(Math.max(2 * target.length, pending + chunk.length))
    }
    this.#buffer.copy(target, 0, this.#start, this.#length)
    target.set(chunk, pending)
    this.#buffer = target
    this.#next -= this.#start
    this.#start = 0
    this.#length = pending + chunk.length
  }

  /** False while too little of the file is known to tell. */
  #skipByteOrderMark(): boolean {
    const head = this.#buffer.subarray(0, Math.min(3, this.#length))
    if (head.length < 3 && head.equals(byteOrderMark.subarray(0, head.length))) return false
    if (head.equals(byteOrderMark)) {
      this.#start = 3
      this.#next = 3
    }
    this.#atFileStart = false
    return true
  }

  /** Goes on to the end of the record: true with `#next` behind its line feed. */
  #scanRecord(): boolean {
    const { delimiter, quote, escape } = this.#dialect
    const buffer = this.#buffer
    const length = this.#length
    const start = this.#start
    let state = this.#state
    let at = this.#next
    for (; at < length; at++) {
      const byte = buffer[at]
      if (byte === lineFeed) this.#linesInRecord++
      if (state === State.Quoted) {
        if (byte === quote) state = State.QuoteSeen
        else if (byte === escape) state = State.Escaped
      } else if (state === State.Escaped) {
        state = State.Quoted
      } else if (byte === delimiter) {
        this.#bounds.push(this.#fieldStart, at - start)
        this.#fieldStart = at - start + 1
        state = State.FieldStart
      } else if (byte === lineFeed) {
        this.#next = at + 1
        this.#state = State.FieldStart
        return true
      } else if (state === State.FieldStart) {
        state = byte === quote ? State.Quoted : State.Unquoted
      } else if (state !== State.Unquoted) {
        state = this.#behindQuote(byte, state)
      }
    }
    this.#next = at
    this.#state = state
    return false
  }

  #behindQuote(byte: number, state: State): State {
    const { quote, escape, relaxQuotes } = this.#dialect
    if (state === State.QuoteSeen) {
      if (byte === quote && escape === quote) return State.Quoted
      if (byte === carriageReturn) return State.EndExpected
    }
    if (relaxQuotes) return State.Unquoted
    throw this.#error('text follows a closing quote; see --escape, --quote none and --relax-quotes')
  }

  /** Takes the record that ends at `end` out of the buffer; undefined for a blank line. */
  #take(end: number): RawRecord | undefined {
    const bytes = this.#buffer.subarray(this.#start, end)
    const ending = endingOf(bytes)
    const contentLength = bytes.length - (ending === 'crlf' ? 2 : ending === 'lf' ? 1 : 0)
    const line = this.#line
    this.#line += this.#linesInRecord
    const bounds = this.#bounds
    bounds.push(this.#fieldStart, contentLength)
    this.#bounds = []
    this.#fieldStart = 0
    this.#linesInRecord = 0
    this.#start = end
    this.#next = end
    if (contentLength === 0) {
      this.#blankLines++
      return undefined
    }
    this.#number++
    return new RawRecord(Buffer.from(bytes), ending, bounds, this.#number, line, this.#dialect)
  }

  #error(message: string): Error {
    return inputError(message, this.#number + 1, this.#line)
  }
}

function endingOf(bytes: Buffer): LineEnding {
  if (bytes.length === 0 || bytes[bytes.length - 1] !== lineFeed) return 'none'
  return bytes.length > 1 && bytes[bytes.length - 2] === carriageReturn ? 'crlf' : 'lf'
}
