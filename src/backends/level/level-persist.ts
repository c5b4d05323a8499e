import { turn } from '../../base/turn.js'
import { KintsugiError } from '../../errors.js'
import type { Memtable } from '../../memtable/memtable.js'
import { appliedKey, StoredValue } from './format.js'
import { FrozenEntries } from './frozen-entries.js'
import type { LevelDb, LevelOperation } from './level-db.js'
import { notOpen } from './level-error.js'
import type { LevelFiles } from './sync-files.js'
import type { StateFile } from './state-file.js'
import { storedKey, storedSpan } from './stored-key.js'
import type { StoredValues } from './stored-value.js'

/** A batch is handed to LevelDB when it has so many bytes. */
const batchBytes = 256 * 1024
/** Keys put in order before the event loop goes on. */
const orderedPerTurn = 4096

/** What a persist works with. */
export interface LevelPersistParts {
  readonly db: LevelDb
  readonly files: LevelFiles
  readonly state: StateFile
  readonly values: StoredValues
}

/**
 * Writes memtables to LevelDB and makes that durable (rule B4). After a write or a sync that failed
 * nothing is known of what LevelDB has on the disk, so no other is tried (rules F1, F6).
 */
export class LevelPersist {
  readonly #parts: LevelPersistParts
  /** Why nothing is written any more. */
  #failure: KintsugiError | undefined
  #isClosed = false
  persists = 0
  bytesWritten = 0
  entriesWritten = 0

  constructor(parts: LevelPersistParts) {
    this.#parts = parts
  }

  /** Memtables newest first, the log synced through `seq`, which they lead up to. */
  async write(memtables: readonly Memtable[], seq: number): Promise<void> {
    this.checkSound()
    for (const memtable of memtables) {
      while (!memtable.order(orderedPerTurn)) await turn()
    }
    await this.#guard(async () => {
      await this.#writeEntries(new FrozenEntries(memtables), seq)
    })
    await this.acknowledge(seq)
  }

  /** Makes durable what LevelDB has, and states that it is everything up to `durableSeq`. */
  async acknowledge(durableSeq: number): Promise<void> {
    this.checkSound()
    const { files, state } = this.#parts
    const synced = await this.#guard(() => files.sync())
    await this.#guard(() => state.publish({ durableSeq, files: synced }))
    this.persists++
  }

  checkSound(): void {
    if (this.#failure === undefined) return
    throw new KintsugiError(
      'KINTSUGI_READ_ONLY',
      `a write to LevelDB failed, so nothing more is written (${this.#failure.message}); every ` +
        'acknowledged commit is in the log: close the store and open it again',
      this.#failure.facts,
      this.#failure
    )
  }

  /** The next step of what is under way fails. */
  close(): void {
    this.#isClosed = true
  }

  /** Removed ranges first: what was written into them later comes after that. */
  async #writeEntries(entries: FrozenEntries, seq: number): Promise<void> {
    const { db } = this.#parts
    for (const span of entries.removedSpans()) {
      this.#checkOpen()
      await db.clear(storedSpan(span))
    }
    let operations: LevelOperation[] = []
    let bytes = 0
    while (entries.next()) {
      const operation = this.#operation(entries)
      operations.push(operation)
      bytes += operation.key.length + (operation.type === 'put' ? operation.value.length : 0)
      if (bytes < batchBytes) continue
      await this.#writeBatch(operations, bytes, false)
      operations = []
      bytes = 0
    }
    // The last batch says how far LevelDB is.
    operations.push(this.#appliedOperation(seq))
    await this.#writeBatch(operations, bytes, true)
  }

  async #writeBatch(operations: LevelOperation[], bytes: number, sync: boolean): Promise<void> {
    this.#checkOpen()
    await this.#parts.db.write(operations, sync)
    this.bytesWritten += bytes
    this.entriesWritten += operations.length
  }

  #operation({ key: { memory, keyStart, keyEnd }, lookup }: FrozenEntries): LevelOperation {
    const key = storedKey(memory.u8.subarray(keyStart, keyEnd))
    if (lookup.isDelete) return { type: 'del', key }
    const { start, end, seq } = lookup
    const value = Buffer.allocUnsafe(StoredValue.value + end - start)
    value.set(lookup.memory.u8.subarray(start, end), StoredValue.value)
    this.#parts.values.seal(value, key, seq)
    return { type: 'put', key, value }
  }

  #appliedOperation(seq: number): LevelOperation {
    return { type: 'put', key: appliedKey, value: appliedValue(this.#parts.values, seq) }
  }

  #checkOpen(): void {
    if (this.#isClosed) throw notOpen()
  }

  /** A failure is final, apart from one that says that nothing was tried. */
  async #guard<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step()
    } catch (error) {
      const isKnown = error instanceof KintsugiError
      if (!isKnown || !harmless.has(error.code)) this.#failure = asFailure(error)
      throw error
    }
  }
}

/** Failures of an attempt that changed nothing. */
const harmless = new Set<string>(['KINTSUGI_NOT_OPEN', 'KINTSUGI_TOO_MANY_FILES'])

/** What stands under the applied key: the number of a commit is that of its header. */
export function appliedValue(values: StoredValues, seq: number): Buffer {
  const value = Buffer.alloc(StoredValue.value)
  values.seal(value, appliedKey, seq)
  return value
}

function asFailure(error: unknown): KintsugiError {
  if (error instanceof KintsugiError) return error
  return new KintsugiError('KINTSUGI_INTERNAL', `a persist failed: ${String(error)}`, {}, error)
}
