import { compareHighs, isBelow, successor } from '../../../../dist/memtable/key-span.js'
import type {
  CompactorHost,
  CompactorOptions
} from '../../../../dist/backends/lsm/compaction/compactor.js'
import type { LevelTables } from '../../../../dist/backends/lsm/compaction/level-targets.js'
import type { CompactionJob, JobResult } from '../../../../dist/backends/lsm/jobs/job.js'
import type { TableMeta } from '../../../../dist/backends/lsm/table-meta.js'
import { SeededRandom } from '../../../../dist/base/random.js'
import type { CompactionFailure, CompactionSummary } from '../../../../dist/telemetry/telemetry.js'
import { TestClock, turn } from '../../../helpers/test-clock.js'

export const toyOptions: CompactorOptions = {
  directory: '/lsm',
  storeId: Buffer.alloc(16),
  epoch: 1,
  blockBytes: 4096,
  memtableBytes: 16_384,
  compactionThreshold: 2,
  levelSizeMultiplier: 4,
  maxLevels: 5,
  compressionOf: () => 'none',
  maxBackgroundJobs: 1
}

const bytesPerEntry = 512

/** A table of nothing but its record. */
export function meta(
  number: number,
  low: string,
  high: string,
  more: Partial<TableMeta> = {}
): TableMeta {
  return {
    number,
    low: Buffer.from(low),
    high: successor(Buffer.from(high)),
    level: 0,
    sizeBytes: 16_384,
    sumLow: 0,
    sumHigh: 0,
    minSeq: number,
    maxSeq: number,
    entries: 10,
    deletes: 0,
    rangeTombstones: 0,
    rawBytes: 10_000,
    job: { firstOutput: number, isLast: true, inputs: [] },
    ...more
  }
}

/** Levels whose tables hold nothing but the number of the newest version of each key. */
export class ToyLevels implements CompactorHost {
  readonly clock = new TestClock()
  levels: TableMeta[][] = []
  readonly contents = new Map<number, Map<string, number>>()
  readonly newest = new Map<string, number>()
  readonly done: CompactionSummary[] = []
  readonly failures: CompactionFailure[] = []
  discarded = 0
  mostRunning = 0
  /** The error that the next jobs fail with. */
  failure: ((job: CompactionJob) => Error | undefined) | undefined
  #running = 0
  #nextTable = 1
  #seq = 0
  #version: LevelTables | undefined
  readonly #random: SeededRandom

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
  }

  version(): LevelTables {
    return (this.#version ??= { levels: this.levels.map((tables) => tables.slice()) })
  }

  viewSeqs(): readonly number[] {
    return []
  }

  allocate(count: number): number {
    this.#nextTable += count
    return this.#nextTable - count
  }

  /** A table of new versions in level 0. */
  flush(keys: Iterable<string>): TableMeta {
    this.#seq++
    const content = new Map([...keys].sort().map((key) => [key, this.#seq]))
    for (const key of content.keys()) this.newest.set(key, this.#seq)
    const table = this.#tableOf(content, this.allocate(1), 0)
    this.#change([table], [])
    return table
  }

  async run(job: CompactionJob, { abort }: { abort: { isAborted: boolean } }): Promise<JobResult> {
    this.mostRunning = Math.max(this.mostRunning, ++this.#running)
    for (let left = this.#random.below(6); left >= 0; left--) await turn()
    this.#running--
    const failure = abort.isAborted ? new Error('aborted') : this.failure?.(job)
    if (failure !== undefined) throw failure
    const merged = new Map<string, number>()
    for (const { number } of job.runs.flat()) {
      for (const [key, seq] of this.contents.get(number)!) {
        merged.set(key, Math.max(seq, merged.get(key) ?? 0))
      }
    }
    const sorted = [...merged].sort(([a], [b]) => (a < b ? -1 : 1))
    const perTable = Math.max(1, Math.floor(job.maxTableBytes / bytesPerEntry))
    const outputs: TableMeta[] = []
    for (let at = 0; at < sorted.length; at += perTable) {
      const number = job.firstOutput + outputs.length
      outputs.push(this.#tableOf(new Map(sorted.slice(at, at + perTable)), number, job.level))
    }
    if (outputs.length > job.maxOutputs) throw new Error('more outputs than numbers')
    const bytesWritten = outputs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    const [entriesRead, entriesWritten] = [merged.size, merged.size]
    return { outputs, bytesRead: bytesWritten, bytesWritten, entriesRead, entriesWritten }
  }

  async install({ added, removed }: { added: readonly TableMeta[]; removed: readonly number[] }) {
    await turn()
    this.#change(added, removed)
    this.check()
  }

  async discard(): Promise<void> {
    this.discarded++
  }

  onDone(summary: CompactionSummary): void {
    this.done.push(summary)
  }

  onFailure(failure: CompactionFailure): void {
    this.failures.push(failure)
  }

  /** The levels are disjoint, and a read from above finds the newest version of every key. */
  check(): void {
    for (const tables of this.levels.slice(1)) {
      for (let i = 1; i < tables.length; i++) {
        if (isBelow(tables[i].low, tables[i - 1].high)) throw new Error('overlap in a level')
      }
    }
    const first = new Map<string, number>()
    for (const { number } of this.levels.flat()) {
      for (const [key, seq] of this.contents.get(number)!) if (!first.has(key)) first.set(key, seq)
    }
    for (const [key, seq] of this.newest) {
      const has = first.get(key)
      if (has !== seq) throw new Error(`${key} reads ${has} instead of ${seq}`)
    }
  }

  #change(added: readonly TableMeta[], removed: readonly number[]): void {
    const live = this.levels.flat()
    for (const number of removed) {
      if (!live.some((table) => table.number === number)) throw new Error('removed twice')
    }
    this.levels = this.levels.map((tables) =>
      tables.filter(({ number }) => !removed.includes(number))
    )
    for (const table of added) {
      while (this.levels.length <= table.level) this.levels.push([])
      this.levels[table.level].push(table)
    }
    this.levels[0]?.sort((a, b) => b.maxSeq - a.maxSeq || b.number - a.number)
    for (const tables of this.levels.slice(1)) {
      tables.sort((a, b) => Buffer.compare(a.low, b.low) || compareHighs(a.high, b.high))
    }
    this.#version = undefined
  }

  #tableOf(content: Map<string, number>, number: number, level: number): TableMeta {
    this.contents.set(number, content)
    const keys = [...content.keys()]
    const seqs = [...content.values()]
    return meta(number, keys[0], keys.at(-1)!, {
      level,
      sizeBytes: keys.length * bytesPerEntry,
      rawBytes: keys.length * bytesPerEntry,
      minSeq: Math.min(...seqs),
      maxSeq: Math.max(...seqs),
      entries: keys.length
    })
  }
}
