import { isEmptySpan, joinSpans, type KeySpan, spansOverlap } from '../../../memtable/key-span.js'
import type { TableMeta } from '../table-meta.js'

/** Keys of which a rebuild cannot say everything. */
export interface DoubtfulSpan extends KeySpan {
  /**
   * `lost`: an output of a job is gone. `resurrected`: removed keys may show again. `unknown`: an
   * output is gone, and nothing that is left tells whether it was lost or merged into other tables.
   */
  readonly kind: 'lost' | 'resurrected' | 'unknown'
  readonly reason: string
}

/** What a rebuild decides about the tables of a directory. */
export interface RebuiltTables {
  /** Live again, with the level each stands in. */
  readonly tables: readonly TableMeta[]
  /** Replaced by others, or never finished: to be set aside. */
  readonly excluded: readonly { readonly table: TableMeta; readonly reason: string }[]
  readonly doubts: readonly DoubtfulSpan[]
  readonly durableSeq: number
  readonly nextTable: number
}

interface Job {
  readonly firstOutput: number
  readonly inputs: readonly number[]
  /** Those that are there. */
  readonly outputs: TableMeta[]
  isVoid: boolean
  isComplete: boolean
  /** Numbers of outputs that are neither there nor in a later table. */
  lost: number[]
}

/**
 * Decides from their footers alone which tables make up the store, and where they stand (rule B3).
 * Pure: what to do with the files is the caller's.
 *
 * - A job whose input another, later job took as well was never installed: its outputs do not count.
 * - Inputs of a complete job do not count. A job is complete when each of its outputs is there, or is
 *   named as an input by a complete job.
 * - Outputs of an incomplete job do not count where all its inputs are there.
 * - A table stays in the level it was made for where that is proven: nothing in the same level
 *   overlaps it, and what overlaps it above is newer. All others go to level 0, where the sequence
 *   numbers decide.
 *
 * What it cannot see: outputs of a job that was given up, once every table that would show so is gone.
 * So they have to be unlinked, durably, before their inputs go to another job.
 *
 * `unplaced` are tables of unknown level: they go to level 0, with all that they overlap.
 */
export function rebuildTables(
  footers: readonly TableMeta[],
  unplaced: ReadonlySet<TableMeta> = new Set()
): RebuiltTables {
  const present = new Map(footers.map((table) => [table.number, table]))
  const jobs = jobsOf(footers)
  const replaced = completeJobs(jobs, present)
  const excluded: { table: TableMeta; reason: string }[] = []
  const kept: TableMeta[] = []
  const doubts: DoubtfulSpan[] = []
  const highestGone = highestUnknownInput(jobs, present)
  for (const job of jobs) {
    const isUnfinished =
      job.inputs.length > 0 &&
      !job.isComplete &&
      job.inputs.every((number) => present.has(number) && !replaced.has(number))
    for (const table of job.outputs) {
      const reason = job.isVoid
        ? 'its job was never installed: a later one took the same inputs'
        : replaced.has(table.number)
          ? 'a later table has its data'
          : isUnfinished
            ? 'its job did not finish, and all its inputs are there'
            : undefined
      if (reason !== undefined) excluded.push({ table, reason })
      else kept.push(table)
    }
    if (!job.isVoid && !job.isComplete && !isUnfinished) {
      doubts.push(...doubtsOf(job, present, highestGone))
    }
  }
  const numbers = footers.flatMap((table) => [table.number, ...table.job.inputs])
  return {
    tables: placed(kept, unplaced),
    excluded,
    doubts,
    durableSeq: durableSeqOf(kept, jobs),
    nextTable: numbers.reduce((highest, number) => Math.max(highest, number), 0) + 1
  }
}

/** Latest first. */
function jobsOf(footers: readonly TableMeta[]): Job[] {
  const jobs = new Map<number, Job>()
  for (const table of footers) {
    const { firstOutput, inputs } = table.job
    const fresh = { firstOutput, inputs, outputs: [], isVoid: false, isComplete: false, lost: [] }
    const job: Job = jobs.get(firstOutput) ?? fresh
    jobs.set(firstOutput, job)
    job.outputs.push(table)
  }
  const ordered = [...jobs.values()].sort((a, b) => b.firstOutput - a.firstOutput)
  const taken = new Set<number>()
  for (const job of ordered) {
    job.outputs.sort((a, b) => a.number - b.number)
    job.isVoid = job.inputs.some((input) => taken.has(input))
    for (const input of job.inputs) taken.add(input)
  }
  return ordered
}

/** Tells which jobs are complete; returns the numbers of the tables they replaced. */
function completeJobs(
  jobs: readonly Job[],
  present: ReadonlyMap<number, TableMeta>
): ReadonlySet<number> {
  const replaced = new Set<number>()
  // Whatever was made from an output was made later, so one pass from the latest on suffices.
  jobs.forEach((job, index) => {
    const last = lastOutput(job, jobs[index - 1]?.firstOutput ?? Infinity, replaced)
    const highest = last ?? job.outputs[job.outputs.length - 1].number
    for (let number = job.firstOutput; number <= highest; number++) {
      if (!present.has(number) && !replaced.has(number)) job.lost.push(number)
    }
    job.isComplete = last !== undefined && job.lost.length === 0
    if (!job.isComplete || job.isVoid) return
    for (const input of job.inputs) replaced.add(input)
  })
  return replaced
}

/** The number of a job's last output; undefined where nothing tells it. */
function lastOutput(
  { outputs }: Job,
  nextJob: number,
  replaced: ReadonlySet<number>
): number | undefined {
  const highest = outputs[outputs.length - 1]
  if (highest.job.isLast) return highest.number
  // It is gone itself: then a later table was made from it.
  let last: number | undefined
  for (let number = highest.number + 1; number < nextJob && replaced.has(number); number++) {
    last = number
  }
  return last
}

/**
 * The highest number of a table that others were made from, that is gone and of whose job nothing is
 * left: any table before it may have been merged into it.
 */
function highestUnknownInput(
  jobs: readonly Job[],
  present: ReadonlyMap<number, TableMeta>
): number {
  const isKnown = (number: number) =>
    present.has(number) ||
    jobs.some(
      ({ firstOutput, outputs }) =>
        number >= firstOutput && number <= outputs[outputs.length - 1].number
    )
  const gone = jobs.flatMap(({ inputs }) => inputs).filter((number) => !isKnown(number))
  return gone.reduce((highest, number) => Math.max(highest, number), 0)
}

function doubtsOf(
  job: Job,
  present: ReadonlyMap<number, TableMeta>,
  highestGone: number
): DoubtfulSpan[] {
  const { outputs, inputs, lost } = job
  const left = inputs.flatMap((number) => present.get(number) ?? [])
  const highest = outputs[outputs.length - 1]
  const latestGap = highest.job.isLast ? Math.max(...lost) : highest.number
  // Inputs go before what was made from them, so those that are left tell that nothing was merged.
  const kind = left.length === 0 && latestGap < highestGone ? 'unknown' : 'lost'
  const doubts: DoubtfulSpan[] = gapsOf(job).map((gap) => ({ ...gap, kind }))
  if (left.length === 0) return doubts
  const span = outputs.map((table): KeySpan => table).reduce(joinSpans)
  const reason = `inputs ${left.map(({ number }) => number).join(', ')} of an incomplete job are used`
  doubts.push({
    ...left.map((table): KeySpan => table).reduce(joinSpans, span),
    kind: 'resurrected',
    reason
  })
  return doubts
}

/** Where outputs of a job are missing: they follow one another in key order. */
function gapsOf({ outputs, lost }: Job): (KeySpan & { readonly reason: string })[] {
  const gaps: (KeySpan & { readonly reason: string })[] = []
  const made = `of the job that made table ${outputs[0].number}`
  for (let i = 0; i <= outputs.length; i++) {
    const [before, after] = [outputs.at(i - 1), outputs.at(i)]
    const low = i === 0 ? Buffer.alloc(0) : (before!.high ?? before!.low)
    const from = i === 0 ? 0 : before!.number
    const numbers = lost.filter((number) => number > from && number < (after?.number ?? Infinity))
    const isEnd = after === undefined && !before!.job.isLast
    if (numbers.length === 0 && !isEnd) continue
    const which = numbers.length > 0 ? `tables ${numbers.join(', ')} are` : 'the last tables are'
    const gap = { low, high: after?.low, reason: `${made}, ${which} missing` }
    if (!isEmptySpan(gap)) gaps.push(gap)
  }
  return gaps
}

/** Gives each table a level in which every lookup finds the newest version first. */
function placed(tables: readonly TableMeta[], unplaced: ReadonlySet<TableMeta>): TableMeta[] {
  const levels = new Map(tables.map((table) => [table, unplaced.has(table) ? 0 : table.level]))
  const levelOf = (table: TableMeta) => levels.get(table) ?? 0
  for (let isChanged = true; isChanged;) {
    isChanged = false
    for (let i = 0; i < tables.length; i++) {
      for (let j = 0; j < i; j++) {
        const [a, b] = [tables[i], tables[j]]
        if ((levelOf(a) === 0 && levelOf(b) === 0) || !spansOverlap(a, b)) continue
        const [upper, lower] = levelOf(a) < levelOf(b) ? [a, b] : [b, a]
        const isPlaced = !unplaced.has(a) && !unplaced.has(b)
        if (levelOf(a) !== levelOf(b) && isPlaced && isAbove(upper, lower)) continue
        levels.set(a, 0)
        levels.set(b, 0)
        isChanged = true
      }
    }
  }
  return tables.map((table) => ({ ...table, level: levelOf(table) }))
}

/**
 * True where every version in `upper` is certainly newer than those of its key in `lower`: by sequence
 * number, or because it was made later for a level above. Tables only ever move down, and not past one
 * that they overlap.
 */
function isAbove(upper: TableMeta, lower: TableMeta): boolean {
  if (upper.minSeq > lower.maxSeq) return true
  return upper.number > lower.number && upper.level < lower.level
}

/** The log is replayed from here on; replaying more than is needed changes nothing. */
function durableSeqOf(kept: readonly TableMeta[], jobs: readonly Job[]): number {
  let durableSeq = kept.reduce((highest, { maxSeq }) => Math.max(highest, maxSeq), 0)
  for (const { inputs, isComplete, outputs } of jobs) {
    if (inputs.length > 0 || isComplete) continue
    for (const { minSeq } of outputs) durableSeq = Math.min(durableSeq, minSeq - 1)
  }
  return Math.max(durableSeq, 0)
}
