import type { KeySpan } from '../../memtable/key-span.js'

/**
 * What the manifest records of a table, and the table's own footer says as well. Plain data, so that
 * it can be posted to and from worker threads.
 */
export interface TableMeta extends KeySpan {
  /** Rises from table to table, is never used twice, and is the file's name. */
  readonly number: number
  /** In the manifest where the table stands; in a footer where it was made for (rule B3). */
  readonly level: number
  readonly sizeBytes: number
  /** Checksum of the footer, which has one of everything before it: names the whole file. */
  readonly sumLow: number
  readonly sumHigh: number
  /** Lowest and highest sequence number in it, those of range tombstones included. */
  readonly minSeq: number
  readonly maxSeq: number
  /** Versions of keys, tombstones included. */
  readonly entries: number
  /** Tombstones among them. */
  readonly deletes: number
  /** Spans of removed ranges. */
  readonly rangeTombstones: number
  /** Bytes of keys and values, before compression. */
  readonly rawBytes: number
  /** The job that made it (rule B3). */
  readonly job: TableJob
}

/** Where a table comes from; everything a rebuild has to know of a job (rule B3). */
export interface TableJob {
  /** Number of the job's first output; its outputs are numbered from there on. */
  readonly firstOutput: number
  /** This is the last of them. */
  readonly isLast: boolean
  /** Numbers of the tables it was made from; none for a flush. */
  readonly inputs: readonly number[]
}

/** Name of a table's file. */
export function tableName(number: number): string {
  return `${String(number).padStart(12, '0')}.sst`
}

/** Name of a table's file while a job of this epoch is writing it (rule B2). */
export function temporaryName(number: number, epoch: number): string {
  return `${tableName(number)}.${epoch}.tmp`
}

const namePattern = /^(\d{12,})\.sst(?:\.(\d+)\.tmp)?$/

/** What a file's name says; undefined where it is not a table's. */
export function parseTableName(name: string): { number: number; epoch?: number } | undefined {
  const match = namePattern.exec(name)
  if (match === null) return undefined
  const [, number, epoch] = match
  return { number: Number(number), ...(epoch !== undefined && { epoch: Number(epoch) }) }
}
