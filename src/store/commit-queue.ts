import type { Backend } from '../backend/backend.js'
import type { Clock, Timer } from '../base/clock.js'
import { asBuffer } from '../base/bytes.js'
import {
  encodeBatch,
  operationHeaderBytes,
  putBytes,
  writeBatch,
  writeDelete,
  writePut,
  type BatchOperation
} from '../batch/batch.js'
import { KintsugiError } from '../errors.js'
import type { Durability, ResolvedOptions } from '../options.js'
import type { Telemetry } from '../telemetry/telemetry.js'
import type { Log } from '../wal/log.js'
import type { Staged } from '../wal/staging.js'
import type { ConflictWindow } from './conflict-window.js'
import { WaitingCommits, type WaitingCommit } from './waiting-commits.js'

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

/** What the queue works with. */
export interface CommitQueueParts {
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
 * The path of every write: encode into the log's staging memory, prepare the backend, number, log,
 * apply, acknowledge (rules W1, W8 to W10). While one group is on its way to the disk, further
 * commits gather for the next; groups are applied and acknowledged in order.
 */
export class CommitQueue {
  readonly #log: Log
  readonly #backend: Backend
  readonly #window: ConflictWindow
  readonly #clock: Clock
  readonly #telemetry: Telemetry
  readonly #options: ResolvedOptions
  readonly #onApplied: () => void
  #lastSeq: number
  #timeMs = 0
  /** Numbered commits, oldest first; those before `#head` are done. */
  #sequenced: Sequenced[] = []
  #head = 0
  readonly #waiting: WaitingCommits
  #pumping = false
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
  #stalledSince: number | undefined
  #hold = false

  constructor(parts: CommitQueueParts) {
    this.#lastSeq = parts.lastSeq
    this.#log = parts.log
    this.#backend = parts.backend
    this.#window = parts.window
    this.#clock = parts.clock
    this.#telemetry = parts.telemetry
    this.#options = parts.options
    this.#onApplied = parts.onApplied
    this.#waiting = new WaitingCommits(parts.backend, () => this.#pump())
  }

  get lastSeq(): number {
    return this.#lastSeq
  }

  /** The error that made the queue refuse writes, if one did. */
  get failure(): KintsugiError | undefined {
    return this.#failure
  }

  put(key: Uint8Array, value: Uint8Array, durability: Durability): Promise<void> {
    const bytes = putBytes(key, value)
    if (this.#mustWait(bytes)) {
      const payload = Buffer.allocUnsafe(bytes)
      writePut(payload, 0, key, value)
      return this.#wait(payload, 1, durability)
    }
    const staged = this.#log.stage(bytes)
    writePut(staged.buffer, staged.start, key, value)
    return this.#submit(staged, 1, durability)
  }

  delete(key: Uint8Array, durability: Durability): Promise<void> {
    const bytes = operationHeaderBytes + key.length
    if (this.#mustWait(bytes)) {
      const payload = Buffer.allocUnsafe(bytes)
      writeDelete(payload, 0, key)
      return this.#wait(payload, 1, durability)
    }
    const staged = this.#log.stage(bytes)
    writeDelete(staged.buffer, staged.start, key)
    return this.#submit(staged, 1, durability)
  }

  /**
   * Commits operations, which encode to `bytes` bytes, as one. `validate` is called in the same
   * synchronous step that gives the commit its number, and throws to refuse it (rule T1).
   */
  commit(
    operations: readonly BatchOperation[],
    bytes: number,
    durability: Durability,
    validate?: () => void
  ): Promise<void> {
    if (validate !== undefined || this.#mustWait(bytes)) {
      return this.#wait(encodeBatch(operations), operations.length, durability, validate)
    }
    const staged = this.#log.stage(bytes)
    writeBatch(staged.buffer, staged.start, operations)
    return this.#submit(staged, operations.length, durability)
  }

  /** Commits before it returns. Everything enqueued earlier is committed first (rule W9). */
  commitSync(operations: readonly BatchOperation[], bytes: number, durability: Durability): void {
    this.#throwFailure()
    if (this.#isLogFailing()) throw outcomeUnknown(this.#log.committedSeq + 1, this.#log.poison)
    this.#admitWaitingSync()
    const staged = this.#log.stage(bytes)
    const { buffer, start, end } = staged
    writeBatch(buffer, start, operations)
    try {
      this.#backend.prepareSync(buffer, start, end)
    } catch (error) {
      this.#log.unstage()
      throw error
    }
    const seq = this.#number(staged, operations.length)
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
    if (wanted === strength.memory) this.#noteUnflushed(bytes)
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Resolves when everything committed so far is applied and synced. */
  async flush(): Promise<void> {
    await this.barrier()
    await this.syncLog()
  }

  /** Resolves when everything in the log is synced. */
  async syncLog(): Promise<void> {
    this.#throwFailure()
    try {
      await this.#log.sync()
    } catch (error) {
      this.#logFailed(error)
      throw error
    }
    this.#unflushedBytes = 0
  }

  /** Resolves when every commit made so far has settled, one way or the other; rejects never. */
  barrier(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#waiting.size === 0) this.#pushBarrier(resolve)
      else {
        const nothing = { payload: Buffer.alloc(0), operations: 0, validate: undefined }
        const reject = (): void => resolve()
        this.#waiting.push({ ...nothing, durability: 'memory', resolve, reject })
      }
    })
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

  /** Lets further commits wait, or lets them go on: backpressure from persisting. */
  hold(held: boolean): void {
    this.#hold = held
    if (!held) this.#pump()
  }

  /** Refuses every write from now on, those under way included. */
  close(reason: KintsugiError): void {
    this.#flushTimer?.cancel()
    this.#retryTimer?.cancel()
    this.#failure ??= reason
    this.#waiting.rejectAll(reason)
  }

  #mustWait(bytes: number): boolean {
    return (
      this.#failure !== undefined ||
      this.#hold ||
      this.#isLogFailing() ||
      this.#waiting.size > 0 ||
      this.#log.unsyncedBytes + bytes > this.#options.maxPendingBytes
    )
  }

  /** The log took commits out, and the news of it is still on its way to `#logFailed`. */
  #isLogFailing(): boolean {
    return this.#log.committedSeq !== this.#lastSeq
  }

  #wait(
    payload: Buffer,
    operations: number,
    durability: Durability,
    validate?: () => void
  ): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ payload, operations, durability, validate, resolve, reject })
      this.#pump()
    })
  }

  /** A staged payload becomes a commit at once where the backend has all it needs in memory. */
  #submit(staged: Staged, operations: number, durability: Durability): Promise<void> {
    const { buffer, start, end } = staged
    let prepared: boolean
    try {
      prepared = this.#backend.tryPrepare(buffer, start, end)
    } catch (error) {
      this.#log.unstage()
      return Promise.reject(asError(error))
    }
    if (!prepared) {
      const payload = Buffer.from(asBuffer(buffer.subarray(start, end)))
      this.#log.unstage()
      return this.#wait(payload, operations, durability)
    }
    if (durability === 'memory' && this.#head === this.#sequenced.length && !this.#inFlight) {
      return this.#commitInMemory(staged, operations)
    }
    const seq = this.#number(staged, operations)
    return new Promise((resolve, reject) => {
      this.#sequenced.push({ buffer, start, end, seq, resolve, reject })
      this.#strengthen(durability)
    })
  }

  #commitInMemory(staged: Staged, operations: number): Promise<void> {
    const { buffer, start, end } = staged
    const seq = this.#number(staged, operations)
    this.#sequenced.push({ buffer, start, end, seq, resolve: undefined, reject: undefined })
    this.#applyThrough(seq)
    this.#noteUnflushed(end - start)
    return this.#failure === undefined ? done : Promise.reject(this.#failure)
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
    this.#pump()
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

  /** Takes waiting commits in order as far as pages are loaded and there is room. */
  #pump(): void {
    if (this.#pumping || this.#hold || this.#failure !== undefined) return
    if (this.#isLogFailing()) return
    this.#pumping = true
    try {
      for (let next = this.#waiting.ready(); next !== undefined; next = this.#waiting.ready()) {
        if (this.#isFull(next)) return
        this.#waiting.shift()
        this.#admit(next)
      }
      if (this.#waiting.size === 0) this.#endStall()
    } finally {
      this.#pumping = false
    }
  }

  #isFull(next: WaitingCommit): boolean {
    const pending = this.#log.unsyncedBytes
    if (pending === 0 || pending + next.payload.length <= this.#options.maxPendingBytes)
      return false
    if (this.#stalledSince === undefined) {
      this.#stalledSince = this.#clock.now()
      this.#telemetry.counters.stalls++
      this.#telemetry.emit('stall', { reason: 'pending-bytes', bytes: pending })
    }
    // Unsynced `os` or `memory` commits alone fill the bound: nothing else would call back.
    if (!this.#inFlight && this.#head === this.#sequenced.length) {
      const resume = (): void => this.#pump()
      this.syncLog().then(resume, resume)
    }
    return true
  }

  #endStall(): void {
    if (this.#stalledSince === undefined) return
    const durationMs = this.#clock.now() - this.#stalledSince
    this.#stalledSince = undefined
    this.#telemetry.counters.stallMs += durationMs
    this.#telemetry.emit('stall-end', { durationMs })
  }

  /** A prepared commit gets its place in the log, unless its transaction no longer holds. */
  #admit(next: WaitingCommit): void {
    const { payload, operations, durability, validate, resolve, reject } = next
    if (operations === 0) {
      this.#backend.unprepare()
      this.#pushBarrier(resolve)
      return
    }
    try {
      validate?.()
    } catch (error) {
      this.#backend.unprepare()
      reject(asError(error))
      return
    }
    const staged = this.#log.stage(payload.length)
    staged.buffer.set(payload, staged.start)
    const { buffer, start, end } = staged
    const seq = this.#number(staged, operations)
    this.#sequenced.push({ buffer, start, end, seq, resolve, reject })
    this.#strengthen(durability)
  }

  #pushBarrier(resolve: () => void): void {
    const queue = this.#sequenced
    if (this.#head === queue.length) {
      resolve()
      return
    }
    const { buffer, seq } = queue[queue.length - 1]
    queue.push({ buffer, start: 0, end: 0, seq, resolve, reject: () => resolve() })
  }

  /** Everything that waits goes first, pages loaded on the spot (rule W9). */
  #admitWaitingSync(): void {
    for (
      let next = this.#waiting.readySync();
      next !== undefined;
      next = this.#waiting.readySync()
    ) {
      this.#waiting.shift()
      this.#admit(next)
    }
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
      this.#retryTimer = this.#clock.after(retryDelayMs, () => {
        this.#retryTimer = undefined
        this.#flush()
      })
    }
    this.#pump()
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
    this.#waiting.rejectAll(this.#failure)
    this.#telemetry.emit('read-only', { error: this.#failure })
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure
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

function asError(error: unknown): Error {
  return error instanceof Error ? error : new KintsugiError('KINTSUGI_INTERNAL', String(error))
}
