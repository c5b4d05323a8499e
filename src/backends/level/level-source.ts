import { compareBytes } from '../../base/bytes.js'
import { EntryKind } from '../../memtable/entry.js'
import type { KeySpan } from '../../memtable/key-span.js'
import type { Lookup } from '../../memtable/lookup.js'
import type { SourceCursor } from '../../merging/source-cursor.js'
import type { PageBytes } from '../../page/format.js'
import { StoredValue } from './format.js'
import type { LevelReader } from './level-reader.js'
import { LevelScan } from './level-scan.js'
import { asBytes, type LevelSnapshot } from './private-methods.js'
import { storedRange } from './stored-key.js'
import { damagedValue } from './stored-value.js'

/** Entries of the first batch, which may be all that is wanted. */
const firstBatchEntries = 32
const batchEntries = 1000
/** So many entries of a batch are passed when the next batch is asked for. */
const askAheadAt = 17

/** Memory of one entry: the key at 0, the value behind it, both 4-byte aligned and padded. */
class EntryMemory implements PageBytes {
  u8 = Buffer.alloc(0)
  u32 = new Uint32Array(0)

  /** Room for so many bytes; what was there is kept. */
  reserve(sizeBytes: number): void {
    if (sizeBytes <= this.u8.length) return
    const grown = Buffer.alloc((2 * sizeBytes + 3) & ~3)
    grown.set(this.u8)
    this.u8 = grown
    this.u32 = new Uint32Array(grown.buffer, grown.byteOffset, grown.length >>> 2)
  }
}

interface Sought {
  readonly key: Buffer | undefined
  readonly reverse: boolean
}

/** What a LevelDB snapshot has of a span, as a source of a merging cursor. */
export class LevelSource implements SourceCursor {
  age = 0
  readonly key = new EntryMemory()
  readonly keyStart = 0
  keyEnd = 0
  readonly page = undefined
  readonly maxUnorderedSeq = 0

  readonly #reader: LevelReader
  readonly #span: KeySpan
  readonly #scan: LevelScan
  /** What the seek under way looks for; undefined: none is. */
  #sought: Sought | undefined
  /** What the scan began at. */
  #begun: Sought | undefined

  constructor(reader: LevelReader, snapshot: LevelSnapshot, span: KeySpan) {
    this.#reader = reader
    this.#span = span
    this.#scan = new LevelScan(reader.db, snapshot)
  }

  seek(key: Uint8Array | undefined, reverse: boolean): boolean | null {
    // Another reader may be waiting for the same: beginning anew each time would never end.
    if (this.#sought === undefined || !isSame(this.#sought, key, reverse)) {
      this.#sought = { key: key && Buffer.from(key), reverse }
    }
    if (this.#begun !== this.#sought || this.#scan.batch === undefined) return null
    this.#sought = undefined
    return this.#pass()
  }

  next(): boolean | null {
    if (this.#pass()) return true
    // After an empty batch there is nothing more.
    return this.#scan.batch?.length === 0 ? false : null
  }

  skip(): void {
    // There is no page to be called for.
  }

  /** The value is read in any case: its checksum is what vouches for the key. */
  resolve(_maxSeq: number, lookup: Lookup): boolean {
    const { batch, passed } = this.#scan
    const [key, stored] = batch![passed - 1] as [Buffer, Buffer]
    const { values, db } = this.#reader
    if (!values.proves(stored, key)) throw damagedValue(key, db.path)
    const valueStart = (this.keyEnd + 3) & ~3
    const valueBytes = stored.length - StoredValue.value
    this.key.reserve(valueStart + ((valueBytes + 3) & ~3))
    this.key.u8.set(stored.subarray(StoredValue.value), valueStart)
    lookup.seq = values.seqOf(stored)
    lookup.kind = EntryKind.put
    lookup.memory = this.key
    lookup.start = valueStart
    lookup.end = valueStart + valueBytes
    return true
  }

  async load(): Promise<void> {
    const sought = this.#sought
    if (sought === undefined) {
      // Whoever has come so far will want the rest as well.
      if (await this.#scan.load(batchEntries)) this.#scan.askAhead(batchEntries)
      return
    }
    if (this.#begun !== sought) {
      const range = storedRange(this.#span, sought.key, sought.reverse)
      this.#scan.begin(range, sought.reverse, asBytes)
      this.#begun = sought
    }
    if (this.#scan.batch === undefined) await this.#scan.load(firstBatchEntries)
  }

  close(): void {
    this.#scan.close()
  }

  /** Goes on to the next key of the batch; false where there is none. */
  #pass(): boolean {
    const scan = this.#scan
    const { batch } = scan
    if (batch === undefined || scan.passed >= batch.length) return false
    const stored = batch[scan.passed++][0] as Buffer
    if (scan.passed === askAheadAt) scan.askAhead(batchEntries)
    const length = stored.length - 1
    const { key } = this
    key.reserve(length + 4)
    // What is left of the last word is zero: keys are compared by words.
    key.u32[length >>> 2] = 0
    for (let i = 0; i < length; i++) key.u8[i] = stored[i + 1]
    this.keyEnd = length
    return true
  }
}

function isSame(sought: Sought, key: Uint8Array | undefined, reverse: boolean): boolean {
  if (sought.reverse !== reverse) return false
  if (key === undefined || sought.key === undefined) return key === sought.key
  return compareBytes(key, sought.key) === 0
}
