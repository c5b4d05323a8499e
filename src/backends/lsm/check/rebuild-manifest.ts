import { joinSpans, type KeySpan, spansOverlap } from '../key-span.js'
import type { TableMeta } from '../table-meta.js'

/** Keys of which a rebuild cannot say everything. */
export interface DoubtfulSpan extends KeySpan {
  /** `lost`: an output of a job is gone. `resurrected`: removed keys may show again. */
  readonly kind: 'lost' | 'resurrected'
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
 */
export function rebuildTables(footers: readonly TableMeta[]): RebuiltTables {
  const present = new Map(footers.map((table) => [table.number, table]))
  const jobs = jobsOf(footers)
  const replaced = completeJobs(jobs, present)
  const excluded: { table: TableMeta; reason: string }[] = []
  const kept: TableMeta[] = []
  const doubts: DoubtfulSpan[] = []
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
    if (!job.isVoid && !job.isComplete && !isUnfinished) doubts.push(...doubtsOf(job, present))
  }
  const numbers = footers.flatMap((table) => [table.number, ...table.job.inputs])
  return {
    tables: placed(kept),
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

function doubtsOf(job: Job, present: ReadonlyMap<number, TableMeta>): DoubtfulSpan[] {
  const { outputs, inputs } = job
  const span = outputs.map((table): KeySpan => table).reduce(joinSpans)
  const count = job.lost.length
  const which = count > 0 ? `tables ${job.lost.join(', ')} are` : 'its last tables are'
  const lost: DoubtfulSpan = {
    low: Buffer.alloc(0),
    high: undefined,
    kind: 'lost',
    reason: `of the job that made table ${outputs[0].number}, ${which} missing`
  }
  const left = inputs.flatMap((number) => present.get(number) ?? [])
  if (left.length === 0) return [lost]
  const reason = `inputs ${left.map(({ number }) => number).join(', ')} of an incomplete job are used`
  return [
    lost,
    { ...left.map((table): KeySpan => table).reduce(joinSpans, span), kind: 'resurrected', reason }
  ]
}

/** Gives each table a level in which every lookup finds the newest version first. */
function placed(tables: readonly TableMeta[]): TableMeta[] {
  const levels = new Map(tables.map((table) => [table, table.level]))
  const levelOf = (table: TableMeta) => levels.get(table) ?? 0
  for (let isChanged = true; isChanged;) {
    isChanged = false
    for (let i = 0; i < tables.length; i++) {
      for (let j = 0; j < i; j++) {
        const [a, b] = [tables[i], tables[j]]
        if ((levelOf(a) === 0 && levelOf(b) === 0) || !spansOverlap(a, b)) continue
        const [upper, lower] = levelOf(a) < levelOf(b) ? [a, b] : [b, a]
        if (levelOf(a) !== levelOf(b) && isAbove(upper, lower)) continue
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
