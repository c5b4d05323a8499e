import type { CompactionJob } from '../jobs/job.js'
import type { KeySpan } from '../../../memtable/key-span.js'
import type { TableMeta } from '../table-meta.js'
import type { LevelTables } from './level-targets.js'
import { overlapping } from './pick.js'
import type { Pick } from './pick.js'
import { maxGrandparentBytesOf, maxTableBytesOf } from './picker.js'
import type { PickerOptions } from './picker.js'

export interface PlanOptions extends PickerOptions {
  readonly directory: string
  readonly storeId: Uint8Array
  readonly epoch: number
  readonly blockBytes: number
}

/** What a version costs beside key and value, at most, where nothing is compressed. */
const entryOverheadBytes = 24

/**
 * The job that carries out a pick. `allocate` gives out so many table numbers, never used before,
 * and returns the first.
 */
export function planCompaction(
  pick: Pick,
  version: LevelTables,
  options: PlanOptions,
  viewSeqs: readonly number[],
  allocate: (count: number) => number
): CompactionJob {
  const { level, outputLevel, upper, lower, span } = pick
  const { directory, storeId, epoch, blockBytes } = options
  const runs: (readonly TableMeta[])[] = level === 0 ? upper.map((table) => [table]) : [upper]
  if (lower.length > 0) runs.push(lower)
  const maxTableBytes = maxTableBytesOf(options)
  const grandparents = overlapping(version.levels[outputLevel + 1], span).map(
    ({ low, high, sizeBytes }) => ({ low, high, sizeBytes })
  )
  let bytes = 0
  for (const table of [...upper, ...lower]) {
    bytes += table.rawBytes + table.entries * entryOverheadBytes
  }
  const maxOutputs = Math.ceil(bytes / maxTableBytes) + grandparents.length + 2
  return {
    kind: 'compaction',
    directory,
    storeId,
    epoch,
    level: outputLevel,
    firstOutput: allocate(maxOutputs),
    maxOutputs,
    maxTableBytes,
    blockBytes,
    compression: options.compressionOf(outputLevel),
    viewSeqs,
    below: deeperSpans(version, outputLevel, span),
    runs,
    grandparents,
    maxGrandparentBytes: maxGrandparentBytesOf(options)
  }
}

/** Where versions older than those of a pick may lie. */
function deeperSpans({ levels }: LevelTables, outputLevel: number, span: KeySpan): KeySpan[] {
  return levels
    .slice(outputLevel + 1)
    .flatMap((tables) => overlapping(tables, span))
    .map(({ low, high }) => ({ low, high }))
}
