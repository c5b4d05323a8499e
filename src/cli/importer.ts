import { CliError, inputError } from './cli-error.js'
import { showBytes } from './byte-text.js'
import { FingerprintSet } from './fingerprint-set.js'
import type { RawRecord } from './record-splitter.js'
import type { MappedRow } from './row-mapper.js'

/** What an import needs of a store. */
export interface ImportTarget {
  get(key: Buffer): Buffer | undefined
  /** Writes all of them or none and resolves when they are as durable as asked for. */
  write(rows: readonly MappedRow[]): Promise<void>
}

export interface ImporterOptions {
  readonly batchRows: number
  readonly batchBytes: number
  /** A key that occurs twice in the file ends the import. */
  readonly unique: boolean
  /** Nothing was in the store before, so whatever is there now came from this file. */
  readonly targetWasEmpty: boolean
  readonly duplicateMemoryBytes: number
}

/** A key that an earlier row of the same file has. */
export interface Duplicate {
  readonly record: number
  readonly line: number
  readonly key: Buffer
}

export interface ImportCounts {
  /** Rows read, the header not counted. */
  rows: number
  /** Keys that were not in the store. */
  added: number
  /** Rows already in the store with this very value: not written again. */
  unchanged: number
  /** Keys of an earlier import whose value this file replaced. */
  replaced: number
  /** Rows whose key an earlier row of this file has, with the same value: nothing is lost. */
  repeated: number
  /** Rows whose key an earlier row of this file has, with another value, which is overwritten. */
  overwritten: number
}

/**
 * Writes rows in batches, each one atomic, in the order of the file. Importing the same file again
 * leads to the same state from wherever an earlier attempt ended, and what is there already is
 * not written again.
 */
export class Importer {
  readonly counts: ImportCounts = {
    rows: 0,
    added: 0,
    unchanged: 0,
    replaced: 0,
    repeated: 0,
    overwritten: 0
  }
  /** The first few rows that overwrote another one. */
  readonly examples: Duplicate[] = []
  readonly #target: ImportTarget
  readonly #options: ImporterOptions
  readonly #seen: FingerprintSet
  #duplicatesKnown = true
  /** The batch being filled, by key, so that a later row of it replaces an earlier one. */
  #pending = new Map<string, MappedRow>()
  #pendingBytes = 0

  constructor(target: ImportTarget, options: ImporterOptions) {
    this.#target = target
    this.#options = options
    this.#seen = new FingerprintSet(options.duplicateMemoryBytes)
  }

  /** False when the file had too many rows to remember every key, so duplicates went uncounted. */
  get duplicatesKnown(): boolean {
    return this.#duplicatesKnown
  }

  /** Takes a row; true when the batch is full and `flush` is due. */
  add(row: MappedRow, record: RawRecord): boolean {
    const id = row.key.toString('latin1')
    const pending = this.#pending.get(id)
    const current = pending?.value ?? this.#target.get(row.key)
    const duplicate = pending !== undefined || this.#isDuplicate(row.key, current !== undefined)
    this.counts.rows++
    const same = current !== undefined && current.equals(row.value)
    if (duplicate) this.#noteDuplicate(row, record, same)
    else if (current === undefined) this.counts.added++
    else if (same) this.counts.unchanged++
    else this.counts.replaced++
    if (same) return false
    this.#pending.set(id, row)
    this.#pendingBytes += row.key.length + row.value.length
    return (
      this.#pending.size >= this.#options.batchRows ||
      this.#pendingBytes >= this.#options.batchBytes
    )
  }

  /** Writes the batch and waits until it is durable. */
  async flush(): Promise<void> {
    if (this.#pending.size === 0) return
    await this.#target.write([...this.#pending.values()])
    this.#pending.clear()
    this.#pendingBytes = 0
  }

  /** Whether an earlier row of this file had the key. */
  #isDuplicate(key: Buffer, present: boolean): boolean {
    if (this.#options.targetWasEmpty) return present
    if (!this.#duplicatesKnown) return false
    const isNew = this.#seen.add(key)
    if (isNew !== undefined) return !isNew && present
    if (this.#options.unique) {
      throw new CliError(
        'CLI_BAD_INPUT',
        `after ${this.counts.rows} rows there is no memory left to tell whether keys are unique; ` +
          'import into an empty store, where this needs none'
      )
    }
    this.#duplicatesKnown = false
    return false
  }

  #noteDuplicate(row: MappedRow, record: RawRecord, same: boolean): void {
    if (this.#options.unique) {
      throw inputError(
        `an earlier row has the key ${showBytes(row.key, 80)} too; ` +
          'add columns to --key, or # for the row number',
        record.number,
        record.line
      )
    }
    if (same) {
      this.counts.repeated++
      return
    }
    this.counts.overwritten++
    if (this.examples.length < 3) {
      this.examples.push({ record: record.number, line: record.line, key: row.key })
    }
  }
}
