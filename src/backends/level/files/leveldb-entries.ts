import { compareBytes } from '../../../base/bytes.js'
import { compareHighs, isBelow, type KeySpan } from '../../../memtable/key-span.js'
import type { Vfs } from '../../../vfs/vfs.js'
import { appliedKey, KeySpace } from '../format.js'
import type { EntryCheck } from './entry-check.js'
import { EntryType } from './format.js'
import { compareInternal, entryTypeOf, sequenceOf, withoutTrailer } from './internal-key.js'
import type { LogEntry } from './log-salvage.js'
import { type BlockCounts, type SalvageTable, sequencesOf, TableCursor } from './table-cursor.js'
import type { LostPart } from './table-salvage.js'
import { spanOfKey, userSpan } from './user-range.js'

/** As stored; the bytes are the caller's own. */
export interface SalvagedEntry {
  readonly key: Buffer
  readonly value: Buffer
}

/** Users' keys that were lost. */
export interface TableLoss extends KeySpan {
  readonly path: string | undefined
  readonly reason: string
}

/** A loss while the entries pass by that it may concern. */
interface OpenLoss {
  readonly table: SalvageTable
  /** Stored keys. */
  readonly low: Buffer
  readonly high: Buffer | undefined
}

/**
 * Merges tables and logs into the newest version of every key, in key order. Where a part of a table
 * is lost, what older tables still have of its keys is given, and named as possibly stale.
 */
export class LevelEntries {
  readonly losses: TableLoss[] = []
  /** Spans of users' keys, in order. */
  readonly stale: KeySpan[] = []
  readonly blocks: BlockCounts = { read: 0, kept: 0 }
  /** The applied key's value in tables, unless something newer of it may be lost. */
  applied: Buffer | undefined
  readonly #cursors: TableCursor[]
  readonly #logs: readonly LogEntry[]
  #nextLog = 0
  #open: OpenLoss[] = []
  #lastWasStale = false

  constructor(
    vfs: Vfs,
    tables: readonly SalvageTable[],
    logs: readonly LogEntry[],
    private readonly proves: EntryCheck
  ) {
    this.#logs = logs
    this.#cursors = sequencesOf(tables).map(
      (sequence) =>
        new TableCursor(vfs, sequence, (table, lost) => this.#lose(table, lost), this.blocks)
    )
  }

  async start(): Promise<void> {
    for (const cursor of this.#cursors) await cursor.advance()
  }

  /** The next entry; undefined at the end. */
  async next(): Promise<SalvagedEntry | undefined> {
    for (;;) {
      const cursor = this.#newest()
      const log = this.#logs[this.#nextLog]
      if (cursor === undefined && log === undefined) return undefined
      const found = cursor === undefined || isBefore(log, cursor.key!) ? log : this.#entryAt(cursor)
      const isStale = found !== log && this.#isConcerned(cursor!.table, found.key)
      await this.#pass(found.key)
      const { key, value } = found
      if (key[0] !== KeySpace.user) this.#takeOwn(key, value, isStale)
      else if (value !== undefined && this.#isProven(key, value)) {
        this.#noteStale(key, isStale)
        return { key, value }
      }
    }
  }

  async close(): Promise<void> {
    for (const cursor of this.#cursors) await cursor.close()
  }

  /** The cursor at the lowest key, and of several at the newest version of it. */
  #newest(): TableCursor | undefined {
    let lowest: TableCursor | undefined
    for (const cursor of this.#cursors) {
      if (cursor.key === undefined) continue
      if (lowest === undefined || compareInternal(cursor.key, lowest.key!) < 0) lowest = cursor
    }
    return lowest
  }

  #entryAt({ key, value }: TableCursor): Pick<LogEntry, 'key' | 'value'> {
    const isValue = entryTypeOf(key!) === EntryType.value
    return {
      key: Buffer.from(withoutTrailer(key!)),
      value: isValue ? Buffer.from(value) : undefined
    }
  }

  /** Moves everything behind the key: what else there is of it is older. */
  async #pass(key: Buffer): Promise<void> {
    for (const cursor of this.#cursors) {
      while (cursor.key !== undefined && withoutTrailer(cursor.key).equals(key)) {
        if (!cursor.tryNext()) await cursor.advance()
      }
    }
    if (this.#logs[this.#nextLog]?.key.equals(key)) this.#nextLog++
  }

  #isProven(key: Buffer, value: Buffer): boolean {
    if (this.proves(key, value)) return true
    const reason = 'the value of this key is damaged'
    this.losses.push({ ...spanOfKey(key), path: undefined, reason })
    return false
  }

  #takeOwn(key: Buffer, value: Buffer | undefined, isStale: boolean): void {
    if (key.equals(appliedKey) && value !== undefined && !isStale) this.applied = value
  }

  #noteStale(key: Buffer, isStale: boolean): void {
    if (isStale) {
      const { low, high } = spanOfKey(key)
      const last = this.stale.at(-1)
      if (this.#lastWasStale && last) this.stale[this.stale.length - 1] = { low: last.low, high }
      else this.stale.push({ low, high })
    }
    this.#lastWasStale = isStale
  }

  /** Whether something newer of the key, or its removal, may be among what is lost. */
  #isConcerned(table: SalvageTable, key: Buffer): boolean {
    if (this.#open.length === 0) return false
    this.#open = this.#open.filter(({ high }) => isBelow(key, high))
    return this.#open.some(
      (loss) => compareBytes(loss.low, key) <= 0 && mayBeNewer(loss.table, table)
    )
  }

  #lose(table: SalvageTable, { low, high, reason, offset }: LostPart): void {
    this.#open.push({ table, low, high })
    const span = userSpan(low, high)
    if (span === undefined) return
    const path = table.path ?? undefined
    const last = this.losses.at(-1)
    const where = path === undefined ? reason : `${path} is damaged at byte ${offset}: ${reason}`
    if (last?.path !== undefined && last.path === path && compareHighs(last.high, span.low) === 0) {
      this.losses[this.losses.length - 1] = { ...last, high: span.high }
    } else this.losses.push({ ...span, path, reason: where })
  }
}

/** Of two tables that may have a key, whether the first may have a newer version of it. */
function mayBeNewer(a: SalvageTable, b: SalvageTable): boolean {
  return a.level < b.level || (a.level === b.level && (a.level > 0 || a.number >= b.number))
}

function isBefore(log: LogEntry | undefined, key: Buffer): boolean {
  if (log === undefined) return false
  const order = Buffer.compare(log.key, withoutTrailer(key))
  return order < 0 || (order === 0 && log.seq >= sequenceOf(key))
}
