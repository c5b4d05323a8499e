import { isCorruption } from '../../../errors.js'
import type { Vfs } from '../../../vfs/vfs.js'
import { appliedKey, KeySpace } from '../format.js'
import type { SyncedFile } from './synced-file.js'
import { parseFileName } from './file-names.js'
import { isLiveLog, type LevelState } from './manifest-state.js'
import { readLogRecords } from './log-records.js'
import { openIfThere } from './read-fully.js'
import { WriteBatchEntries } from './write-batch.js'

/** The newest version of a key that the logs have. */
export interface LogEntry {
  readonly key: Buffer
  readonly seq: number
  /** Undefined: deleted. */
  readonly value: Buffer | undefined
}

/** Records that were synced and are not there: any key may have been among them. */
export interface LogLoss {
  readonly path: string
  readonly offset: number
  readonly reason: string
}

export interface LogSalvage {
  /** In key order; the store's own keys left out. */
  readonly entries: readonly LogEntry[]
  readonly losses: readonly LogLoss[]
  /** The applied key's newest value, and the newest from before the first loss. */
  readonly applied: Buffer | undefined
  readonly appliedBeforeLoss: Buffer | undefined
}

/**
 * Reads the logs that a state needs, or all where no state is known. `synced` undefined: nothing
 * tells how much of them was synced.
 */
export async function salvageLogs(
  vfs: Vfs,
  directory: string,
  names: readonly string[],
  state: LevelState | undefined,
  synced: readonly SyncedFile[] | undefined
): Promise<LogSalvage> {
  const salvage = new Salvage(vfs, directory)
  const sizes = new Map(synced?.map(({ name, sizeBytes }) => [name, sizeBytes]))
  const logs = new Map<number, string>()
  for (const name of [...sizes.keys(), ...names]) {
    const file = parseFileName(name)
    if (file?.kind !== 'log') continue
    const isLive = state && isLiveLog(state, file.number)
    // Without a state, a log that is gone may have been used up.
    if (isLive ?? names.includes(name)) logs.set(file.number, name)
  }
  for (const [, name] of [...logs].sort(([a], [b]) => a - b)) {
    await salvage.take(name, synced === undefined ? undefined : (sizes.get(name) ?? 0))
  }
  return salvage.conclude()
}

class Salvage {
  readonly #entries = new Map<string, LogEntry>()
  readonly #losses: LogLoss[] = []
  /** Not known yet whether they held a record. */
  #open: LogLoss[] = []
  #nextSeq: number | undefined
  #applied: Buffer | undefined
  #appliedBeforeLoss: Buffer | undefined

  constructor(
    private readonly vfs: Vfs,
    private readonly directory: string
  ) {}

  async take(name: string, syncedBytes: number | undefined): Promise<void> {
    const path = `${this.directory}/${name}`
    const file = await openIfThere(this.vfs, path)
    if (file === undefined) {
      if ((syncedBytes ?? 0) > 0) this.#lose(path, 0, 'this log is missing')
      return
    }
    try {
      const sizeBytes = file.sizeSync()
      for await (const item of readLogRecords(file, sizeBytes)) {
        if (item.kind === 'record') {
          this.#takeRecord(path, item.offset, item.bytes, syncedBytes !== undefined)
        } else if (syncedBytes === undefined ? !item.isTorn : item.offset < syncedBytes) {
          this.#lose(path, item.offset, item.reason)
        }
      }
      if (sizeBytes < (syncedBytes ?? 0) && this.#open.length === 0) {
        this.#lose(path, sizeBytes, 'this log was cut here')
      }
    } finally {
      await file.close()
    }
  }

  conclude(): LogSalvage {
    this.#losses.push(...this.#open)
    const entries = [...this.#entries.values()].sort((a, b) => Buffer.compare(a.key, b.key))
    const losses = this.#losses
    const hasLost = losses.length > 0
    const applied = this.#applied
    return {
      entries,
      losses,
      applied,
      appliedBeforeLoss: hasLost ? this.#appliedBeforeLoss : applied
    }
  }

  #takeRecord(path: string, offset: number, record: Buffer, mayHaveGaps: boolean): void {
    let entries: WriteBatchEntries
    const taken: LogEntry[] = []
    try {
      entries = new WriteBatchEntries(record)
      while (entries.next()) {
        const { key, seq, isDeletion, value } = entries
        taken.push({ key, seq, value: isDeletion ? undefined : value })
      }
    } catch (error) {
      if (!isCorruption(error)) throw error
      this.#lose(path, offset, error.message)
      return
    }
    // Where the numbers go on without a gap, the damage before held no record.
    const isGap = this.#nextSeq !== entries.firstSeq
    if (isGap && !mayHaveGaps && this.#nextSeq !== undefined && this.#open.length === 0) {
      this.#lose(path, offset, 'records before this one are missing')
    }
    if (isGap) this.#losses.push(...this.#open)
    this.#open = []
    this.#nextSeq = entries.firstSeq + entries.count
    for (const entry of taken) this.#put(entry)
  }

  #put(entry: LogEntry): void {
    const { key, value, seq } = entry
    if (key[0] !== KeySpace.user) {
      if (value !== undefined && key.equals(appliedKey)) this.#applied = value
      return
    }
    const id = key.toString('latin1')
    const before = this.#entries.get(id)
    if (before === undefined || before.seq < seq) this.#entries.set(id, entry)
  }

  #lose(path: string, offset: number, reason: string): void {
    if (this.#losses.length === 0 && this.#open.length === 0) {
      this.#appliedBeforeLoss = this.#applied
    }
    this.#open.push({ path, offset, reason })
  }
}
