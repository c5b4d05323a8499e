import { compareBytes } from '../../base/bytes.js'
import type { KintsugiError } from '../../errors.js'
import { EntryKind } from '../../memtable/entry.js'
import type { KeySpan } from '../../memtable/key-span.js'
import type { Lookup } from '../../memtable/lookup.js'
import type { PageBytes } from '../../page/format.js'
import type { SourceCursor } from '../../merging/source-cursor.js'
import { StoredValue } from './format.js'
import type { LevelIterator, LevelRange, LevelSnapshot } from './level-db.js'
import { levelError } from './level-error.js'
import type { LevelReader } from './level-reader.js'
import { storedKey, storedSpan } from './stored-key.js'
import { damagedValue } from './stored-value.js'

/** Entries of the first batch, which may be all that is wanted. */
const firstBatchEntries = 32
const batchEntries = 1000
/** The entry of the first batch at which the next batch is asked for. */
const askAheadAt = 16

type Batch = readonly (readonly [Uint8Array, Buffer])[]

/** What a request for a batch came to, so that nobody has to wait for it. */
type Outcome = { readonly batch: Batch } | { readonly error: unknown }

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

/**
 * What a LevelDB snapshot has of a span, as a source of a merging cursor. LevelDB reads in another
 * thread, batch by batch; the next batch is asked for while this one is used.
 */
export class LevelSource implements SourceCursor {
  age = 0
  readonly key = new EntryMemory()
  readonly keyStart = 0
  keyEnd = 0
  readonly page = undefined
  readonly maxUnorderedSeq = 0

  readonly #reader: LevelReader
  readonly #snapshot: LevelSnapshot
  readonly #span: KeySpan
  #iterator: LevelIterator | undefined
  #batch: Batch = []
  #index = 0
  /** The batch that was asked for and has not been taken. */
  #ahead: Promise<Outcome> | undefined
  #hasEnded = false
  #failure: KintsugiError | undefined
  /** What the seek under way looks for; undefined: none is. */
  #sought: { readonly key: Buffer | undefined; readonly reverse: boolean } | undefined
  /** The batch begins at what was sought. */
  #isSeekDone = false
  #isClosed = false

  constructor(reader: LevelReader, snapshot: LevelSnapshot, span: KeySpan) {
    this.#reader = reader
    this.#snapshot = snapshot
    this.#span = span
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
    this.#index++
    if (this.#index < this.#batch.length) return this.#stand()
    if (this.#hasEnded) return false
    // Again from here once it is loaded.
    this.#index--
    return null
  }

  skip(): void {
    // There is no page to be called for.
  }

  /** The value is read in any case: its checksum is what vouches for the key. */
  resolve(_maxSeq: number, lookup: Lookup): boolean {
    const [key, stored] = this.#batch[this.#index]
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
    if (this.#failure !== undefined) throw this.#failure
    const sought = this.#sought
    if (sought !== undefined && !this.#isSeekDone) {
      this.#begin(sought.key, sought.reverse)
      const outcome = await this.#request(firstBatchEntries)
      // Another seek may have come meanwhile.
      if (this.#sought !== sought || this.#isClosed) return
      this.#take(outcome)
      this.#isSeekDone = true
      return
    }
    this.#ahead ??= this.#request(batchEntries)
    const ahead = this.#ahead
    const outcome = await ahead
    if (this.#ahead !== ahead || this.#isClosed) return
    this.#ahead = undefined
    this.#take(outcome)
    if (!this.#hasEnded) this.#ahead = this.#request(batchEntries)
    this.#index = -1
  }

  close(): void {
    this.#isClosed = true
    this.#closeIterator()
  }

  /** Takes the key at the index; false where there is none. */
  #stand(): boolean {
    if (this.#index >= this.#batch.length) return false
    // Whoever goes on so far will want the rest as well.
    if (this.#index === askAheadAt) this.#ahead ??= this.#request(batchEntries)
    const [stored] = this.#batch[this.#index]
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

  /** A new iterator: seeking with the old one would read from the disk in this thread. */
  #begin(key: Buffer | undefined, reverse: boolean): void {
    this.#closeIterator()
    this.#hasEnded = false
    const { gte, lt } = storedSpan(this.#span)
    let range: LevelRange = { gte, lt }
    if (key !== undefined) {
      const from = storedKey(key)
      range = reverse ? { gte, lte: from } : { gte: from, lt }
    }
    this.#iterator = this.#reader.db.iterator(range, reverse, this.#snapshot)
  }

  #request(size: number): Promise<Outcome> {
    return this.#iterator!.nextv(size).then(
      (batch) => ({ batch }),
      (error: unknown) => ({ error })
    )
  }

  #take(outcome: Outcome): void {
    if ('error' in outcome) {
      // LevelDB's iterator would go on as if it had come to the end.
      this.#failure = levelError(outcome.error, this.#reader.db.path, 'iterate')
      throw this.#failure
    }
    this.#batch = outcome.batch
    this.#index = 0
    this.#hasEnded = outcome.batch.length === 0
  }

  /** Closing waits for a batch under way, and cannot fail otherwise. */
  #closeIterator(): void {
    this.#batch = []
    this.#ahead = undefined
    this.#iterator?.close().catch(() => undefined)
    this.#iterator = undefined
  }
}
