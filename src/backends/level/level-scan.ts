import type { KintsugiError } from '../../errors.js'
import type { Encoding } from '../../options.js'
import type { LevelDb, LevelIterator, LevelRange, LevelSnapshot } from './level-db.js'
import { levelError, notOpen } from './level-error.js'

/** How keys and values come out of LevelDB. */
export interface ScanEncodings {
  readonly keyEncoding: Encoding
  readonly valueEncoding: Encoding
}

/** A stored key and its stored value; the caller's own. */
export type StoredEntry = [Buffer | string, Buffer | string]

/** What a request for a batch came to, so that nobody has to wait for it. */
type Outcome = { readonly batch: StoredEntry[] } | { readonly error: unknown }

/**
 * Reads a range of a LevelDB snapshot batch by batch, in LevelDB's thread. A scan begins anew with
 * another iterator: seeking with the old one would read from the disk in this thread.
 */
export class LevelScan {
  /** What was read last; empty at the end. */
  batch: StoredEntry[] = []
  readonly #db: LevelDb
  readonly #snapshot: LevelSnapshot
  #iterator: LevelIterator | undefined
  /** The batch that was asked for and has not been taken. */
  #ahead: Promise<Outcome> | undefined
  #failure: KintsugiError | undefined

  constructor(db: LevelDb, snapshot: LevelSnapshot) {
    this.#db = db
    this.#snapshot = snapshot
  }

  begin(range: LevelRange, reverse: boolean, encodings: ScanEncodings): void {
    this.close()
    this.#iterator = this.#db.iterator(range, reverse, this.#snapshot, encodings)
  }

  /** Asks for the next batch, unless it was asked for, and goes on meanwhile. */
  askAhead(size: number): void {
    this.#ahead ??= this.#request(size)
  }

  /** Takes the next batch; false where the scan was begun anew or closed meanwhile. */
  async load(size: number): Promise<boolean> {
    // LevelDB's iterator would go on as if it had come to the end.
    if (this.#failure !== undefined) throw this.#failure
    this.askAhead(size)
    const ahead = this.#ahead
    const outcome = await ahead!
    if (this.#ahead !== ahead) return false
    this.#ahead = undefined
    if ('error' in outcome) {
      this.#failure = levelError(outcome.error, this.#db.path, 'iterate')
      throw this.#failure
    }
    this.batch = outcome.batch
    return true
  }

  close(): void {
    this.batch = []
    this.#ahead = undefined
    // Closing waits for a batch under way, which nobody wants any more; it has no other failures.
    this.#iterator?.close().catch(() => undefined)
    this.#iterator = undefined
  }

  #request(size: number): Promise<Outcome> {
    if (this.#iterator === undefined) throw notOpen()
    return this.#iterator.nextv(size).then(
      (batch) => ({ batch }),
      (error: unknown) => ({ error })
    )
  }
}
