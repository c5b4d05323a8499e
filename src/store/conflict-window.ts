import { compareBytes } from '../base/bytes.js'
import { BatchReader, OperationKind, type ByteRange } from '../batch/batch.js'

/**
 * Remembers which keys recent commits wrote, for as long as a transaction is running that could
 * conflict with them (rule T1). Commits are recorded when they get their sequence number, so
 * pending groups count as well. Bounded: when it overflows, the transactions that would need what
 * was forgotten fail as conflicts.
 */
export class ConflictWindow {
  /** Key as latin1 text → last sequence number that wrote it. */
  readonly #keys = new Map<string, number>()
  readonly #ranges: { seq: number; range: ByteRange }[] = []
  readonly #reader = new BatchReader(Buffer.alloc(0))
  readonly #maxEntries: number
  /** Start sequence of every running transaction → how many started there. */
  readonly #running = new Map<number, number>()
  #forgottenSeq = 0

  constructor(maxEntries = 100_000) {
    this.#maxEntries = maxEntries
  }

  /** True while commits have to be recorded. */
  get active(): boolean {
    return this.#running.size > 0
  }

  begin(seq: number): void {
    this.#running.set(seq, (this.#running.get(seq) ?? 0) + 1)
  }

  end(seq: number): void {
    const left = (this.#running.get(seq) ?? 1) - 1
    if (left > 0) this.#running.set(seq, left)
    else this.#running.delete(seq)
    if (this.active) return
    this.#keys.clear()
    this.#ranges.length = 0
    this.#forgottenSeq = 0
  }

  record(bytes: Buffer, start: number, end: number, seq: number): void {
    const reader = this.#reader
    reader.reset(bytes, start, end)
    while (reader.next()) {
      if (reader.kind === OperationKind.clear) {
        const { range } = reader.operation() as { range: ByteRange }
        this.#ranges.push({ seq, range: copyRange(range) })
      } else {
        this.#keys.set(bytes.toString('latin1', reader.keyStart, reader.keyEnd), seq)
      }
    }
    if (this.#keys.size + this.#ranges.length > this.#maxEntries) {
      this.#keys.clear()
      this.#ranges.length = 0
      this.#forgottenSeq = seq
    }
  }

  /** Whether anything a transaction read was written by a commit after `seq`. */
  conflicts(seq: number, keys: ReadonlySet<string>, ranges: readonly ByteRange[]): boolean {
    if (this.#forgottenSeq > seq) return true
    for (const key of keys) {
      if ((this.#keys.get(key) ?? 0) > seq) return true
      if (this.#ranges.length > 0 && this.#cleared(Buffer.from(key, 'latin1'), seq)) return true
    }
    if (ranges.length === 0) return false
    for (const [key, written] of this.#keys) {
      if (written <= seq) continue
      const bytes = Buffer.from(key, 'latin1')
      if (ranges.some((range) => contains(range, bytes))) return true
    }
    return this.#ranges.some(
      (cleared) => cleared.seq > seq && ranges.some((range) => overlap(range, cleared.range))
    )
  }

  #cleared(key: Uint8Array, seq: number): boolean {
    return this.#ranges.some((cleared) => cleared.seq > seq && contains(cleared.range, key))
  }
}

function copyRange(range: ByteRange): ByteRange {
  return Object.fromEntries(
    Object.entries(range).map(([bound, key]: [string, Uint8Array]) => [bound, Buffer.from(key)])
  )
}

/** Whether a key lies within a range. */
export function contains(range: ByteRange, key: Uint8Array): boolean {
  const { gt, gte, lt, lte } = range
  if (gte !== undefined && compareBytes(key, gte) < 0) return false
  if (gt !== undefined && compareBytes(key, gt) <= 0) return false
  if (lte !== undefined && compareBytes(key, lte) > 0) return false
  return lt === undefined || compareBytes(key, lt) < 0
}

function overlap(a: ByteRange, b: ByteRange): boolean {
  return !isBefore(a, b) && !isBefore(b, a)
}

/** Whether every key of `a` is certainly smaller than every key of `b`. */
function isBefore(a: ByteRange, b: ByteRange): boolean {
  const upper = a.lt ?? a.lte
  const lower = b.gte ?? b.gt
  if (upper === undefined || lower === undefined) return false
  const order = compareBytes(upper, lower)
  return order < 0 || (order === 0 && (a.lt !== undefined || b.gte === undefined))
}
