import { BufferView } from '../base/bytes.js'
import type { ByteRange } from '../batch/batch.js'
import type { Cursor, EntryChunk, ReadView } from '../backend/backend.js'
import { KintsugiError } from '../errors.js'
import { describe, invalidOption, type Encoding } from '../options.js'
import { keyBytes, type Bytes, type KeyRange } from './arguments.js'
import type { OpenIterators } from './open-iterators.js'
import { aborted } from './work.js'

/** What to read and how. */
export interface IteratorOptions extends KeyRange {
  /** From the last key to the first. Default false. */
  readonly reverse?: boolean | undefined
  /** At most this many entries; -1, the default, means all, as does Infinity. */
  readonly limit?: number | undefined
  /** Ends asynchronous iteration with an error of code `KINTSUGI_ABORTED`. */
  readonly signal?: AbortSignal | undefined
}

export const iteratorOptionNames = ['gt', 'gte', 'lt', 'lte', 'reverse', 'limit', 'signal'] as const

/** The most entries to yield, or -1. Neither given, nor -1, nor Infinity sets a bound. */
export function limitOf(limit = -1): number {
  if (limit === Infinity) return -1
  if (Number.isSafeInteger(limit) && limit >= -1) return limit
  throw invalidOption('limit', `${describe(limit)} was given, allowed is a count, or -1 for all`)
}

/** What an iterator yields per entry. */
export type Selection = 'entries' | 'keys' | 'values'

/** What the iterator needs to know; the store resolves the caller's options into it. */
export interface IterationPlan {
  readonly selection: Selection
  readonly range: ByteRange
  readonly reverse: boolean
  readonly limit: number
  readonly signal: AbortSignal | undefined
  readonly keyEncoding: Encoding
  readonly valueEncoding: Encoding
}

/**
 * Where no limit says how many are wanted, the first chunk is small, so that short ranges stay
 * cheap; each further one is twice as large.
 */
const firstChunkEntries = 16
const maxChunkEntries = 1024

/**
 * Iterates over a range of a view, synchronously with `for … of` or without blocking the event loop
 * with `for await … of`. Buffers it yields are the caller's own.
 */
export class StoreIterator<T> implements IterableIterator<T>, AsyncIterable<T>, Disposable {
  readonly #plan: IterationPlan
  readonly #view: ReadView
  readonly #cursor: Cursor
  readonly #open: OpenIterators
  #chunk: EntryChunk | undefined
  #index = 0
  #left: number
  #chunkEntries = firstChunkEntries
  #state: 'open' | 'finished' | 'closed' = 'open'

  /** For the open iterators alone. */
  place = 0

  /** Takes over the view and closes it at the end. */
  constructor(plan: IterationPlan, view: ReadView, open: OpenIterators) {
    this.#plan = plan
    this.#view = view
    this.#left = plan.limit
    this.#open = open
    this.#cursor = view.cursor({
      range: plan.range,
      reverse: plan.reverse,
      keys: plan.selection !== 'values',
      values: plan.selection !== 'keys'
    })
    open.add(this)
  }

  [Symbol.iterator](): this {
    return this
  }

  /** The next entry; waits for the disk where the entry is not in memory. */
  next(): IteratorResult<T, undefined> {
    if (this.#chunk !== undefined && this.#index < this.#chunk.count) return this.#take(this.#chunk)
    if (this.#state === 'finished') return { value: undefined, done: true }
    this.#checkOpen()
    const wanted = this.#wanted()
    if (wanted === 0) return this.#finish()
    const chunk = this.#cursor.nextChunkSync(wanted)
    if (chunk === undefined) return this.#finish()
    this.#receive(chunk)
    return this.#take(chunk)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, undefined> {
    try {
      for (;;) {
        if (this.#plan.signal?.aborted === true) throw aborted(this.#plan.signal)
        const loading = this.#fill()
        if (loading !== undefined) {
          await loading
          continue
        }
        const result = this.next()
        if (result.done === true) return undefined
        yield result.value
      }
    } finally {
      this.close()
    }
  }

  /**
   * Goes on at the first entry at or behind `key`, in the direction of the iteration. Not possible
   * once the end was reached: what the iterator held is released then.
   */
  seek(key: Bytes): void {
    this.#checkOpen()
    // Read again when the next entry is asked for.
    this.#cursor.seek(Uint8Array.from(keyBytes(key)))
    if (this.#chunk !== undefined && this.#left >= 0) this.#left += this.#chunk.count - this.#index
    this.#chunk = undefined
    this.#chunkEntries = firstChunkEntries
  }

  return(): IteratorResult<T, undefined> {
    this.close()
    return { value: undefined, done: true }
  }

  /** Releases what the iterator holds. Reaching the end does this too; closing twice is allowed. */
  close(): void {
    if (this.#state === 'open') this.#release('closed')
  }

  #release(state: 'finished' | 'closed'): void {
    this.#state = state
    this.#chunk = undefined
    this.#cursor.close()
    this.#view.close()
    this.#open.remove(this)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** Gets the next chunk ready without waiting; otherwise returns what to wait for. */
  #fill(): Promise<void> | undefined {
    if (this.#chunk !== undefined && this.#index < this.#chunk.count) return undefined
    if (this.#state !== 'open') return undefined
    const wanted = this.#wanted()
    if (wanted === 0) return undefined
    const chunk = this.#cursor.tryNextChunk(wanted)
    if (chunk === null) return this.#cursor.load()
    if (chunk !== undefined) this.#receive(chunk)
    else this.#release('finished')
    return undefined
  }

  #wanted(): number {
    return this.#left < 0 ? this.#chunkEntries : Math.min(this.#left, maxChunkEntries)
  }

  #receive(chunk: EntryChunk): void {
    this.#chunk = chunk
    this.#index = 0
    if (this.#left > 0) this.#left -= chunk.count
    this.#chunkEntries = Math.min(this.#chunkEntries * 2, maxChunkEntries)
  }

  #take(chunk: EntryChunk): IteratorResult<T, undefined> {
    const { bounds } = chunk
    const at = chunk.firstBound + (this.#index++ << 2)
    const { selection, keyEncoding, valueEncoding } = this.#plan
    // The casts hold because T is fixed by the selection and the encodings where this is made.
    if (selection === 'keys') {
      return { value: decode(chunk, bounds[at], bounds[at + 1], keyEncoding) as T, done: false }
    }
    const value = decode(chunk, bounds[at + 2], bounds[at + 3], valueEncoding)
    if (selection === 'values') return { value: value as T, done: false }
    const key = decode(chunk, bounds[at], bounds[at + 1], keyEncoding)
    return { value: [key, value] as T, done: false }
  }

  #finish(): IteratorResult<T, undefined> {
    this.#release('finished')
    return { value: undefined, done: true }
  }

  #checkOpen(): void {
    if (this.#state === 'open') return
    throw new KintsugiError(
      'KINTSUGI_ITERATOR_NOT_OPEN',
      'the iterator is closed, or its store is; make a new one'
    )
  }
}

function decode(
  chunk: EntryChunk,
  start: number,
  end: number,
  encoding: Encoding
): Buffer | string {
  if (encoding === 'utf8') return chunk.bytes.toString('utf8', start, end)
  return new BufferView(chunk.memory, start, end - start)
}
