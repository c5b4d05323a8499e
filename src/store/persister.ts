import type { Backend } from '../backend/backend.js'
import type { Clock, Timer } from '../base/clock.js'
import type { ResolvedOptions } from '../options.js'
import type { Telemetry } from '../telemetry/telemetry.js'
import type { Log } from '../wal/log.js'
import type { CommitQueue } from './commit-queue.js'
import type { IdentityFile } from './identity.js'

/** A failed persist is tried again after this long, twice as long each further time. */
const retryDelayMs = 1000
const maxRetryDelayMs = 60_000
/** How often the triggers are looked at; cheap, and off the path of a write. */
const pollIntervalMs = 50

/**
 * Decides when the backend persists, and retires the log behind it. A persist starts by dirty
 * bytes, log bytes or time; beyond twice the dirty bytes, commits wait for it.
 */
export class Persister {
  /** A persist under way, or what keeps one from starting. */
  #running: Promise<number> | undefined
  #lastPersistMs: number
  #logBytesAtPersist = 0
  #failures = 0
  #notBeforeMs = 0
  #timer: Timer | undefined
  #stalledSince: number | undefined
  #closed = false

  constructor(
    private readonly backend: Backend,
    private readonly log: Log,
    private readonly queue: CommitQueue,
    private readonly identity: IdentityFile,
    private readonly clock: Clock,
    private readonly telemetry: Telemetry,
    private readonly options: ResolvedOptions
  ) {
    this.#lastPersistMs = clock.now()
    this.#schedule()
  }

  /** Makes the backend durable up to everything applied at this moment, and retires log. */
  persist(): Promise<number> {
    // One that is under way may have frozen an older state.
    if (this.#running !== undefined) return this.#running.then(() => this.persist())
    const running = this.#persist().finally(() => {
      this.#running = undefined
      this.#relieve()
    })
    this.#running = running
    return running
  }

  /** Does something during which nothing is persisted and no log retired. */
  async whilePaused<T>(work: () => Promise<T>): Promise<T> {
    while (this.#running !== undefined) await this.#running.catch(() => undefined)
    const running = work()
    this.#running = running.then(
      () => 0,
      () => 0
    )
    try {
      return await running
    } finally {
      this.#running = undefined
    }
  }

  /** Stops starting persists, and waits for the one under way. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#running?.catch(() => undefined) // reported where it was started
  }

  async #persist(): Promise<number> {
    const startedMs = this.clock.now()
    this.#lastPersistMs = startedMs
    this.#logBytesAtPersist = this.log.committedBytes
    try {
      const seq = await this.backend.persist((frozen) => this.#syncLog(frozen))
      await this.#retire()
      this.#failures = 0
      this.telemetry.counters.persists++
      this.telemetry.emit('persist', { seq, durationMs: this.clock.now() - startedMs })
      return seq
    } catch (error) {
      this.#failures++
      this.telemetry.counters.persistFailures++
      const delayMs = Math.min(retryDelayMs * 2 ** (this.#failures - 1), maxRetryDelayMs)
      this.#notBeforeMs = this.clock.now() + delayMs
      this.telemetry.emit('persist-failed', { error: error as Error })
      throw error
    }
  }

  async #syncLog(seq: number): Promise<void> {
    if (this.log.syncedSeq < seq) await this.queue.syncLog()
  }

  /** First the statement that the log may be missing, durable; then the log (rules S2, B1). */
  async #retire(): Promise<void> {
    const floor = this.log.floorFor(this.backend.retirableSeq)
    const { log } = this.identity.current
    if (floor.segment <= log.floor.segment) return
    await this.identity.update({ log: { ...log, floor }, syncedSeq: this.log.syncedSeq })
    await this.log.retire(floor)
  }

  #schedule(): void {
    this.#timer = this.clock.after(pollIntervalMs, () => {
      this.check()
      if (!this.#closed) this.#schedule()
    })
  }

  /** Looks at the triggers; called after every group of commits and now and then. */
  check(): void {
    if (this.#closed || this.backend.appliedSeq === this.backend.durableSeq) return
    const nowMs = this.clock.now()
    const { persistDirtyBytes, persistWalBytes, persistIntervalMs } = this.options
    const dirty = this.backend.dirtyBytes
    if (dirty > 2 * persistDirtyBytes && this.#failures === 0) this.#stall(dirty)
    const due =
      dirty >= persistDirtyBytes ||
      this.log.committedBytes - this.#logBytesAtPersist >= persistWalBytes ||
      nowMs - this.#lastPersistMs >= persistIntervalMs
    if (!due || this.#running !== undefined || nowMs < this.#notBeforeMs) return
    this.persist().catch(() => undefined) // reported by the event; tried again after a delay
  }

  #stall(bytes: number): void {
    if (this.#stalledSince !== undefined) return
    this.#stalledSince = this.clock.now()
    this.telemetry.counters.stalls++
    this.telemetry.emit('stall', { reason: 'dirty-bytes', bytes })
    this.queue.hold(true)
  }

  #relieve(): void {
    if (this.#stalledSince === undefined) return
    if (this.#failures === 0 && this.backend.dirtyBytes > 2 * this.options.persistDirtyBytes) {
      return
    }
    const durationMs = this.clock.now() - this.#stalledSince
    this.#stalledSince = undefined
    this.telemetry.counters.stallMs += durationMs
    this.telemetry.emit('stall-end', { durationMs })
    this.queue.hold(false)
  }
}
