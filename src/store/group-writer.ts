import type { Backend } from '../backend/backend.js'
import type { Clock, Timer } from '../base/clock.js'
import { KintsugiError } from '../errors.js'
import type { Durability, ResolvedOptions } from '../options.js'
import type { Telemetry } from '../telemetry/telemetry.js'
import type { Log } from '../wal/log.js'
import type { Staged } from '../wal/staging.js'
import type { ConflictWindow } from './conflict-window.js'

/** Strength of a durability; a group is handled at the strongest one in it. */
const strength: Record<Durability, number> = { memory: 0, os: 1, sync: 2 }

/**
 * A commit with its sequence number, staged in the log and not yet applied; or, without bytes, a
 * barrier that is told when everything before it has settled.
 */
interface Sequenced {
  readonly buffer: Buffer
  readonly start: number
  readonly end: number
  readonly seq: number
  readonly resolve: (() => void) | undefined
  readonly reject: ((error: unknown) => void) | undefined
}

const done = Promise.resolve()

/** When what the log kept after a failure is written again, if no other commit does it first. */
const retryDelayMs = 100

/** What the writer works with. */
export interface GroupWriterParts {
  readonly log: Log
  readonly backend: Backend
  readonly window: ConflictWindow
  readonly clock: Clock
  readonly telemetry: Telemetry
  readonly options: ResolvedOptions
  /** Last sequence number given out. */
  readonly lastSeq: number
  /** Called after commits were applied. */
  readonly onApplied: () => void
}

/**
 * The lower half of a write: a prepared commit gets its number and its place in the log, leaves for
 * the disk in a group, is applied and acknowledged (rules W1, W8, W9). While one group is on its
 * way, further commits gather for the next; groups are applied and acknowledged in order.
 */
export class GroupWriter {
  readonly #log: Log
  readonly #backend: Backend
  readonly #window: ConflictWindow
  readonly #clock: Clock
  readonly #telemetry: Telemetry
  readonly #options: ResolvedOptions
  readonly #onApplied: () => void
  /** Called when a group has settled, or a failure was dealt with: there may be room again. */
  readonly #onSettled: () => void
  #lastSeq: number
  #timeMs = 0
  /** Numbered commits, oldest first; those before `#head` are done. */
  #sequenced: Sequenced[] = []
  #head = 0
  /** Strongest durability among the commits staged since the last group left. */
  #strength = 0
  /** The same of the group on its way to the disk; 0 where there is none. */
  #inFlightStrength = 0
  #scheduled = false
  #inFlight = false
  /** Applied `memory` bytes that the disk has not seen. */
  #unflushedBytes = 0
  #flushTimer: Timer | undefined
  #retryTimer: Timer | undefined
  #failure: KintsugiError | undefined

  constructor(parts: GroupWriterParts, onSettled: () => void) {
    this.#lastSeq = parts.lastSeq
    this.#log = parts.log
    this.#backend = parts.backend
    this.#window = parts.window
    this.#clock = parts.clock
    this.#telemetry = parts.telemetry
    this.#options = parts.options
    this.#onApplied = parts.onApplied
    this.#onSettled = onSettled
  }

  /** The error that made the store refuse writes, if one did. */
  get failure(): KintsugiError | undefined {
    return this.#failure
  }

  /** The log took commits out, and the news of it is still on its way to `#logFailed`. */
  get isLogFailing(): boolean {
    return this.#log.committedSeq !== this.#lastSeq
  }

  /** Nothing is numbered and unapplied, and nothing on its way. */
  get isIdle(): boolean {
    return this.#head === this.#sequenced.length && !this.#inFlight
  }

  /** Commits a staged and prepared payload. */
  add(staged: Staged, operations: number, durability: Durability): Promise<void> {
    if (durability === 'memory' && this.isIdle) return this.#addInMemory(staged, operations)
    return new Promise((resolve, reject) => {
      this.addWith(staged, operations, durability, resolve, reject)
    })
  }

  /** The same for whoever has a promise already. */
  addWith(
    staged: Staged,
    operations: number,
    durability: Durability,
    resolve: () => void,
    reject: (error: unknown) => void
  ): void {
    const { buffer, start, end } = staged
    const seq = this.#number(staged, operations)
    this.#sequenced.push({ buffer, start, end, seq, resolve, reject })
    this.#strengthen(durability)
  }

  #addInMemory(staged: Staged, operations: number): Promise<void> {
    const { buffer, start, end } = staged
    const seq = this.#number(staged, operations)
    this.#sequenced.push({ buffer, start, end, seq, resolve: undefined, reject: undefined })
    this.#applyThrough(seq)
    this.#noteUnflushed(end - start)
    return this.#failure === undefined ? done : Promise.reject(this.#failure)
  }

  /** Commits before it returns, and with it everything that was added earlier (rule W9). */
  addSync(staged: Staged, operations: number, durability: Durability): void {
    const { buffer, start, end } = staged
    const seq = this.#number(staged, operations)
    this.#sequenced.push({ buffer, start, end, seq, resolve: undefined, reject: undefined })
    // What is acknowledged on the way may have been promised more than this commit.
    const wanted = Math.max(this.#strength, this.#inFlightStrength, strength[durability])
    try {
      if (wanted === strength.sync) this.#log.syncSync()
      else if (wanted === strength.os) this.#log.writeSync()
    } catch (error) {
      this.#strength = wanted
      this.#logFailed(error)
      throw this.#log.committedSeq < seq ? error : outcomeUnknown(seq, error)
    }
    this.#strength = 0
    this.#applyThrough(seq)
    if (wanted === strength.memory) this.#noteUnflushed(end - start)
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Calls back when every commit added so far has settled, one way or the other. */
  addBarrier(settled: () => void): void {
    const queue = this.#sequenced
    if (this.#head === queue.length) {
      settled()
      return
    }
    const { buffer, seq } = queue[queue.length - 1]
    queue.push({ buffer, start: 0, end: 0, seq, resolve: settled, reject: () => settled() })
  }

  /** Resolves when everything in the log is synced. */
  async syncLog(): Promise<void> {
    this.throwFailure()
    try {
      await this.#log.sync()
    } catch (error) {
      this.#logFailed(error)
      throw error
    }
    this.#unflushedBytes = 0
  }

  /** Hands everything to the operating system, for the moment before the process ends. */
  flushAtExit(): void {
    if (this.#failure === undefined) this.#log.writeSync()
  }

  /** Before the first transaction starts: commits under way are newer than what it will read. */
  recordPending(): void {
    if (this.#window.active) return
    for (let i = this.#head; i < this.#sequenced.length; i++) {
      const { buffer, start, end, seq } = this.#sequenced[i]
      this.#window.record(buffer, start, end, seq)
    }
  }

  /** Refuses every write from now on. */
  close(reason: KintsugiError): void {
    this.#flushTimer?.cancel()
    this.#retryTimer?.cancel()
    this.#failure ??= reason
  }

  throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.isLogFailing) throw outcomeUnknown(this.#log.committedSeq + 1, this.#log.poison)
  }

  #number(staged: Staged, operations: number): number {
    const { buffer, start, end } = staged
    const seq = ++this.#lastSeq
    if (this.#window.active) this.#window.record(buffer, start, end, seq)
    // Commit times never go back, whatever the clock does (rule W1).
    this.#timeMs = Math.max(this.#timeMs, this.#clock.now())
    this.#log.commit(seq, operations, this.#timeMs)
    const { counters } = this.#telemetry
    counters.commits++
    counters.operations += operations
    counters.commitBytes += end - start
    return seq
  }

  /**
   * Gathers a group. The next tick runs after all promise continuations of this turn, so writers
   * that were just acknowledged join the same group.
   */
  #strengthen(durability: Durability): void {
    if (strength[durability] > this.#strength) this.#strength = strength[durability]
    if (this.#scheduled || this.#inFlight) return
    this.#scheduled = true
    process.nextTick(this.#flush)
  }

  readonly #flush = (): void => {
    this.#scheduled = false
    if (this.#inFlight || this.#head === this.#sequenced.length) return
    const last = this.#lastSeq
    const wanted = this.#strength
    this.#strength = 0
    this.#telemetry.counters.groups++
    const writing = wanted === strength.memory ? undefined : this.#write(wanted)
    if (writing === undefined) {
      this.#settle(last)
      return
    }
    this.#inFlight = true
    this.#inFlightStrength = wanted
    writing.then(
      () => {
        this.#inFlight = false
        this.#inFlightStrength = 0
        this.#settle(last)
      },
      (error: unknown) => {
        this.#inFlight = false
        this.#inFlightStrength = 0
        this.#strength = Math.max(this.#strength, wanted)
        this.#logFailed(error)
      }
    )
  }

  #write(wanted: number): Promise<void> | undefined {
    return wanted === strength.sync ? this.#log.sync() : this.#log.write()
  }

  #settle(seq: number): void {
    this.#applyThrough(seq)
    if (this.#head < this.#sequenced.length && !this.#scheduled) {
      this.#scheduled = true
      process.nextTick(this.#flush)
    }
    this.#onSettled()
  }

  /** Applies and acknowledges in order; a later call for the same commits does nothing (W9). */
  #applyThrough(seq: number): void {
    const queue = this.#sequenced
    let head = this.#head
    while (head < queue.length && queue[head].seq <= seq) {
      const { buffer, start, end, seq: own, resolve } = queue[head]
      try {
        if (end > start) this.#backend.apply(buffer, start, end, own)
      } catch (error) {
        this.#head = head
        this.#fail(error)
        return
      }
      head++
      resolve?.()
    }
    if (head === queue.length) {
      queue.length = 0
      head = 0
    } else if (head > 1024) {
      queue.splice(0, head)
      head = 0
    }
    this.#head = head
    this.#log.release(seq)
    this.#onApplied()
  }

  #noteUnflushed(bytes: number): void {
    this.#unflushedBytes += bytes
    if (this.#unflushedBytes >= this.#options.flushBytes) this.#flushUnflushed()
    else {
      this.#flushTimer ??= this.#clock.after(this.#options.flushIntervalMs, () =>
        this.#flushUnflushed()
      )
    }
  }

  #flushUnflushed(): void {
    this.#flushTimer?.cancel()
    this.#flushTimer = undefined
    this.#unflushedBytes = 0
    if (this.#failure !== undefined) return
    this.#log.sync().catch((error: unknown) => {
      this.#logFailed(error)
      this.#noteUnflushed(0) // what is kept is tried again
    })
  }

  /**
   * The log could not be written. What it took out was not applied and is rejected; the numbers are
   * free again. What it kept will be written by the next group, so the store goes on by itself when
   * the cause, a full disk say, has gone (rules F1, F2).
   */
  #logFailed(error: unknown): void {
    const kept = this.#log.committedSeq
    if (this.#failure !== undefined) return
    if (kept < this.#backend.appliedSeq) {
      this.#fail(error)
      return
    }
    let end = this.#sequenced.length
    while (end > this.#head && this.#sequenced[end - 1].seq > kept) end--
    const lost = this.#sequenced.splice(end)
    this.#lastSeq = kept
    for (const commit of lost) {
      if (commit.end > commit.start) this.#backend.unprepare()
      commit.reject?.(error)
    }
    if (this.#head < this.#sequenced.length && this.#retryTimer === undefined) {
      const retry = (): void => {
        this.#retryTimer = undefined
        this.#flush()
      }
      // Callers wait for these commits.
      this.#retryTimer = this.#clock.after(retryDelayMs, retry, true)
    }
    this.#onSettled()
  }

  /** Log and backend no longer agree: refuse every write until the store is opened anew. */
  #fail(cause: unknown): void {
    if (this.#failure !== undefined) return
    const facts = cause instanceof KintsugiError ? cause.facts : {}
    this.#failure = new KintsugiError(
      'KINTSUGI_READ_ONLY',
      'the store refuses writes since one failed halfway; close it and open it again, then the ' +
        'log decides what is there',
      facts,
      cause
    )
    this.#flushTimer?.cancel()
    this.#retryTimer?.cancel()
    const lost = this.#sequenced.splice(this.#head)
    for (const commit of lost) commit.reject?.(outcomeUnknown(commit.seq, cause))
    this.#telemetry.emit('read-only', { error: this.#failure })
    this.#onSettled()
  }
}

function outcomeUnknown(seq: number, cause: unknown): KintsugiError {
  return new KintsugiError(
    'KINTSUGI_OUTCOME_UNKNOWN',
    'a failure came between logging the commit and acknowledging it; open the store again to see ' +
      'whether it is there',
    { firstSeq: seq, lastSeq: seq },
    cause
  )
}
