import type { CompressionName } from '../../../options.js'
import type { KeySpan } from '../../../memtable/key-span.js'
import type { FrozenMemtable } from '../../../memtable/memtable.js'
import type { TableMeta } from '../table-meta.js'

/** A table of the level below the output, as far as splitting has to know it. */
export interface Grandparent extends KeySpan {
  readonly sizeBytes: number
}

/**
 * What a background job is to do: plain data, so that it can be posted to a worker thread. A job
 * only reads its inputs and writes new files under temporary names; the main thread publishes,
 * renames and deletes (rule B2).
 */
interface JobPlan {
  readonly directory: string
  readonly storeId: Uint8Array
  /** Temporary names carry it. */
  readonly epoch: number
  /** Level that the outputs are for. */
  readonly level: number
  /** Outputs are numbered from here on, at most `maxOutputs`; the last one then takes the rest. */
  readonly firstOutput: number
  readonly maxOutputs: number
  /** An output is ended behind this size. */
  readonly maxTableBytes: number
  readonly blockBytes: number
  readonly compression: CompressionName
  /** Sequence numbers of the open views, rising. */
  readonly viewSeqs: readonly number[]
  /** Spans of all tables that may hold older versions than the inputs and are none of them. */
  readonly below: readonly KeySpan[]
}

/** Merges tables into new ones, a level deeper. */
export interface CompactionJob extends JobPlan {
  readonly kind: 'compaction'
  /** Newest first; the tables of one run are in key order and do not overlap. */
  readonly runs: readonly (readonly TableMeta[])[]
  /** Tables of the level below the output's, in key order. */
  readonly grandparents: readonly Grandparent[]
  /** An output that overlaps more than this of them is ended. */
  readonly maxGrandparentBytes: number
}

/** Makes tables of memtables. */
export interface FlushJob extends JobPlan {
  readonly kind: 'flush'
  /** From the oldest to the newest. */
  readonly memtables: readonly FrozenMemtable[]
}

export type Job = CompactionJob | FlushJob

export interface JobResult {
  /** In key order, numbered from the job's first output on; none where nothing was left. */
  readonly outputs: readonly TableMeta[]
  readonly bytesRead: number
  readonly bytesWritten: number
  readonly entriesRead: number
  readonly entriesWritten: number
}
