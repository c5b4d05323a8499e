import { RangeTombstones } from '../../../memtable/range-tombstones.js'
import type { FlushJob, JobResult } from './job.js'
import type { JobControl } from './job-control.js'
import { MemtableSource } from './memtable-source.js'
import { mergeInto } from './merge-job.js'
import type { JobEnvironment } from './merge-job.js'
import { SourceRun } from './merge-source.js'

/** Makes tables of memtables, from the oldest to the newest, in one merge. */
export async function runFlush(
  environment: JobEnvironment,
  job: FlushJob,
  control: JobControl
): Promise<JobResult> {
  const sources: MemtableSource[] = []
  for (const frozen of job.memtables.toReversed()) {
    // Each is sorted here.
    sources.push(new MemtableSource(frozen))
    await control.step()
  }
  const tombstones = RangeTombstones.merge(sources.map((source) => source.tombstones))
  const runs = sources.map((source) => new SourceRun([async () => source]))
  const splitting = { inputs: [], grandparents: [], maxGrandparentBytes: Number.MAX_SAFE_INTEGER }
  return mergeInto(environment, job, runs, tombstones, splitting, control)
}
