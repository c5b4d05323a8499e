import { isCorruption } from '../../../errors.js'
import type { Vfs } from '../../../vfs/vfs.js'
import { malformed } from './byte-reader.js'
import { comparatorName } from './format.js'
import { type LogDamage, readLogRecords } from './log-records.js'
import { openIfThere } from './read-fully.js'
import { decodeVersionEdit, type LiveTable, type VersionEdit } from './version-edit.js'

/** From `offset` to its end a manifest has no record. `isTorn`: it simply ends within one. */
export type ManifestTail = Pick<LogDamage, 'offset' | 'reason' | 'isTorn'>

/** What a manifest says at its end. */
export interface LevelState {
  /** By level, then by number. */
  readonly tables: readonly LiveTable[]
  /** Logs from this number on are replayed. */
  readonly logNumber: number
  /** An older log that is replayed as well; 0: none. */
  readonly prevLogNumber: number
}

/** True where the state needs the log of that number. */
export function isLiveLog({ logNumber, prevLogNumber }: LevelState, number: number): boolean {
  return number >= logNumber || (number === prevLogNumber && number !== 0)
}

export interface ManifestReading {
  /** Undefined where the manifest is damaged or does not say what it has to. */
  readonly state: LevelState | undefined
  readonly sizeBytes: number
  /** What stands in the way, and where; a tail does not. */
  readonly problem: { readonly offset: number; readonly reason: string } | undefined
  /** What follows the last record and is none: normal after a power cut where it was not synced. */
  readonly tail: ManifestTail | undefined
  /** The tables of all edits that could be read, of a damaged manifest too. */
  readonly known: readonly LiveTable[]
  /** Where the record is that put each of these tables in use. */
  readonly addedAt: ReadonlyMap<number, number>
  /** Numbers of the tables that some edit removed. */
  readonly deleted: ReadonlySet<number>
}

/**
 * Reads a manifest, or its first `endBytes` bytes, to the end, and behind damage on; undefined where
 * there is no such file.
 */
export async function readManifest(
  vfs: Vfs,
  path: string,
  endBytes = Infinity
): Promise<ManifestReading | undefined> {
  const file = await openIfThere(vfs, path)
  if (file === undefined) return undefined
  try {
    const sizeBytes = Math.min(file.sizeSync(), endBytes)
    const replay = new ManifestReplay()
    for await (const item of readLogRecords(file, sizeBytes)) {
      if (item.kind === 'record') replay.take(item.offset, item.bytes)
      else replay.noteDamage(item)
    }
    return replay.conclude(sizeBytes)
  } finally {
    await file.close()
  }
}

class ManifestReplay {
  readonly #tables = new Map<number, LiveTable>()
  readonly #addedAt = new Map<number, number>()
  readonly #deleted = new Set<number>()
  readonly #scalars: Partial<
    Record<'logNumber' | 'prevLogNumber' | 'nextFile' | 'lastSeq', number>
  > = {}
  #problem: ManifestReading['problem']
  #tail: ManifestTail | undefined

  take(offset: number, bytes: Buffer): void {
    // What looked like a tail is none where records follow.
    if (this.#tail !== undefined) this.#fail(this.#tail.offset, this.#tail.reason)
    this.#tail = undefined
    try {
      this.#apply(offset, decodeVersionEdit(bytes))
    } catch (error) {
      if (!isCorruption(error)) throw error
      this.#fail(offset, error.message)
    }
  }

  noteDamage(damage: LogDamage): void {
    const { offset, reason } = this.#tail ?? damage
    this.#tail = { offset, reason, isTorn: damage.isTorn && this.#tail?.isTorn !== false }
  }

  conclude(sizeBytes: number): ManifestReading {
    const { logNumber, prevLogNumber = 0, nextFile, lastSeq } = this.#scalars
    const isWhole = logNumber !== undefined && nextFile !== undefined && lastSeq !== undefined
    if (!isWhole) this.#fail(0, 'it does not say which logs and tables there are')
    const tables = [...this.#tables.values()].sort(
      (a, b) => a.level - b.level || a.number - b.number
    )
    const state =
      isWhole && this.#problem === undefined ? { tables, logNumber, prevLogNumber } : undefined
    return {
      state,
      sizeBytes,
      problem: this.#problem,
      tail: this.#tail,
      known: tables,
      addedAt: this.#addedAt,
      deleted: this.#deleted
    }
  }

  #apply(offset: number, edit: VersionEdit): void {
    if (edit.comparator !== undefined && edit.comparator !== comparatorName) {
      throw malformed(`it is ordered by '${edit.comparator}' instead of '${comparatorName}'`)
    }
    for (const name of ['logNumber', 'prevLogNumber', 'nextFile', 'lastSeq'] as const) {
      const value = edit[name]
      if (value !== undefined) this.#scalars[name] = value
    }
    for (const { number } of edit.deleted) {
      this.#tables.delete(number)
      this.#deleted.add(number)
    }
    // A table that moves to the next level is removed and added in one edit.
    for (const table of edit.added) {
      this.#tables.set(table.number, table)
      this.#addedAt.set(table.number, offset)
      this.#deleted.delete(table.number)
    }
  }

  /** The first problem is the one to tell. */
  #fail(offset: number, reason: string): void {
    this.#problem ??= { offset, reason }
  }
}
