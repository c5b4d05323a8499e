import type { Backend } from '../backend/backend.js'
import type { Clock, Timer } from '../base/clock.js'
import type { ResolvedOptions } from '../options.js'
import type { Telemetry } from '../telemetry/telemetry.js'
import type { Log } from '../wal/log.js'
import type { CommitQueue } from './commit-queue.js'
import type { IdentityFile } from './identity.js'
import { Stall } from './stall.js'
import { Throttle } from './throttle.js'

/** A failed persist is tried again after this long, twice as long each further time. */
const retryDelayMs = 1000
const maxRetryDelayMs = 60_000
/** How often the triggers are looked at; cheap, and off the path of a write. */
const pollIntervalMs = 50

/** What the persister works with. */
export interface PersisterParts {
  readonly backend: Backend
  readonly log: Log
  readonly queue: CommitQueue
  readonly identityFile: IdentityFile
  readonly clock: Clock
  readonly telemetry: Telemetry
  readonly options: ResolvedOptions
}

/**
 * Decides when the backend persists, and retires the log behind it. A persist starts by dirty
 * bytes, log bytes or time; beyond the backend's bound of dirty bytes, commits wait for it.
 */
export class Persister {
  readonly #backend: Backend
  readonly #log: Log
  readonly #queue: CommitQueue
  readonly #identityFile: IdentityFile
  readonly #clock: Clock
  readonly #telemetry: Telemetry
  readonly #options: ResolvedOptions
  readonly #stall: Stall
  readonly #throttle: Throttle
  /** A persist under way, or what keeps one from starting. */
  #running: Promise<number> | undefined
  /** How many persists began, and the last of them. */
  #begun = 0
  #latest: Promise<number> = Promise.resolve(0)
  #lastPersistMs: number
  #logBytesAtPersist = 0
  #failures = 0
  #notBeforeMs = 0
  #timer: Timer | undefined
  #closed = false

  constructor(parts: PersisterParts) {
    this.#backend = parts.backend
    this.#log = parts.log
    this.#queue = parts.queue
    this.#identityFile = parts.identityFile
    this.#clock = parts.clock
    this.#telemetry = parts.telemetry
    this.#options = parts.options
    this.#stall = new Stall('dirty-bytes', parts.clock, parts.telemetry)
    this.#throttle = new Throttle(parts)
    this.#lastPersistMs = parts.clock.now()
    this.#schedule()
  }

  /** Makes the backend durable up to everything applied at this moment, and retires log. */
  persist(): Promise<number> {
    if (this.#running !== undefined) {
      // One that is under way may have frozen an older state; one that begins after it has not.
      const begun = this.#begun
      return this.#running.then(() => (this.#begun > begun ? this.#latest : this.persist()))
    }
    this.#begun++
    this.#latest = this.#persist().finally(() => {
      this.#running = undefined
      this.#relieve()
      // What came in meanwhile may be due already, and commits wait for it.
      this.check()
    })
    this.#running = this.#latest
    return this.#latest
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
    this.#throttle.close()
    await this.#running?.catch(() => undefined) // reported where it was started
  }

  async #persist(): Promise<number> {
    const startedMs = this.#clock.now()
    this.#lastPersistMs = startedMs
    this.#logBytesAtPersist = this.#log.committedBytes
    try {
      const seq = await this.#backend.persist((frozen) => this.#syncLog(frozen))
      await this.#retire()
      this.#failures = 0
      this.#telemetry.counters.persists++
      this.#telemetry.emit('persist', { seq, durationMs: this.#clock.now() - startedMs })
      return seq
    } catch (error) {
      this.#failures++
      this.#telemetry.counters.persistFailures++
      const delayMs = Math.min(retryDelayMs * 2 ** (this.#failures - 1), maxRetryDelayMs)
      this.#notBeforeMs = this.#clock.now() + delayMs
      this.#telemetry.emit('persist-failed', { error: error as Error })
      throw error
    }
  }

  async #syncLog(seq: number): Promise<void> {
    if (this.#log.syncedSeq < seq) await this.#queue.syncLog()
    if (!this.#backend.capabilities.persistsInPlace) return
    // Damage to the end of the log is no torn tail any more: the backend may have part of it.
    const { syncedSeq } = this.#log
    await this.#identityFile.update({ syncedSeq })
  }

  /** First the statement that the log may be missing, durable; then the log (rules S2, B1). */
  async #retire(): Promise<void> {
    const floor = this.#log.floorFor(this.#backend.retirableSeq)
    const { log } = this.#identityFile.current
    if (floor.segment <= log.floor.segment) return
    // In both slots: with one of them lost, the other must not ask for log that is gone.
    const { syncedSeq } = this.#log
    for (let slot = 0; slot < 2; slot++) {
      await this.#identityFile.update((current) => ({ log: { ...current.log, floor }, syncedSeq }))
    }
    await this.#log.retire(floor)
  }

  #schedule(): void {
    this.#timer = this.#clock.after(pollIntervalMs, () => {
      this.check()
      if (!this.#closed) this.#schedule()
    })
  }

  /** Looks at the triggers; called after every group of commits and now and then. */
  check(): void {
    if (this.#closed) return
    this.#throttle.check(this.#log.committedBytes)
    if (this.#backend.appliedSeq === this.#backend.durableSeq) return
    const nowMs = this.#clock.now()
    const { persistWalBytes, persistIntervalMs } = this.#options
    const { persistBytes, holdBytes } = this.#backend
    const dirty = this.#backend.dirtyBytes
    if (dirty > holdBytes && this.#failures === 0) this.#holdWrites(dirty)
    const due =
      dirty >= persistBytes ||
      this.#log.committedBytes - this.#logBytesAtPersist >= persistWalBytes ||
      nowMs - this.#lastPersistMs >= persistIntervalMs
    if (!due || this.#running !== undefined || nowMs < this.#notBeforeMs) return
    this.persist().catch(() => undefined) // reported by the event; tried again after a delay
  }

  #holdWrites(dirtyBytes: number): void {
    if (this.#stall.isOn) return
    this.#stall.begin(dirtyBytes)
    this.#queue.hold('dirty-bytes', true)
  }

  /** Lets writes go on, where they wait and there is room; or where persisting fails anyway. */
  #relieve(): void {
    if (!this.#stall.isOn) return
    if (this.#failures === 0 && this.#backend.dirtyBytes > this.#backend.holdBytes) return
    this.#stall.end()
    this.#queue.hold('dirty-bytes', false)
  }
}
