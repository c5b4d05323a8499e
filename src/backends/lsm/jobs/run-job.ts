import { runCompaction } from './compaction.js'
import { runFlush } from './flush.js'
import type { Job, JobResult } from './job.js'
import type { JobControl } from './job-control.js'
import type { JobEnvironment } from './merge-job.js'

/** Does a job, in whichever thread: what it needs comes in, what it did comes out. */
export function runJob(
  environment: JobEnvironment,
  job: Job,
  control: JobControl
): Promise<JobResult> {
  return job.kind === 'flush'
    ? runFlush(environment, job, control)
    : runCompaction(environment, job, control)
}
