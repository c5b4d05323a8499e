import type { VfsSpec } from '../../../vfs/vfs.js'
import type { KeySpan } from '../../../memtable/key-span.js'
import type { Job, JobResult } from './job.js'
import type { PlainError } from './job-error.js'

/** What a worker thread is given when it starts. */
export interface WorkerStart {
  readonly vfs: VfsSpec
  /** Of the rate limiter. */
  readonly rate: SharedArrayBuffer
}

export interface JobRequest {
  readonly job: Job
  /** Of the job's abort flag. */
  readonly abort: SharedArrayBuffer
}

export type JobAnswer = { readonly result: JobResult } | { readonly error: PlainError }

/** Keys may be views of something large, all of which would be posted along: copies them. */
export function withOwnKeys<T extends KeySpan>(span: T): T {
  const { low, high } = span
  return { ...span, low: new Uint8Array(low), high: high && new Uint8Array(high) }
}
