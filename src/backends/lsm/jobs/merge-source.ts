import type { RangeTombstones } from '../../../memtable/range-tombstones.js'
import type { EntryKind } from '../../../memtable/entry.js'

/**
 * Versions in order: keys ascending, of one key the newest first. After `next` came true the fields
 * describe a version; their bytes are valid until the following `next`.
 */
export interface EntrySource {
  readonly tombstones: RangeTombstones
  readonly key: Uint8Array
  readonly keyStart: number
  readonly keyEnd: number
  readonly seq: number
  readonly kind: EntryKind
  readonly value: Uint8Array
  readonly valueStart: number
  readonly valueEnd: number
  /** To the next version; false at the end. A promise only where it has to wait for the disk. */
  next(): boolean | Promise<boolean>
  /** Of a `largePut`: fetches its value, after which it is a `put`. */
  loadValue(): Promise<void>
  close(): Promise<void>
  /** Read from the disk so far. */
  readonly bytesRead: number
}

export type OpenSource = () => Promise<EntrySource>

/**
 * Sources whose keys follow one another, such as the tables of one level, as one. Each is opened
 * when it is its turn and closed when it is through.
 */
export class SourceRun {
  /** The source with the current version. */
  entry!: EntrySource
  readonly #rest: OpenSource[]
  #isOpen = false
  #bytesRead = 0

  constructor(sources: readonly OpenSource[]) {
    this.#rest = sources.toReversed()
  }

  next(): boolean | Promise<boolean> {
    if (!this.#isOpen) return this.#nextSource()
    const isThere = this.entry.next()
    if (isThere === true) return true
    return isThere === false ? this.#nextSource() : this.#whenRead(isThere)
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#bytesRead += this.entry.bytesRead
    await this.entry.close()
  }

  get bytesRead(): number {
    return this.#bytesRead + (this.#isOpen ? this.entry.bytesRead : 0)
  }

  async #whenRead(pending: Promise<boolean>): Promise<boolean> {
    return (await pending) || this.#nextSource()
  }

  async #nextSource(): Promise<boolean> {
    for (;;) {
      await this.close()
      const open = this.#rest.pop()
      if (open === undefined) return false
      this.entry = await open()
      this.#isOpen = true
      if (await this.entry.next()) return true
    }
  }
}
