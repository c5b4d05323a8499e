import { channel, type Channel } from 'node:diagnostics_channel'
import { EventEmitter } from 'node:events'

/** What opening a store had to do. */
export interface RecoverySummary {
  /** True when the store was created by this opening. */
  readonly created: boolean
  /** True when the last close was clean: nothing had to be replayed from doubtful bytes. */
  readonly clean: boolean
  /** Commits replayed from the log. */
  readonly replayedCommits: number
  /** Bytes of the log that were read for it, those of commits that were not needed included. */
  readonly replayedBytes: number
  /** Last sequence number of the store after opening. */
  readonly seq: number
  /** Bytes at the end of the log that were dropped as torn. */
  readonly droppedBytes: number
  /** First sequence number among them, where there are any. */
  readonly droppedFirstSeq: number | undefined
  /** Findings that did not stop the opening, as sentences. */
  readonly warnings: readonly string[]
  /** Rises with every opening for writing. */
  readonly epoch: number
  /** Milliseconds that opening took. */
  readonly durationMs: number
}

/** What a compaction did. */
export interface CompactionSummary {
  /** Level whose tables were taken. */
  readonly level: number
  /** Level that the result is in. */
  readonly outputLevel: number
  readonly bytesRead: number
  readonly bytesWritten: number
  readonly durationMs: number
}

/** A compaction that failed; its inputs are kept. */
export interface CompactionFailure {
  readonly error: Error
  /** When it is tried again. */
  readonly retryInMs: number
}

/** Events of a store, with what listeners receive. Also published on `kintsugi:<name>`. */
export interface StoreEvents {
  /** Opening is finished. */
  recovery: [RecoverySummary]
  /** A background persist finished. */
  persist: [{ seq: number; durationMs: number }]
  /** A background persist failed; writes go on while there is log space. It is tried again. */
  'persist-failed': [{ error: Error }]
  /** A compaction finished. */
  compaction: [CompactionSummary]
  /** A compaction failed; nothing is lost, and it is tried again. */
  'compaction-failed': [CompactionFailure]
  /** Writes are slowed down because compactions lag behind. */
  slowdown: []
  /** Writes are no longer slowed down. */
  'slowdown-end': [{ durationMs: number }]
  /** Writes wait because too much is pending, not yet persisted or not yet compacted. */
  stall: [{ reason: 'pending-bytes' | 'dirty-bytes' | 'compaction'; bytes: number }]
  /** Waiting writes go on. */
  'stall-end': [{ durationMs: number }]
  /** The store refuses writes from now on, with the error that caused it. */
  'read-only': [{ error: Error }]
  /** `close` was called; nothing can be read or written any more. */
  closing: []
  /** Files and lock are given up. */
  closed: []
}

/** Figures that only rise. */
export class Counters {
  commits = 0
  operations = 0
  commitBytes = 0
  groups = 0
  conflicts = 0
  transactions = 0
  persists = 0
  persistFailures = 0
  stalls = 0
  stallMs = 0
  slowdowns = 0
  slowdownMs = 0

  asRecord(): Record<string, number> {
    return Object.fromEntries(Object.entries(this) as [string, number][])
  }
}

const eventNames: readonly (keyof StoreEvents)[] = [
  'recovery',
  'persist',
  'persist-failed',
  'compaction',
  'compaction-failed',
  'slowdown',
  'slowdown-end',
  'stall',
  'stall-end',
  'read-only',
  'closing',
  'closed'
]

/** One per store: counters, events to its listeners, and the same on diagnostics channels. */
export class Telemetry {
  readonly counters = new Counters()
  readonly events = new EventEmitter<StoreEvents>()
  readonly #channels = new Map<string, Channel>(
    eventNames.map((name) => [name, channel(`kintsugi:${name}`)])
  )
  readonly #path: string

  constructor(path: string) {
    this.#path = path
  }

  emit<Name extends keyof StoreEvents>(name: Name, ...detail: StoreEvents[Name]): void {
    const published = this.#channels.get(name)
    if (published?.hasSubscribers) published.publish({ path: this.#path, ...detail[0] })
    try {
      // The emitter's own typing cannot follow a generic event name.
      ;(this.events as EventEmitter).emit(name, ...detail)
    } catch (error) {
      // A listener's error is its own: it surfaces as uncaught and leaves the store's work alone.
      process.nextTick(() => {
        throw error
      })
    }
  }
}
