import type { Clock, Timer } from '../../dist/base/clock.js'
import { SeededRandom } from '../../dist/base/random.js'
import { Checksum } from '../../dist/codec/checksum.js'
import type { WalRecoveryMode } from '../../dist/options.js'
import type { Vfs } from '../../dist/vfs/vfs.js'
import type { LogContext, LogOptions } from '../../dist/wal/log-context.js'
import type { Log } from '../../dist/wal/log.js'
import { createLog, recoverLog, type RecoveredLog } from '../../dist/wal/recovery.js'
import type { CleanMark, LogWitness } from '../../dist/wal/witness.js'

export const checksum = await Checksum.create()
export const storeId = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
export const directory = '/wal'

/** Time that stands still; timers fire when a test says so. */
export class ManualClock implements Clock {
  #nowMs = 1_700_000_000_000
  #timers: { atMs: number; callback: () => void }[] = []

  now(): number {
    return this.#nowMs
  }

  after(delayMs: number, callback: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, callback }
    this.#timers.push(timer)
    return { cancel: () => void (this.#timers = this.#timers.filter((other) => other !== timer)) }
  }

  advance(delayMs: number): void {
    this.#nowMs += delayMs
    const due = this.#timers.filter(({ atMs }) => atMs <= this.#nowMs)
    this.#timers = this.#timers.filter(({ atMs }) => atMs > this.#nowMs)
    for (const { callback } of due) callback()
  }
}

export const defaultOptions: LogOptions = {
  segmentBytes: 4096,
  maxUnsyncedBytes: 1024 * 1024,
  watermarkDelayMs: 0
}

export function contextOf(
  vfs: Vfs,
  options: Partial<LogOptions> = {},
  more: Partial<LogContext> = {}
): LogContext {
  return {
    vfs,
    directory,
    storeId,
    checksum,
    clock: new ManualClock(),
    random: new SeededRandom(1),
    options: { ...defaultOptions, ...options },
    ...more
  }
}

export async function newLog(
  vfs: Vfs,
  options: Partial<LogOptions> = {},
  more: Partial<LogContext> = {}
): Promise<Log> {
  vfs.mkdirSync(directory)
  vfs.syncDirectorySync('/')
  return createLog(contextOf(vfs, options, more))
}

export const freshWitness: LogWitness = {
  floor: { segment: 1, seq: 1 },
  syncedSeq: 0,
  durableSeq: 0,
  epoch: 1,
  activeSegment: 1,
  cleanMark: undefined
}

/** What commit `seq` carries: recognisable, and of the given size. */
export function payloadOf(seq: number, bytes = 40): Buffer {
  const payload = Buffer.alloc(bytes)
  for (let i = 0; i < bytes; i++) payload[i] = (seq * 31 + i * 7) & 0xff
  return payload
}

export function commit(log: Log, seq = log.committedSeq + 1, bytes = 40): number {
  const payload = payloadOf(seq, bytes)
  const room = log.stage(bytes)
  payload.copy(room.buffer, room.start)
  log.commit(seq, 1, 1000 + seq)
  return seq
}

export interface Replayed extends RecoveredLog {
  readonly commits: { seq: number; payload: Buffer; count: number; timeMs: number }[]
}

export async function openLog(
  vfs: Vfs,
  witness: Partial<LogWitness> = {},
  settings: {
    readonly mode?: WalRecoveryMode
    readonly readOnly?: boolean
    readonly options?: Partial<LogOptions>
    readonly more?: Partial<LogContext>
  } = {}
): Promise<Replayed> {
  const commits: Replayed['commits'] = []
  const context = contextOf(vfs, settings.options, settings.more)
  const recovered = await recoverLog(context, {
    witness: { ...freshWitness, ...witness },
    mode: settings.mode ?? 'tolerate-torn-tail',
    readOnly: settings.readOnly ?? false,
    sink: (bytes, start, end, seq, count, timeMs) => {
      commits.push({ seq, payload: Buffer.from(bytes.subarray(start, end)), count, timeMs })
    }
  })
  return { ...recovered, commits }
}

export const seqsOf = (replayed: Replayed): number[] => replayed.commits.map(({ seq }) => seq)

export const upTo = (last: number, first = 1): number[] =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i)

export type { CleanMark, Log }
