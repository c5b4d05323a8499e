import type { Clock } from '../base/clock.js'
import type { Random } from '../base/random.js'
import type { Checksum } from '../codec/checksum.js'
import type { Vfs } from '../vfs/vfs.js'

/** What the log works with; nothing is global. */
export interface LogContext {
  readonly vfs: Vfs
  /** The log's own directory; it exists and its own name is durable. */
  readonly directory: string
  /** Sixteen random bytes, the store's identity. */
  readonly storeId: Uint8Array
  readonly checksum: Checksum
  readonly clock: Clock
  readonly random: Random
  readonly options: LogOptions
  /**
   * Called when a poison switch has made a new segment part of the log, before anything is
   * acknowledged there: STORE has to name it (rule S2). Absent: nobody keeps such a witness.
   */
  readonly segmentOpened?: {
    async(opened: SegmentOpened): Promise<void>
    sync(opened: SegmentOpened): void
  }
}

export interface LogOptions {
  readonly segmentBytes: number
  /** A sync is forced when this much is written without one: bounds what is kept (rule F2). */
  readonly maxUnsyncedBytes: number
  /** Idle time after which the watermark is written (rule W7); 0 writes none. */
  readonly watermarkDelayMs: number
}

export interface SegmentOpened {
  readonly segment: number
  readonly epoch: number
  readonly syncedSeq: number
}

export const defaultMaxUnsyncedBytes = 64 * 1024 * 1024
export const defaultWatermarkDelayMs = 10
