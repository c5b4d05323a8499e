import { KintsugiError } from '../../errors.js'
import { notOpen } from './level-error.js'
import type {
  PrivateIterator,
  PrivateIteratorOptions,
  PrivateMethods,
  StoredEntry
} from './private-methods.js'

/**
 * One iteration over LevelDB, past the part of `abstract-level` that checks arguments and decodes: it
 * takes as long as a short range itself, and would make text of bounds that are none. What else that
 * part sees to is seen to here: `classic-level` ends the process where an iterator is read after it
 * was closed, read twice at a time, or closed while it is read.
 */
export class LevelIterator {
  readonly #database: PrivateMethods
  readonly #iterator: PrivateIterator
  readonly #onClose: (iterator: LevelIterator) => void
  #reading: Promise<StoredEntry[]> | undefined
  #isClosed = false

  constructor(
    database: PrivateMethods,
    options: PrivateIteratorOptions,
    onClose: (iterator: LevelIterator) => void
  ) {
    this.#database = database
    this.#iterator = database._iterator(options)
    this.#onClose = onClose
  }

  /** At least one entry and at most `size`; none at the end. Errors are LevelDB's. */
  nextv(size: number): Promise<StoredEntry[]> {
    if (this.#isClosed) return Promise.reject(notOpen())
    if (this.#reading !== undefined) {
      const message = 'an iterator of LevelDB was read twice at a time'
      return Promise.reject(new KintsugiError('KINTSUGI_INTERNAL', message))
    }
    this.#reading = this.#read(size)
    return this.#reading
  }

  async #read(size: number): Promise<StoredEntry[]> {
    try {
      return await this.#iterator._nextv(size)
    } finally {
      this.#reading = undefined
      if (this.#isClosed) this.#release()
    }
  }

  /** A read under way is waited for; it settles as it would have. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#reading === undefined) this.#release()
  }

  /** Resolves when no read is under way. */
  async settle(): Promise<void> {
    await this.#reading?.catch(() => undefined) // whoever reads is told
  }

  #release(): void {
    // Done when it returns, and it has no errors.
    this.#iterator._close().catch(() => undefined)
    this.#database.detachResource(this.#iterator)
    this.#onClose(this)
  }
}
