import { RangeTombstones } from '../../../memtable/range-tombstones.js'
import { TableScanner } from '../table/table-scanner.js'
import { tableName } from '../table-meta.js'
import type { TableMeta } from '../table-meta.js'
import type { CompactionJob, JobResult } from './job.js'
import type { JobControl } from './job-control.js'
import { mergeInto } from './merge-job.js'
import type { JobEnvironment } from './merge-job.js'
import { SourceRun } from './merge-source.js'

/** Merges tables into new ones. */
export async function runCompaction(
  environment: JobEnvironment,
  job: CompactionJob,
  control: JobControl
): Promise<JobResult> {
  const { runs, grandparents, maxGrandparentBytes } = job
  const open = opener(environment, job)
  const tombstones = await tombstonesOf(runs.flat(), open)
  const inputs = runs.flat().map(({ number }) => number)
  const sources = runs.map((run) => new SourceRun(run.map((table) => () => open(table))))
  const splitting = { inputs, grandparents, maxGrandparentBytes }
  return mergeInto(environment, job, sources, tombstones, splitting, control)
}

type Open = (table: TableMeta) => Promise<TableScanner>

function opener({ vfs, checksum }: JobEnvironment, { directory, storeId }: CompactionJob): Open {
  return (table) =>
    TableScanner.open(vfs, `${directory}/${tableName(table.number)}`, table, { storeId, checksum })
}

/** All of them have to be known before the first version can be judged. */
async function tombstonesOf(tables: readonly TableMeta[], open: Open): Promise<RangeTombstones> {
  const sets: RangeTombstones[] = []
  for (const table of tables) {
    if (table.rangeTombstones === 0) continue
    const scanner = await open(table)
    sets.push(scanner.tombstones)
    await scanner.close()
  }
  return RangeTombstones.merge(sets)
}
