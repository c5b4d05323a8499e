import type { KintsugiError } from '../../errors.js'
import type { LevelDb } from './level-db.js'
import type { LevelEncodings, LevelRange, LevelSnapshot, StoredEntry } from './private-methods.js'
import { levelError, notOpen } from './level-error.js'
import type { LevelIterator } from './level-iterator.js'

/**
 * Reads a range of a LevelDB snapshot batch by batch, in LevelDB's thread. A scan begins anew with
 * another iterator: seeking with the old one would read from the disk in this thread.
 */
export class LevelScan {
  /** What was read last; empty at the end, undefined before anything was. */
  batch: readonly StoredEntry[] | undefined
  /** Entries of the batch that the reader has passed. Of a new batch none is, from its first moment. */
  passed = 0
  readonly #db: LevelDb
  readonly #snapshot: LevelSnapshot
  #iterator: LevelIterator | undefined
  /** The batch that was asked for and has not been taken. */
  #ahead: Promise<StoredEntry[]> | undefined
  #failure: KintsugiError | undefined

  constructor(db: LevelDb, snapshot: LevelSnapshot) {
    this.#db = db
    this.#snapshot = snapshot
  }

  begin(range: LevelRange, reverse: boolean, encodings: LevelEncodings): void {
    this.close()
    this.#iterator = this.#db.iterator(range, reverse, this.#snapshot, encodings)
  }

  /** Asks for the next batch, where there can be one that was not asked for, and goes on meanwhile. */
  askAhead(size: number): void {
    if (this.#ahead !== undefined || this.batch === undefined || this.batch.length === 0) return
    this.#ahead = this.#request(size)
    // Whoever loads the batch is told of a failure; before that it is not one that nobody handles.
    this.#ahead.catch(() => undefined)
  }

  /** Takes the next batch; false where the scan was begun anew or closed meanwhile. */
  async load(size: number): Promise<boolean> {
    // LevelDB's iterator would go on as if it had come to the end.
    if (this.#failure !== undefined) throw this.#failure
    const ahead = (this.#ahead ??= this.#request(size))
    try {
      const batch = await ahead
      if (this.#ahead !== ahead) return false
      this.batch = batch
      this.passed = 0
    } catch (error) {
      if (this.#ahead !== ahead) return false
      this.#failure = levelError(error, this.#db.path, 'iterate')
      throw this.#failure
    }
    this.#ahead = undefined
    return true
  }

  close(): void {
    this.batch = undefined
    this.#ahead = undefined
    this.#iterator?.close()
    this.#iterator = undefined
  }

  #request(size: number): Promise<StoredEntry[]> {
    if (this.#iterator === undefined) throw notOpen()
    return this.#iterator.nextv(size)
  }
}
