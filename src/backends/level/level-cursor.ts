import { BufferView, compareBytes } from '../../base/bytes.js'
import type { Cursor, CursorOptions, EntryChunk, ReadyEntry } from '../../backend/backend.js'
import { KintsugiError } from '../../errors.js'
import type { Encoding } from '../../options.js'
import { spanOf, successor, type KeySpan } from '../../memtable/key-span.js'
import { StoredValue } from './format.js'
import type { LevelReader } from './level-reader.js'
import { LevelScan } from './level-scan.js'
import {
  asBytes,
  type LevelEncodings,
  type LevelRange,
  type LevelSnapshot,
  type StoredEntry
} from './private-methods.js'
import { storedKey, storedRange, storedSpan } from './stored-key.js'
import { damagedValue } from './stored-value.js'

const maxBatchEntries = 1000
/** Each batch is so many times as large as the one before. */
const growth = 4

const noBytes = Buffer.alloc(0)
const noBounds = new Uint32Array(0)

export const neverWaits =
  "cursors of the backend 'level' cannot wait for the disk, because LevelDB reads ranges in another " +
  'thread; iterate with `for await`'

/**
 * Walks a LevelDB snapshot that nothing stands in front of, and hands entries out as LevelDB makes
 * them. What is wanted as text is read as text, as that is several times faster; the checksum is that
 * of the bytes, so where it does not match, the bytes decide.
 */
export class LevelCursor implements Cursor {
  readonly #reader: LevelReader
  readonly #scan: LevelScan
  readonly #span: KeySpan
  readonly #reverse: boolean
  readonly #wanted: LevelEncodings
  /** How LevelDB is asked; bytes once text has failed. */
  #encodings: LevelEncodings
  /** Where to begin; undefined: at the end of the range that comes first. */
  #from: Buffer | undefined
  /** The key at `#from` was handed out already. */
  #isPassed = false
  /** The key handed out last, since the scan began. */
  #last: Buffer | string | undefined
  #state: 'begin' | 'open' | 'ended' = 'begin'
  #batchEntries = 0
  #batches = 0
  #firstEntries = 1

  constructor(
    reader: LevelReader,
    snapshot: LevelSnapshot,
    options: CursorOptions,
    wanted: LevelEncodings
  ) {
    this.#reader = reader
    this.#scan = new LevelScan(reader.db, snapshot)
    this.#span = spanOf(options.range)
    this.#reverse = options.reverse
    this.#wanted = wanted
    const { keyEncoding, valueEncoding } = wanted
    this.#encodings = keyEncoding === valueEncoding ? wanted : asBytes
  }

  nextChunkSync(): never {
    throw new KintsugiError('KINTSUGI_NOT_SUPPORTED', neverWaits)
  }

  tryNextChunk(maxEntries: number): EntryChunk | undefined | null {
    if (this.#state === 'ended') return undefined
    const scan = this.#scan
    const { batch, passed: start } = scan
    this.#firstEntries = Math.min(maxEntries, maxBatchEntries)
    // Another reader may have asked for the first batch, which is on its way.
    if (batch === undefined) return null
    if (batch.length === 0) {
      this.#state = 'ended'
      return undefined
    }
    if (start === batch.length) return null
    const end = Math.min(batch.length, start + maxEntries)
    scan.passed = this.#open(batch, start, end)
    const count = scan.passed - start
    // The bytes decide about what is no text.
    if (count === 0) return null
    return {
      count,
      entries: batch as ReadyEntry[],
      firstBound: start,
      bytes: noBytes,
      memory: noBytes.buffer as ArrayBuffer,
      bounds: noBounds
    }
  }

  async load(): Promise<void> {
    try {
      if (this.#state === 'begin') {
        this.#scan.begin(this.#range(), this.#reverse, this.#encodings)
        this.#batchEntries = this.#firstEntries
        this.#batches = 0
        this.#state = 'open'
      } else this.#batchEntries = Math.min(this.#batchEntries * growth, maxBatchEntries)
      if (!(await this.#scan.load(this.#batchEntries))) return
    } catch (error) {
      this.#reader.damage.note(error)
      throw error
    }
    // Whoever has come so far will want the rest as well.
    if (++this.#batches > 1) this.#scan.askAhead(maxBatchEntries)
  }

  seek(key: Uint8Array): void {
    const { low, high } = this.#span
    const isInside = this.#reverse
      ? high === undefined || compareBytes(key, high) < 0
      : compareBytes(key, low) > 0
    this.#begin(isInside ? Buffer.from(key) : undefined, false)
  }

  close(): void {
    this.#state = 'ended'
    this.#scan.close()
  }

  /** Checks entries and takes prefix and header away; the index behind the last that is whole. */
  #open(batch: readonly StoredEntry[], start: number, end: number): number {
    const { values } = this.#reader
    const isText = this.#encodings.keyEncoding === 'utf8'
    for (let i = start; i < end; i++) {
      const entry = batch[i]
      const [key, stored] = entry
      if (isText) {
        if (values.provenText(stored as string, key as string) === undefined) {
          return this.#readBytes(batch, i, start)
        }
        entry[0] = (key as string).slice(1)
        entry[1] = (stored as string).slice(StoredValue.value)
      } else {
        if (!values.proves(stored as Buffer, key as Buffer)) {
          // What was read before goes out first; the next call comes to the same place.
          if (i > start) return i
          throw this.#damaged(key as Buffer)
        }
        entry[0] = part(key as Buffer, 1, this.#wanted.keyEncoding)
        entry[1] = part(stored as Buffer, StoredValue.value, this.#wanted.valueEncoding)
      }
    }
    this.#last = batch[end - 1][0]
    return end
  }

  /** Begins anew behind the last entry that is whole: all of them are read as bytes from there on. */
  #readBytes(batch: readonly StoredEntry[], index: number, start: number): number {
    if (index > start) this.#last = batch[index - 1][0]
    this.#encodings = asBytes
    const last = this.#last
    if (last === undefined) this.#begin(this.#from, this.#isPassed)
    else this.#begin(Buffer.from(last), true)
    return index
  }

  #damaged(key: Buffer): KintsugiError {
    const { damage, db } = this.#reader
    const error = damagedValue(key, db.path)
    damage.note(error)
    return error
  }

  #range(): LevelRange {
    const from = this.#from
    if (from === undefined || !this.#isPassed) return storedRange(this.#span, from, this.#reverse)
    if (!this.#reverse) return storedRange(this.#span, successor(from), false)
    return { gte: storedSpan(this.#span).gte, lt: storedKey(from) }
  }

  #begin(from: Buffer | undefined, isPassed: boolean): void {
    this.#last = undefined
    this.#scan.close()
    this.#from = from
    this.#isPassed = isPassed
    this.#state = 'begin'
  }
}

/** What stands behind the first bytes, as a view or as text. */
function part(bytes: Buffer, start: number, encoding: Encoding): Buffer | string {
  if (encoding === 'utf8') return bytes.toString('utf8', start)
  return new BufferView(bytes.buffer, bytes.byteOffset + start, bytes.length - start)
}
