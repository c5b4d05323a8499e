import {
  encodeBatch,
  operationHeaderBytes,
  putBytes,
  writeBatch,
  writeDelete,
  writePut,
  type BatchOperation
} from '../batch/batch.js'
import type { Timer } from '../base/clock.js'
import { KintsugiError } from '../errors.js'
import type { Durability } from '../options.js'
import type { Staged } from '../wal/staging.js'
import { GroupWriter, type GroupWriterParts } from './group-writer.js'
import { Stall } from './stall.js'
import { WaitingCommits, type WaitingCommit } from './waiting-commits.js'

/** Why commits wait: too much is not persisted, or compactions lag behind. */
export type HoldReason = 'dirty-bytes' | 'compaction' | 'slowdown'

/** How often a process looks whether commits still keep it alive. */
const aliveIntervalMs = 1000

/**
 * The upper half of every write: encode into the log's staging memory and let the backend prepare
 * (rule W10); then the group writer numbers, logs, applies and acknowledges. Commits whose pages are
 * not in memory, or for which there is no room, wait in order.
 */
export class CommitQueue {
  readonly #parts: GroupWriterParts
  readonly #writer: GroupWriter
  readonly #waiting: WaitingCommits
  readonly #stall: Stall
  #pumping = false
  readonly #holds = new Set<HoldReason>()
  #alive: Timer | undefined

  constructor(parts: GroupWriterParts) {
    this.#parts = parts
    this.#writer = new GroupWriter(parts, () => this.#pump())
    this.#waiting = new WaitingCommits(parts.backend, () => this.#pump())
    this.#stall = new Stall('pending-bytes', parts.clock, parts.telemetry)
  }

  /** The error that made the queue refuse writes, if one did. */
  get failure(): KintsugiError | undefined {
    return this.#writer.failure
  }

  put(key: Uint8Array, value: Uint8Array, durability: Durability): Promise<void> {
    const bytes = putBytes(key, value)
    if (this.#mustWait(bytes)) {
      const payload = Buffer.allocUnsafe(bytes)
      writePut(payload, 0, key, value)
      return this.#wait(payload, 1, durability)
    }
    const staged = this.#parts.log.stage(bytes)
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
    const staged = this.#parts.log.stage(bytes)
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
    const staged = this.#parts.log.stage(bytes)
    this.#encode(staged, operations)
    return this.#submit(staged, operations.length, durability)
  }

  /** Commits before it returns. Everything enqueued earlier is committed first (rule W9). */
  commitSync(operations: readonly BatchOperation[], bytes: number, durability: Durability): void {
    this.#writer.throwFailure()
    this.#admitWaitingSync()
    const { log, backend } = this.#parts
    const staged = log.stage(bytes)
    this.#encode(staged, operations)
    try {
      backend.prepareSync(staged.buffer, staged.start, staged.end)
    } catch (error) {
      log.unstage()
      throw error
    }
    this.#writer.addSync(staged, operations.length, durability)
  }

  /** Resolves when everything committed so far is applied and synced. */
  async flush(): Promise<void> {
    await this.barrier()
    await this.syncLog()
  }

  /** Resolves when everything in the log is synced. */
  syncLog(): Promise<void> {
    return this.#writer.syncLog()
  }

  /** Resolves when every commit made so far has settled, one way or the other; rejects never. */
  barrier(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#waiting.size === 0) this.#writer.addBarrier(resolve)
      else {
        const nothing = { payload: Buffer.alloc(0), operations: 0, validate: undefined }
        const reject = (): void => resolve()
        this.#waiting.push({ ...nothing, durability: 'memory', resolve, reject })
      }
    })
  }

  /** Hands everything to the operating system, for the moment before the process ends. */
  flushAtExit(): void {
    this.#writer.flushAtExit()
  }

  /** Before the first transaction starts: commits under way are newer than what it will read. */
  recordPending(): void {
    this.#writer.recordPending()
  }

  /** Lets further commits wait, for a reason, or ends that; without any reason they go on. */
  hold(reason: HoldReason, held: boolean): void {
    if (held) this.#holds.add(reason)
    else if (this.#holds.delete(reason)) this.#pump()
    this.#stayAlive()
  }

  /** A process does not end while commits wait for work that alone would not keep it alive. */
  #stayAlive(): void {
    if (this.#holds.size === 0 || this.#waiting.size === 0) {
      this.#alive?.cancel()
      this.#alive = undefined
      return
    }
    this.#alive ??= this.#parts.clock.after(
      aliveIntervalMs,
      () => {
        this.#alive = undefined
        this.#stayAlive()
      },
      true
    )
  }

  /** Refuses every write from now on, those that wait included. */
  close(reason: KintsugiError): void {
    this.#writer.close(reason)
    this.#waiting.rejectAll(reason)
    this.#stayAlive()
  }

  /** Operations may be objects of the caller whose fields answer differently each time. */
  #encode(staged: Staged, operations: readonly BatchOperation[]): void {
    let end: number | undefined
    try {
      end = writeBatch(staged.buffer, staged.start, operations)
    } finally {
      if (end !== staged.end) this.#parts.log.unstage()
    }
    if (end === staged.end) return
    throw new KintsugiError(
      'KINTSUGI_INVALID_ARGUMENT',
      'the operations of a batch changed while it was taken; nothing was written'
    )
  }

  #mustWait(bytes: number): boolean {
    const { log, options } = this.#parts
    return (
      this.#writer.failure !== undefined ||
      this.#holds.size > 0 ||
      this.#writer.isLogFailing ||
      this.#waiting.size > 0 ||
      log.unsyncedBytes + bytes > options.maxPendingBytes
    )
  }

  #wait(
    payload: Buffer,
    operations: number,
    durability: Durability,
    validate?: () => void
  ): Promise<void> {
    if (this.#writer.failure !== undefined) return Promise.reject(this.#writer.failure)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ payload, operations, durability, validate, resolve, reject })
      this.#pump()
      if (this.#holds.size > 0) this.#stayAlive()
    })
  }

  /** A staged payload becomes a commit at once where the backend has all it needs in memory. */
  #submit(staged: Staged, operations: number, durability: Durability): Promise<void> {
    const { buffer, start, end } = staged
    const { log, backend } = this.#parts
    let prepared: boolean
    try {
      prepared = backend.tryPrepare(buffer, start, end)
    } catch (error) {
      log.unstage()
      return Promise.reject(asError(error))
    }
    if (prepared) return this.#writer.add(staged, operations, durability)
    const payload = Buffer.from(buffer.subarray(start, end))
    log.unstage()
    return this.#wait(payload, operations, durability)
  }

  /** Takes waiting commits in order as far as pages are loaded and there is room. */
  #pump(): void {
    const { failure, isLogFailing } = this.#writer
    if (failure !== undefined) this.#waiting.rejectAll(failure)
    if (this.#pumping || this.#holds.size > 0 || isLogFailing) return
    this.#pumping = true
    try {
      for (let next = this.#waiting.ready(); next !== undefined; next = this.#waiting.ready()) {
        if (this.#isFull(next)) return
        this.#waiting.shift()
        this.#admit(next)
      }
      if (this.#waiting.size === 0) this.#stall.end()
    } finally {
      this.#pumping = false
    }
  }

  #isFull(next: WaitingCommit): boolean {
    const { log, options } = this.#parts
    const bytes = log.unsyncedBytes
    if (bytes === 0 || bytes + next.payload.length <= options.maxPendingBytes) return false
    this.#stall.begin(bytes)
    // Unsynced `os` or `memory` commits alone fill the bound: nothing else would call back.
    if (this.#writer.isIdle) {
      const resume = (): void => this.#pump()
      this.syncLog().then(resume, resume)
    }
    return true
  }

  /** A prepared commit gets its place in the log, unless its transaction no longer holds. */
  #admit(next: WaitingCommit): void {
    const { payload, operations, durability, validate, resolve, reject } = next
    const { log, backend } = this.#parts
    if (operations === 0) {
      backend.unprepare()
      this.#writer.addBarrier(resolve)
      return
    }
    try {
      validate?.()
    } catch (error) {
      backend.unprepare()
      reject(asError(error))
      return
    }
    const staged = log.stage(payload.length)
    staged.buffer.set(payload, staged.start)
    this.#writer.addWith(staged, operations, durability, resolve, reject)
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
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new KintsugiError('KINTSUGI_INTERNAL', String(error))
}
