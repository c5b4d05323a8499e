import type { JobResult } from '../jobs/job.js'
import type { Pick } from './pick.js'

/** What compactions did since the store was opened; for statistics. */
export class CompactionFigures {
  jobs = 0
  moves = 0
  failures = 0
  entriesRead = 0
  entriesWritten = 0
  durationMs = 0
  /** By output level. */
  readonly readByLevel: number[] = []
  readonly writtenByLevel: number[] = []

  count({ outputLevel }: Pick, result: JobResult | undefined, durationMs: number): void {
    if (result === undefined) {
      this.moves++
      return
    }
    this.jobs++
    this.durationMs += durationMs
    this.entriesRead += result.entriesRead
    this.entriesWritten += result.entriesWritten
    this.readByLevel[outputLevel] = (this.readByLevel[outputLevel] ?? 0) + result.bytesRead
    this.writtenByLevel[outputLevel] = (this.writtenByLevel[outputLevel] ?? 0) + result.bytesWritten
  }

  stats(): Record<string, number> {
    const stats: Record<string, number> = {
      compactions: this.jobs,
      compactionMoves: this.moves,
      compactionFailures: this.failures,
      compactionMs: this.durationMs,
      compactionEntriesRead: this.entriesRead,
      compactionEntriesWritten: this.entriesWritten
    }
    for (const level of this.writtenByLevel.keys()) {
      stats[`level${level}ReadBytes`] = this.readByLevel[level] ?? 0
      stats[`level${level}WrittenBytes`] = this.writtenByLevel[level] ?? 0
    }
    return stats
  }
}
