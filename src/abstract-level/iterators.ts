import { AbstractIterator, AbstractKeyIterator, AbstractValueIterator } from 'abstract-level'
import type { StoreIterator } from '../store/iterator.js'
import { LevelError, throwLevelError } from './level-error.js'
import { highWaterMarkOf, type AdditionalIteratorOptions } from './options.js'

/** Entries read ahead for `next` grow from the first to the last, so that short ranges stay cheap. */
const firstAhead = 16
const maxAhead = 1024

/** Bytes that are read ahead, or handed out at once, where no other bound was given. */
const aheadBytes = 64 * 1024
const atOnceBytes = 1024 * 1024

/** Where items come from. */
export type Source<T> = Pick<StoreIterator<T>, 'nextv' | 'covers' | 'seek' | 'close'>

/** What of an iterator's options is about reading ahead. */
export interface FeedOptions extends AdditionalIteratorOptions {
  readonly signal?: AbortSignal | undefined
}

/**
 * What an iterator of any kind hands out: `next` is served from a list, which is all it costs most
 * of the time. A list that is handed out whole belongs to the caller.
 */
class Feed<T> {
  readonly #source: Source<T>
  readonly #maxBytes: number | undefined
  readonly #signal: AbortSignal | undefined
  #items: T[] = []
  #position = 0
  #ahead = firstAhead
  /** A key outside of the range was sought: nothing comes before the next seek. */
  #isOutside = false

  constructor(source: Source<T>, options: FeedOptions) {
    this.#source = source
    this.#maxBytes = highWaterMarkOf(options)
    this.#signal = options.signal ?? undefined
  }

  get cached(): number {
    return this.#items.length - this.#position
  }

  /** `left`: how many may still be handed out. */
  next(left: number): T | Promise<T | undefined> {
    if (this.#position < this.#items.length) return this.#items[this.#position++]
    return this.#refill(left)
  }

  async #refill(left: number): Promise<T | undefined> {
    this.#items = await this.#read(Math.min(left, this.#ahead), this.#maxBytes ?? aheadBytes)
    this.#position = Math.min(1, this.#items.length)
    this.#ahead = Math.min(this.#ahead * 2, maxAhead)
    return this.#items[0]
  }

  nextv(size: number): Promise<T[]> | T[] {
    if (this.cached === 0) return this.#read(size, this.#maxBytes ?? atOnceBytes)
    const items = this.#items.slice(this.#position, this.#position + size)
    this.#position += items.length
    return items
  }

  async all(left: number): Promise<T[]> {
    const cached = this.#items.slice(this.#position)
    this.#position = this.#items.length
    if (cached.length >= left) return cached
    const rest = await this.#read(left - cached.length, Infinity)
    return cached.length === 0 ? rest : cached.concat(rest)
  }

  seek(key: string | Uint8Array): void {
    this.#items = []
    this.#position = 0
    this.#ahead = firstAhead
    try {
      this.#isOutside = !this.#source.covers(key)
      if (!this.#isOutside) this.#source.seek(key)
    } catch (error) {
      throwLevelError(error)
    }
  }

  close(): void {
    this.#items = []
    this.#position = 0
    this.#source.close()
  }

  async #read(size: number, maxBytes: number): Promise<T[]> {
    if (this.#isOutside) return []
    try {
      const items = await this.#source.nextv(size, maxBytes)
      // What needed no waiting is aborted nevertheless, by whoever does so before it is taken.
      if (this.#signal?.aborted !== true) return items
    } catch (error) {
      throwLevelError(error)
    }
    throw new LevelError('LEVEL_ABORTED', 'Operation has been aborted', this.#signal.reason)
  }
}

/** A key or a value as the store hands it out. */
export type Item = string | Buffer

export type Entry = [Item | undefined, Item | undefined]

/** Entries of which only one half was asked for and is read: keys are half 0, values half 1. */
export class HalfEntries implements Source<Entry> {
  readonly #source: Source<Item>
  readonly #half: 0 | 1

  constructor(source: Source<Item>, half: 0 | 1) {
    this.#source = source
    this.#half = half
  }

  async nextv(size: number, maxBytes: number): Promise<Entry[]> {
    const items = await this.#source.nextv(size, maxBytes)
    return items.map((item): Entry => (this.#half === 0 ? [item, undefined] : [undefined, item]))
  }

  covers(key: string | Uint8Array): boolean {
    return this.#source.covers(key)
  }

  seek(key: string | Uint8Array): void {
    this.#source.seek(key)
  }

  close(): void {
    this.#source.close()
  }
}

// Level has a base class for each kind of iterator, each with type parameters of its own, so there
// are three here as well; what they do is the feed's.

/** Iterates over entries. */
export class EntryIterator<TDatabase, K, V> extends AbstractIterator<TDatabase, K, V> {
  readonly #feed: Feed<Entry>

  constructor(db: TDatabase, options: FeedOptions, source: Source<Entry>) {
    super(db, options)
    this.#feed = new Feed(source, options)
  }

  /** How many entries are read ahead at this moment. */
  get cached(): number {
    return this.#feed.cached
  }

  protected _next(): unknown {
    return this.#feed.next(this.limit - this.count)
  }

  protected _nextv(size: number): unknown {
    return this.#feed.nextv(size)
  }

  protected _all(): unknown {
    return this.#feed.all(this.limit - this.count)
  }

  protected _seek(key: string | Uint8Array): void {
    this.#feed.seek(key)
  }

  protected _close(): void {
    this.#feed.close()
  }
}

/** Iterates over keys, and reads nothing else. */
export class KeyIterator<TDatabase, K> extends AbstractKeyIterator<TDatabase, K> {
  readonly #feed: Feed<Item>

  constructor(db: TDatabase, options: FeedOptions, source: Source<Item>) {
    super(db, options)
    this.#feed = new Feed(source, options)
  }

  /** How many keys are read ahead at this moment. */
  get cached(): number {
    return this.#feed.cached
  }

  protected _next(): unknown {
    return this.#feed.next(this.limit - this.count)
  }

  protected _nextv(size: number): unknown {
    return this.#feed.nextv(size)
  }

  protected _all(): unknown {
    return this.#feed.all(this.limit - this.count)
  }

  protected _seek(key: string | Uint8Array): void {
    this.#feed.seek(key)
  }

  protected _close(): void {
    this.#feed.close()
  }
}

/** Iterates over values, and reads nothing else. */
export class ValueIterator<TDatabase, K, V> extends AbstractValueIterator<TDatabase, K, V> {
  readonly #feed: Feed<Item>

  constructor(db: TDatabase, options: FeedOptions, source: Source<Item>) {
    super(db, options)
    this.#feed = new Feed(source, options)
  }

  /** How many values are read ahead at this moment. */
  get cached(): number {
    return this.#feed.cached
  }

  protected _next(): unknown {
    return this.#feed.next(this.limit - this.count)
  }

  protected _nextv(size: number): unknown {
    return this.#feed.nextv(size)
  }

  protected _all(): unknown {
    return this.#feed.all(this.limit - this.count)
  }

  protected _seek(key: string | Uint8Array): void {
    this.#feed.seek(key)
  }

  protected _close(): void {
    this.#feed.close()
  }
}
