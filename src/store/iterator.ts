import { turn } from '../base/turn.js'
import type { ByteRange } from '../batch/batch.js'
import type { Cursor, EntryChunk, ReadView } from '../backend/backend.js'
import { KintsugiError } from '../errors.js'
import { spanHolds, spanOf } from '../memtable/key-span.js'
import { describe, invalidOption, type Encoding } from '../options.js'
import { keyBytes, type Bytes, type KeyRange } from './arguments.js'
import { bytesOf, decodeEntries, decodeEntry, endWithin, type Selection } from './entry-decoder.js'
import type { OpenIterators } from './open-iterators.js'
import { aborted } from './work.js'

/** What to read. */
export interface ScanOptions extends KeyRange {
  /** From the last key to the first. Default false. */
  readonly reverse?: boolean | undefined
  /** At most this many entries; -1, the default, means all, as does Infinity. */
  readonly limit?: number | undefined
  /** Ends asynchronous iteration with an error of code `KINTSUGI_ABORTED`. */
  readonly signal?: AbortSignal | undefined
}

/** What to read and how it comes out. */
export interface IteratorOptions extends ScanOptions {
  /** What the keys of this iteration come out as. Default: the store's own. */
  readonly keyEncoding?: Encoding | undefined
  /** What the values of this iteration come out as. Default: the store's own. */
  readonly valueEncoding?: Encoding | undefined
}

export const scanOptionNames = ['gt', 'gte', 'lt', 'lte', 'reverse', 'limit', 'signal'] as const
export const iteratorOptionNames = [...scanOptionNames, 'keyEncoding', 'valueEncoding'] as const

/** The type of keys, where the options may name an encoding of their own. */
export type KeysAs<O, Default> = O extends { readonly keyEncoding: infer E }
  ? EncodedAs<E, Default>
  : Default

/** The type of values, where the options may name an encoding of their own. */
export type ValuesAs<O, Default> = O extends { readonly valueEncoding: infer E }
  ? EncodedAs<E, Default>
  : Default

type EncodedAs<E, Default> = E extends 'utf8' ? string : E extends 'buffer' ? Buffer : Default

/** The most entries to yield, or -1. Neither given, nor -1, nor Infinity sets a bound. */
export function limitOf(limit = -1): number {
  if (limit === Infinity) return -1
  if (Number.isSafeInteger(limit) && limit >= -1) return limit
  throw invalidOption('limit', `${describe(limit)} was given, allowed is a count, or -1 for all`)
}

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

/** So many entries `nextv` hands out before the event loop gets its turn. */
const entriesPerTurn = 1024

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
  #entriesThisTurn = 0

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
      values: plan.selection !== 'keys',
      ready: plan
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
    const wanted = this.#wanted(this.#chunkEntries)
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
   * The next entries, at most `size`, `Infinity` for all that are left; none at the end. With
   * `maxBytes` the answer ends with the entry whose key and value make it exceed that. Never blocks
   * the event loop on the disk, and lets it go on now and then. Unlike the other ways to iterate,
   * this one leaves the iterator open at the end, so that it can `seek`: close it.
   */
  async nextv(size: number, maxBytes = Infinity): Promise<T[]> {
    checkSize('size', size, 1)
    checkSize('maxBytes', maxBytes, 0)
    const items: T[] = []
    let bytesLeft = maxBytes
    while (items.length < size && bytesLeft >= 0) {
      if (this.#plan.signal?.aborted === true) throw aborted(this.#plan.signal)
      if (this.#entriesThisTurn >= entriesPerTurn) {
        this.#entriesThisTurn = 0
        await turn()
        continue
      }
      if (this.#chunk === undefined || this.#index === this.#chunk.count) {
        if (this.#state === 'finished') break
        this.#checkOpen()
        const wanted = this.#wanted(Math.min(size - items.length, maxChunkEntries))
        const chunk = wanted === 0 ? undefined : this.#cursor.tryNextChunk(wanted)
        if (chunk === undefined) break
        if (chunk === null) await this.#cursor.load()
        else this.#receive(chunk)
        continue
      }
      const start = this.#index
      const most = Math.min(this.#chunk.count, start + size - items.length)
      const end = endWithin(this.#chunk, start, most, bytesLeft)
      decodeEntries(this.#chunk, start, end, this.#plan, items)
      bytesLeft -= maxBytes === Infinity ? 0 : bytesOf(this.#chunk, start, end)
      this.#entriesThisTurn += end - start
      this.#index = end
    }
    return items
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

  /** Whether a key lies within the bounds of the iteration. */
  covers(key: Bytes): boolean {
    return spanHolds(spanOf(this.#plan.range), keyBytes(key))
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
    const wanted = this.#wanted(this.#chunkEntries)
    if (wanted === 0) return undefined
    const chunk = this.#cursor.tryNextChunk(wanted)
    if (chunk === null) return this.#cursor.load()
    if (chunk !== undefined) this.#receive(chunk)
    else this.#release('finished')
    return undefined
  }

  /** How many entries the next chunk is to have: as many as proposed, unless a limit is known. */
  #wanted(proposed: number): number {
    return this.#left < 0 ? proposed : Math.min(this.#left, maxChunkEntries)
  }

  #receive(chunk: EntryChunk): void {
    this.#chunk = chunk
    this.#index = 0
    if (this.#left > 0) this.#left -= chunk.count
    this.#chunkEntries = Math.min(this.#chunkEntries * 2, maxChunkEntries)
  }

  #take(chunk: EntryChunk): IteratorResult<T, undefined> {
    // The cast holds because T is fixed by the selection and the encodings where this is made.
    return { value: decodeEntry(chunk, this.#index++, this.#plan) as T, done: false }
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

function checkSize(name: string, given: number, least: number): void {
  if (given === Infinity || (Number.isSafeInteger(given) && given >= least)) return
  throw new KintsugiError(
    'KINTSUGI_INVALID_ARGUMENT',
    `${name} must be a whole number from ${least} on, ${describe(given)} was given`
  )
}
