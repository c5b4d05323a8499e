import type { Checksum } from '../../../codec/checksum.js'
import type { Vfs } from '../../../vfs/vfs.js'
import { EntryKind } from '../../../memtable/entry.js'
import { KeyHash } from '../../../memtable/key-hash.js'
import type { RangeTombstones } from '../../../memtable/range-tombstones.js'
import { TableWriter } from '../table/table-writer.js'
import { temporaryName } from '../table-meta.js'
import type { Job, JobResult } from './job.js'
import type { JobControl } from './job-control.js'
import { joinedSpans, retainedTombstones } from './key-spans.js'
import type { SourceRun } from './merge-source.js'
import { Merger } from './merger.js'
import { OutputTables } from './output-tables.js'
import type { CreateTable, OutputRules } from './output-tables.js'

/** What every job works with, in whichever thread. */
export interface JobEnvironment {
  readonly vfs: Vfs
  readonly checksum: Checksum
}

/** Versions between two looks at the control. */
const entriesPerStep = 256

/** Merges the runs, newest first, into the job's outputs. Closes the runs in any case. */
export async function mergeInto(
  environment: JobEnvironment,
  job: Job,
  runs: readonly SourceRun[],
  tombstones: RangeTombstones,
  splitting: Pick<OutputRules, 'inputs' | 'grandparents' | 'maxGrandparentBytes'>,
  control: JobControl
): Promise<JobResult> {
  const below = joinedSpans(job.below)
  const { viewSeqs, firstOutput, maxOutputs, maxTableBytes } = job
  const merger = new Merger(runs, { viewSeqs, tombstones, below })
  const kept = retainedTombstones(tombstones, viewSeqs, below)
  const rules = { firstOutput, maxOutputs, maxTableBytes, ...splitting, tombstones: kept }
  const outputs = new OutputTables(tableCreator(environment, job), rules, control)
  try {
    await drive(merger, outputs, control)
    await outputs.finish()
  } catch (error) {
    await Promise.allSettled([outputs.abort(), merger.close()])
    throw error
  }
  await merger.close()
  let bytesRead = 0
  for (const run of runs) bytesRead += run.bytesRead
  return {
    outputs: outputs.metas,
    bytesRead,
    bytesWritten: outputs.bytesWritten,
    entriesRead: merger.entriesRead,
    entriesWritten: outputs.entriesWritten
  }
}

async function drive(merger: Merger, outputs: OutputTables, control: JobControl): Promise<void> {
  let left = entriesPerStep
  for (;;) {
    const moved = merger.next()
    if (!(moved === true || (moved !== false && (await moved)))) return
    const { entry } = merger
    if (entry.kind === EntryKind.largePut) await entry.loadValue()
    const wait = outputs.add(entry, merger.isNewKey)
    if (wait !== undefined) await wait
    if (--left > 0) continue
    left = entriesPerStep
    await control.step()
  }
}

function tableCreator({ vfs, checksum }: JobEnvironment, job: Job): CreateTable {
  const { directory, epoch, storeId, level, blockBytes, compression } = job
  const keyHash = new KeyHash(storeId)
  const common = { level, storeId, checksum, keyHash, blockBytes, compression }
  return (number, origin) => {
    const path = `${directory}/${temporaryName(number, epoch)}`
    return TableWriter.create(vfs, path, { ...common, number, job: origin })
  }
}
