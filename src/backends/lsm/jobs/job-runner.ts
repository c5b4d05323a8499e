import type { Job, JobResult } from './job.js'
import type { JobAbort } from './job-control.js'

export interface RunOptions {
  readonly abort: JobAbort
  /** Somebody waits for the result, so the process has to stay alive until it is there. */
  readonly isAwaited: boolean
}

/**
 * Where background jobs run. A job that fails rejects with a `KintsugiError`; what it wrote stays
 * under temporary names, for the caller to remove.
 */
export interface JobRunner {
  /** A job will come soon: whatever takes time to start may start now. */
  prepare(): void
  run(job: Job, options: RunOptions): Promise<JobResult>
  /** Waits for running jobs to end; end compactions before by their `abort`. */
  close(): Promise<void>
}
