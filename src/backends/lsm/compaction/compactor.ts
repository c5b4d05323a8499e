import type { Pressure, Progress } from '../../../backend/backend.js'
import type { Clock, Timer } from '../../../base/clock.js'
import { KintsugiError } from '../../../errors.js'
import type { CompactionFailure, CompactionSummary } from '../../../telemetry/telemetry.js'
import { newestSeq } from '../../../memtable/entry.js'
import type { CompactionJob, JobResult } from '../jobs/job.js'
import { aborted, JobAbort } from '../jobs/job-control.js'
import type { RunOptions } from '../jobs/job-runner.js'
import type { KeySpan } from '../../../memtable/key-span.js'
import { parseTableName } from '../table-meta.js'
import type { TableMeta } from '../table-meta.js'
import { CompactionFigures } from './compaction-figures.js'
import { KeepAlive } from './keep-alive.js'
import type { LevelTables } from './level-targets.js'
import { ManualCompaction } from './manual-compaction.js'
import type { Occupied, Pick } from './pick.js'
import { pickCompaction } from './picker.js'
import { planCompaction } from './plan.js'
import type { PlanOptions } from './plan.js'
import { pendingBytes, pressureOf } from './pressure.js'

export interface CompactorOptions extends PlanOptions {
  /** Compactions at the same time; 0: only those asked for. */
  readonly maxBackgroundJobs: number
}

/** What a compaction changes; the tables that come in stand in their new level. */
export interface CompactionEdit {
  readonly added: readonly TableMeta[]
  readonly removed: readonly number[]
}

/** What the compactor works with. */
export interface CompactorHost {
  readonly clock: Clock
  /** The live tables at this moment. */
  version(): LevelTables
  /** Sequence numbers of the open views, rising. */
  viewSeqs(): readonly number[]
  /** Gives out so many table numbers and returns the first. */
  allocate(count: number): number
  run(job: CompactionJob, options: RunOptions): Promise<JobResult>
  /** Publishes the outputs of a job (none for a move) and records the edit, durably (rule B2). */
  install(edit: CompactionEdit, job: CompactionJob | undefined): Promise<void>
  /** Removes what a failed job left under temporary names. */
  discard(job: CompactionJob): Promise<void>
  onDone(summary: CompactionSummary): void
  onFailure(failure: CompactionFailure): void
}

const firstRetryMs = 1000
const lastRetryMs = 60_000

interface Running {
  readonly pick: Pick
  readonly abort: JobAbort
  readonly done: Promise<void>
}

/**
 * Keeps the levels in shape: runs the picks that are needed, several at once where they do not meet,
 * and those that somebody asks for. A failure keeps the inputs, is reported, and is followed by a
 * pause; a table that cannot be read is left out from then on, so that the others go on.
 */
export class Compactor {
  readonly figures = new CompactionFigures()
  readonly #host: CompactorHost
  readonly #options: CompactorOptions
  readonly #running = new Set<Running>()
  /** Tables that could not be read. */
  readonly #damaged = new Set<number>()
  #retry: Timer | undefined
  #failuresInRow = 0
  /** Compactions that somebody asked for: nothing else is started before they are through. */
  #asked = 0
  #pending: { version: LevelTables; bytes: number } | undefined
  readonly #keepAlive = new KeepAlive()
  #isClosed = false

  constructor(host: CompactorHost, options: CompactorOptions) {
    this.#host = host
    this.#options = options
  }

  /** Starts what is needed. To be called whenever the tables changed. */
  poke(): void {
    while (
      !this.#isClosed &&
      this.#asked === 0 &&
      this.#retry === undefined &&
      this.#running.size < this.#options.maxBackgroundJobs
    ) {
      const pick = pickCompaction(this.#host.version(), this.#options, this.occupied())
      if (pick === undefined) break
      this.#startUnasked(pick)
    }
    this.#checkWaiting()
  }

  /** Leaves a table out of all compactions from now on: it cannot be read. */
  setAside(number: number): void {
    this.#damaged.add(number)
  }

  /**
   * Merges what lies in the span down, level by level to the bottom, or only what lies in `level`
   * to the one below. Rejects with the first error, and with ABORTED by the signal.
   */
  async compact(span: KeySpan, progress: Progress, level?: number): Promise<void> {
    const host = this.#host
    const state = { version: () => host.version(), occupied: () => this.occupied() }
    const manual = new ManualCompaction(state, this.#options, span, level)
    this.#asked++
    this.#checkWaiting()
    try {
      await this.#runAll(manual, progress)
    } finally {
      this.#asked--
      this.poke()
    }
  }

  /** How far compactions lag behind. Writes are never stopped where no compaction would help. */
  pressure(): Pressure {
    if (this.#options.maxBackgroundJobs === 0) return 'none'
    const version = this.#host.version()
    const pressure = pressureOf(version, this.#options, this.pendingBytes)
    if (pressure !== 'stop' || this.#running.size > 0) return pressure
    return this.#canStart(version) ? 'stop' : 'slowdown'
  }

  /** Bytes that compactions would have to write to be done, roughly. */
  get pendingBytes(): number {
    const version = this.#host.version()
    if (this.#pending?.version !== version) {
      this.#pending = { version, bytes: pendingBytes(version, this.#options) }
    }
    return this.#pending.bytes
  }

  /** For statistics; of levels, what compactions into them read and wrote. */
  stats(): Record<string, number> {
    return {
      ...this.figures.stats(),
      compactionsRunning: this.#running.size,
      compactionPendingBytes: Math.round(this.pendingBytes),
      compactionTablesSetAside: this.#damaged.size
    }
  }

  /** Resolves when nothing runs and nothing is needed, or nothing can be done about it. */
  async idle(): Promise<void> {
    for (;;) {
      this.poke()
      if (this.#running.size === 0) return
      await Promise.race([...this.#running].map((running) => running.done))
    }
  }

  /** Ends running compactions and waits for them; their inputs stay as they are. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#retry?.cancel()
    this.#retry = undefined
    for (const { abort } of this.#running) abort.abort()
    this.#checkWaiting()
    while (this.#running.size > 0) {
      await Promise.all([...this.#running].map((running) => running.done))
    }
  }

  occupied(): Occupied {
    const tables = new Set(this.#damaged)
    const outputs: (KeySpan & { level: number })[] = []
    for (const { pick } of this.#running) {
      for (const { number } of [...pick.upper, ...pick.lower]) tables.add(number)
      outputs.push({ ...pick.span, level: pick.outputLevel })
    }
    return { tables, outputs, oldestViewSeq: this.#host.viewSeqs()[0] ?? newestSeq }
  }

  async #runAll(manual: ManualCompaction, progress: Progress): Promise<void> {
    let done = 0
    for (;;) {
      this.#throwIfEnded(progress.signal)
      const pick = manual.next()
      if (pick === undefined) return
      if (pick !== 'busy') {
        await this.#runFor(pick, progress.signal)
        done += pick.upper.length + pick.lower.length
        progress.report(done, 0, 'tables')
      } else if (this.#running.size > 0) {
        await Promise.race([...this.#running].map((running) => running.done))
      } else {
        manual.skip()
      }
    }
  }

  /** Somebody waits for a compaction that was asked for, or writes wait for one that runs. */
  #checkWaiting(): void {
    const isLagging = this.#running.size > 0 && this.pressure() !== 'none'
    this.#keepAlive.set(!this.#isClosed && (this.#asked > 0 || isLagging))
  }

  #canStart(version: LevelTables): boolean {
    if (this.#retry !== undefined) return false
    return pickCompaction(version, this.#options, this.occupied()) !== undefined
  }

  #startUnasked(pick: Pick): void {
    this.#start(pick, new JobAbort(), false)
      .then(() => {
        this.#failuresInRow = 0
        this.poke()
      })
      .catch((error: Error) => this.#onFailure(error))
  }

  async #runFor(pick: Pick, signal: AbortSignal | undefined): Promise<void> {
    const abort = new JobAbort()
    const onAbort = () => abort.abort()
    signal?.addEventListener('abort', onAbort)
    try {
      await this.#start(pick, abort, true)
    } catch (error) {
      this.#throwIfEnded(signal)
      throw error
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** From now on the pick's tables are occupied, until the promise settles. */
  #start(pick: Pick, abort: JobAbort, isAwaited: boolean): Promise<void> {
    const result = this.#carryOut(pick, abort, isAwaited)
    // Who started it hears how it ended; `done` only says that it has.
    const running: Running = { pick, abort, done: result.catch(() => {}) }
    this.#running.add(running)
    return result.finally(() => {
      this.#running.delete(running)
      this.#checkWaiting()
    })
  }

  async #carryOut(pick: Pick, abort: JobAbort, isAwaited: boolean): Promise<void> {
    const { clock } = this.#host
    const startMs = clock.now()
    // What is read and written must not begin before the pick counts as running.
    await Promise.resolve()
    const result = pick.isMove ? await this.#move(pick) : await this.#merge(pick, abort, isAwaited)
    const durationMs = clock.now() - startMs
    this.figures.count(pick, result, durationMs)
    if (result === undefined) return
    const { bytesRead, bytesWritten } = result
    const { level, outputLevel } = pick
    this.#host.onDone({ level, outputLevel, bytesRead, bytesWritten, durationMs })
  }

  async #move({ upper, outputLevel }: Pick): Promise<undefined> {
    const added = upper.map((table) => ({ ...table, level: outputLevel }))
    await this.#host.install({ added, removed: upper.map(({ number }) => number) }, undefined)
    return undefined
  }

  async #merge(pick: Pick, abort: JobAbort, isAwaited: boolean): Promise<JobResult> {
    const host = this.#host
    const job = planCompaction(pick, host.version(), this.#options, host.viewSeqs(), (count) =>
      host.allocate(count)
    )
    let result: JobResult
    try {
      result = await host.run(job, { abort, isAwaited })
      if (abort.isAborted) throw aborted()
    } catch (error) {
      this.#learnFrom(error, pick)
      throw await this.#discarded(job, error)
    }
    const removed = [...pick.upper, ...pick.lower].map(({ number }) => number)
    await host.install({ added: result.outputs, removed }, job)
    return result
  }

  /** Removes what the job left; what fails then is of less interest than why the job did. */
  async #discarded(job: CompactionJob, error: unknown): Promise<unknown> {
    try {
      await this.#host.discard(job)
    } catch (second) {
      return error instanceof Error && error.cause === undefined
        ? Object.assign(error, { cause: second })
        : error
    }
    return error
  }

  /** An input that cannot be read would fail every compaction that takes it. */
  #learnFrom(error: unknown, { upper, lower }: Pick): void {
    const causes = ['KINTSUGI_CORRUPTION', 'KINTSUGI_FILE_MISSING', 'KINTSUGI_IO']
    if (!(error instanceof KintsugiError) || !causes.includes(error.code)) return
    const name = parseTableName(error.facts.path?.split(/[/\\]/).at(-1) ?? '')
    if (name === undefined || name.epoch !== undefined) return
    if ([...upper, ...lower].some(({ number }) => number === name.number)) {
      this.#damaged.add(name.number)
    }
  }

  #onFailure(error: Error): void {
    if (this.#isClosed) return
    this.figures.failures++
    const retryInMs = Math.min(firstRetryMs * 2 ** this.#failuresInRow, lastRetryMs)
    this.#failuresInRow++
    this.#retry?.cancel()
    this.#retry = this.#host.clock.after(retryInMs, () => {
      this.#retry = undefined
      this.poke()
    })
    this.#host.onFailure({ error, retryInMs })
  }

  #throwIfEnded(signal: AbortSignal | undefined): void {
    if (signal?.aborted === true || this.#isClosed) {
      const message = 'the compaction was ended before it was done; what it finished stays done'
      throw new KintsugiError('KINTSUGI_ABORTED', message, {}, signal?.reason)
    }
  }
}
