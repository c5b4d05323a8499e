import { ByteReader, malformed } from './byte-reader.js'
import { batchHeaderBytes, EntryType } from './format.js'

/** Walks the entries of a write batch, which is what a log's record holds. */
export class WriteBatchEntries {
  /** LevelDB's sequence number of the first entry; each entry takes the next. */
  readonly firstSeq: number
  readonly count: number
  /** Views of the entry that `next` moved to. */
  key: Buffer = noBytes
  value: Buffer = noBytes
  isDeletion = false
  /** Sequence number of that entry. */
  seq: number
  readonly #reader: ByteReader
  #read = 0

  constructor(record: Buffer) {
    if (record.length < batchHeaderBytes) throw malformed('a batch is too short')
    this.firstSeq = record.readUInt32LE(0) + record.readUInt32LE(4) * 0x1_0000_0000
    this.count = record.readUInt32LE(8)
    this.seq = this.firstSeq - 1
    if (!Number.isSafeInteger(this.firstSeq)) throw malformed('a batch has too large a number')
    this.#reader = new ByteReader(record.subarray(batchHeaderBytes))
  }

  /** Moves to the next entry, at first to the first one; false at the end. */
  next(): boolean {
    const reader = this.#reader
    if (reader.isAtEnd) {
      if (this.#read !== this.count) throw malformed('a batch has fewer entries than it says')
      return false
    }
    const type = reader.byte()
    if (type !== EntryType.value && type !== EntryType.deletion) {
      throw malformed(`a batch has an entry of the unknown type ${type}`)
    }
    if (++this.#read > this.count) throw malformed('a batch has more entries than it says')
    this.key = reader.slice()
    this.isDeletion = type === EntryType.deletion
    this.value = this.isDeletion ? noBytes : reader.slice()
    this.seq++
    return true
  }
}

const noBytes = Buffer.alloc(0)
