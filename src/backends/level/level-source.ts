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
/** The entry of the first batch at which the next batch is asked for. */
const askAheadAt = 16

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
  #index = 0
  /** What the seek under way looks for; undefined: none is. */
  #sought: { readonly key: Buffer | undefined; readonly reverse: boolean } | undefined
  /** The batch begins at what was sought. */
  #isSeekDone = false

  constructor(reader: LevelReader, snapshot: LevelSnapshot, span: KeySpan) {
    this.#reader = reader
    this.#span = span
    this.#scan = new LevelScan(reader.db, snapshot)
  }

  seek(key: Uint8Array | undefined, reverse: boolean): boolean | null {
    if (this.#isSeekDone && this.#isSought(key, reverse)) {
      this.#sought = undefined
      this.#isSeekDone = false
      return this.#stand()
    }
    this.#sought = { key: key && Buffer.from(key), reverse }
    this.#isSeekDone = false
    return null
  }

  next(): boolean | null {
    const { batch } = this.#scan
    if (this.#index + 1 < batch.length) {
      this.#index++
      return this.#stand()
    }
    // After an empty batch there is nothing more.
    return batch.length === 0 ? false : null
  }

  skip(): void {
    // There is no page to be called for.
  }

  /** The value is read in any case: its checksum is what vouches for the key. */
  resolve(_maxSeq: number, lookup: Lookup): boolean {
    const [key, stored] = this.#scan.batch[this.#index] as [Buffer, Buffer]
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
    if (sought === undefined || this.#isSeekDone) {
      if (!(await this.#scan.load(batchEntries))) return
      // Whoever has come so far will want the rest as well.
      if (this.#scan.batch.length > 0) this.#scan.askAhead(batchEntries)
      this.#index = -1
      return
    }
    const range = storedRange(this.#span, sought.key, sought.reverse)
    this.#scan.begin(range, sought.reverse, asBytes)
    if (!(await this.#scan.load(firstBatchEntries)) || this.#sought !== sought) return
    this.#index = 0
    this.#isSeekDone = true
  }

  close(): void {
    this.#scan.close()
  }

  /** Takes the key at the index; false where there is none. */
  #stand(): boolean {
    const { batch } = this.#scan
    if (this.#index >= batch.length) return false
    if (this.#index === askAheadAt) this.#scan.askAhead(batchEntries)
    const stored = batch[this.#index][0] as Buffer
    const length = stored.length - 1
    const { key } = this
    key.reserve(length + 4)
    // What is left of the last word is zero: keys are compared by words.
    key.u32[length >>> 2] = 0
    for (let i = 0; i < length; i++) key.u8[i] = stored[i + 1]
    this.keyEnd = length
    return true
  }

  #isSought(key: Uint8Array | undefined, reverse: boolean): boolean {
    const sought = this.#sought!
    if (sought.reverse !== reverse) return false
    if (key === undefined || sought.key === undefined) return key === sought.key
    return compareBytes(key, sought.key) === 0
  }
}
