import type { KeySpan } from '../../../memtable/key-span.js'
import type { RangeTombstones } from '../../../memtable/range-tombstones.js'
import type { EntryKind } from '../../../memtable/entry.js'
import type { TableJob, TableMeta } from '../table-meta.js'
import type { Grandparent } from './job.js'
import type { JobControl } from './job-control.js'
import { compareKey } from './key-spans.js'
import type { EntrySource } from './merge-source.js'

/** What an output needs of a table writer. */
export interface TableSink {
  readonly estimatedBytes: number
  /** Enough is waiting to be written. */
  readonly isFull: boolean
  add(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    seq: number,
    kind: EntryKind,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number
  ): void
  addRangeTombstones(tombstones: RangeTombstones): void
  drain(): Promise<void>
  finish(isLast: boolean): Promise<TableMeta>
  abort(): Promise<void>
}

export type CreateTable = (number: number, job: Omit<TableJob, 'isLast'>) => Promise<TableSink>

export interface OutputRules {
  readonly firstOutput: number
  readonly maxOutputs: number
  readonly maxTableBytes: number
  readonly inputs: readonly number[]
  readonly grandparents: readonly Grandparent[]
  readonly maxGrandparentBytes: number
  /** Those that are kept; each output gets its part. */
  readonly tombstones: RangeTombstones
}

/**
 * The tables that a job writes. A new one is begun between two keys, when the current one is large
 * enough or overlaps so much of the level below that merging it further down would be dear. Where
 * outputs meet, range tombstones are cut, so that the tables of a level stay disjoint.
 */
export class OutputTables {
  readonly metas: TableMeta[] = []
  entriesWritten = 0
  bytesWritten = 0

  readonly #create: CreateTable
  readonly #rules: OutputRules
  readonly #control: JobControl
  #sink: TableSink | undefined
  /** Outputs begun so far. */
  #count = 0
  /** The table before, on its way to the disk while the next one is filled. */
  #finishing: Promise<void> = Promise.resolve()
  /** Where the current output begins; undefined: at the first of all keys. */
  #low: Uint8Array | undefined
  #pacedBytes = 0
  /** Of the grandparents, the first that ends behind the current key, and what was passed. */
  #grandparent = 0
  #passedBytes = 0

  constructor(create: CreateTable, rules: OutputRules, control: JobControl) {
    this.#create = create
    this.#rules = rules
    this.#control = control
  }

  /** Takes the source's current version. A promise where it has to wait. */
  add(entry: EntrySource, isNewKey: boolean): Promise<void> | undefined {
    const sink = this.#sink
    if (sink === undefined) return this.#addToNext(entry)
    if (isNewKey && this.#isComplete(entry, sink)) return this.#addToNext(entry)
    this.#put(entry, sink)
    return sink.isFull ? this.#drain(sink) : undefined
  }

  /** Ends the last table; one of range tombstones alone, where there is nothing else. */
  async finish(): Promise<void> {
    if (this.#sink === undefined && !this.#rules.tombstones.isEmpty) {
      this.#sink = await this.#createNext()
    }
    if (this.#sink !== undefined) await this.#finishTable(this.#sink, undefined)
    await this.#finishing
  }

  /** Closes what is open. The files are for the main thread to remove. */
  async abort(): Promise<void> {
    const sink = this.#sink
    this.#sink = undefined
    await Promise.allSettled([this.#finishing])
    await sink?.abort()
  }

  #put(entry: EntrySource, sink: TableSink): void {
    this.entriesWritten++
    const { key, keyStart, keyEnd, seq, kind, value, valueStart, valueEnd } = entry
    sink.add(key, keyStart, keyEnd, seq, kind, value, valueStart, valueEnd)
  }

  #isComplete(entry: EntrySource, sink: TableSink): boolean {
    const { grandparents, maxGrandparentBytes, maxTableBytes, maxOutputs } = this.#rules
    const { key, keyStart, keyEnd } = entry
    while (this.#grandparent < grandparents.length) {
      const { high, sizeBytes }: KeySpan & Grandparent = grandparents[this.#grandparent]
      if (high === undefined || compareKey(key, keyStart, keyEnd, high) < 0) break
      this.#grandparent++
      this.#passedBytes += sizeBytes
    }
    if (this.#count >= maxOutputs) return false
    return sink.estimatedBytes >= maxTableBytes || this.#passedBytes > maxGrandparentBytes
  }

  async #addToNext(entry: EntrySource): Promise<void> {
    if (this.#sink !== undefined) {
      const { key, keyStart, keyEnd } = entry
      await this.#finishTable(this.#sink, Uint8Array.prototype.slice.call(key, keyStart, keyEnd))
    }
    this.#passedBytes = 0
    this.#sink = await this.#createNext()
    this.#put(entry, this.#sink)
  }

  async #drain(sink: TableSink): Promise<void> {
    await sink.drain()
    const bytes = sink.estimatedBytes
    await this.#control.wrote(Math.max(bytes - this.#pacedBytes, 0))
    this.#pacedBytes = bytes
  }

  #createNext(): Promise<TableSink> {
    const { firstOutput, inputs } = this.#rules
    this.#pacedBytes = 0
    return this.#create(firstOutput + this.#count++, { firstOutput, inputs })
  }

  /** Begins to end the current table before `high`; undefined: it is the last. */
  async #finishTable(sink: TableSink, high: Uint8Array | undefined): Promise<void> {
    await this.#finishing
    const { tombstones } = this.#rules
    if (!tombstones.isEmpty) sink.addRangeTombstones(tombstones.clip(this.#low, high))
    this.#low = high
    this.#sink = undefined
    this.#finishing = this.#finished(sink, high === undefined, this.#pacedBytes)
    // Whoever waits for it is told; until then nobody has to be.
    this.#finishing.catch(() => {})
  }

  async #finished(sink: TableSink, isLast: boolean, pacedBytes: number): Promise<void> {
    try {
      const meta = await sink.finish(isLast)
      this.metas.push(meta)
      this.bytesWritten += meta.sizeBytes
      await this.#control.wrote(Math.max(meta.sizeBytes - pacedBytes, 0))
    } catch (error) {
      await Promise.allSettled([sink.abort()])
      throw error
    }
  }
}
