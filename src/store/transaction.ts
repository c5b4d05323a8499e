import { asBuffer, compareBytes } from '../base/bytes.js'
import type { BatchOperation, ByteRange } from '../batch/batch.js'
import { KintsugiError } from '../errors.js'
import { checkOptionNames, type Durability } from '../options.js'
import { keyBytes, rangeBytes, valueBytes, type Bytes, type KeyRange } from './arguments.js'
import { contains, type ConflictWindow } from './conflict-window.js'
import { limitOf, scanOptionNames, type ScanOptions } from './iterator.js'
import type { Snapshot } from './snapshot.js'

/** How to run a transaction. */
export interface TransactionOptions {
  /** Durability of its commit. Default: the store's. */
  readonly durability?: Durability | undefined
  /** How often it is run again after a conflict. Default 10. */
  readonly maxRetries?: number | undefined
}

export const transactionOptionNames = ['durability', 'maxRetries'] as const

/** Turns stored bytes into what the store's encodings promise. */
export interface Decoders<K, V> {
  readonly key: (bytes: Buffer) => K
  readonly value: (bytes: Buffer) => V
}

/**
 * A serializable, optimistic transaction: it reads one state and its own writes, remembers which
 * keys and ranges it read, and is refused as a conflict when another commit changed any of them
 * meanwhile (rule T1). A read that found nothing counts as well.
 */
export class Transaction<K extends Buffer | string = Buffer, V extends Buffer | string = Buffer> {
  readonly #snapshot: Snapshot
  readonly #window: ConflictWindow
  readonly #decode: Decoders<K, V>
  readonly #readKeys = new Set<string>()
  readonly #readRanges: ByteRange[] = []
  /** Own writes by key as latin1 text; null is a delete. Newer than `#cleared`. */
  readonly #writes = new Map<string, Buffer | null>()
  readonly #cleared: ByteRange[] = []
  #open = true
  /** Its operations are on their way: later ones would be lost in silence. */
  #isSealed = false

  /** Takes over the snapshot and closes it at the end. */
  constructor(snapshot: Snapshot, window: ConflictWindow, decode: Decoders<K, V>) {
    this.#snapshot = snapshot
    this.#window = window
    this.#decode = decode
    window.begin(snapshot.seq)
  }

  /** The value of a key, or undefined. Never blocks the event loop on the disk. */
  async get(key: Bytes): Promise<V | undefined> {
    const bytes = keyBytes(key)
    const own = this.#own(bytes)
    const value = own === undefined ? await this.#snapshot.get(bytes) : own
    return value ? this.#decode.value(value) : undefined
  }

  /** The value of a key, or undefined. */
  getSync(key: Bytes): V | undefined {
    const bytes = keyBytes(key)
    const own = this.#own(bytes)
    const value = own === undefined ? this.#snapshot.getSync(bytes) : own
    return value ? this.#decode.value(value) : undefined
  }

  /** Whether there is a value for a key. */
  async has(key: Bytes): Promise<boolean> {
    return (await this.get(key)) !== undefined
  }

  /** Sets the value of a key when the transaction commits; its own reads see it at once. */
  put(key: Bytes, value: Bytes): void {
    this.#checkOpen()
    // A copy, since the caller may change its bytes before the commit.
    this.#writes.set(textOf(keyBytes(key)), Buffer.from(valueBytes(value)))
  }

  /** Removes a key when the transaction commits; its own reads see it at once. */
  del(key: Bytes): void {
    this.#checkOpen()
    this.#writes.set(textOf(keyBytes(key)), null)
  }

  /** Removes every key of a range, the transaction's own writes included. */
  clear(range: KeyRange = {}): void {
    this.#checkOpen()
    const bytes = rangeBytes(range)
    for (const key of this.#writes.keys()) {
      if (contains(bytes, bytesOf(key))) this.#writes.delete(key)
    }
    this.#cleared.push(bytes)
  }

  /** Entries of a range in key order, own writes included as they are when this is called. */
  entries(options: ScanOptions = {}): Iterable<[K, V]> & AsyncIterable<[K, V]> {
    this.#checkOpen()
    checkOptionNames(options, scanOptionNames)
    const { limit: given, ...unlimited } = options
    const limit = limitOf(given)
    const range = rangeBytes(options)
    this.#readRanges.push(range)
    const merge = new OwnWrites(this.#writes, this.#cleared, range, options.reverse === true)
    const stored = this.#snapshot.entries(unlimited)
    const decode = ([key, value]: [Buffer, Buffer]): [K, V] => [
      this.#decode.key(key),
      this.#decode.value(value)
    ]
    return {
      *[Symbol.iterator]() {
        let left = limit
        try {
          if (left === 0) return
          for (const entry of stored) {
            for (const merged of merge.upTo(entry)) {
              yield decode(merged)
              if (--left === 0) return
            }
          }
          for (const own of merge.rest()) {
            yield decode(own)
            if (--left === 0) return
          }
        } finally {
          stored.close()
        }
      },
      async *[Symbol.asyncIterator]() {
        let left = limit
        try {
          if (left === 0) return
          for await (const entry of stored) {
            for (const merged of merge.upTo(entry)) {
              yield decode(merged)
              if (--left === 0) return
            }
          }
          for (const own of merge.rest()) {
            yield decode(own)
            if (--left === 0) return
          }
        } finally {
          stored.close()
        }
      }
    }
  }

  /** What the transaction writes: ranges first, since its single writes are newer. Ends its use. */
  operations(): BatchOperation[] {
    this.#isSealed = true
    const operations: BatchOperation[] = this.#cleared.map((range) => ({ type: 'clear', range }))
    for (const [text, value] of this.#writes) {
      const key = bytesOf(text)
      operations.push(value === null ? { type: 'del', key } : { type: 'put', key, value })
    }
    return operations
  }

  /** Throws a conflict when something that was read has changed since. */
  validate(): void {
    if (!this.#window.conflicts(this.#snapshot.seq, this.#readKeys, this.#readRanges)) return
    throw new KintsugiError(
      'KINTSUGI_CONFLICT',
      'the transaction read something that another commit has changed meanwhile; run it again'
    )
  }

  end(): void {
    if (!this.#open) return
    this.#open = false
    this.#window.end(this.#snapshot.seq)
    this.#snapshot.close()
  }

  /** Own write of a key: its value, null where it was removed, undefined where there is none. */
  #own(key: Uint8Array): Buffer | null | undefined {
    this.#checkOpen()
    const text = textOf(key)
    const own = this.#writes.get(text)
    if (own !== undefined) return own && Buffer.from(own)
    if (this.#cleared.some((range) => contains(range, key))) return null
    this.#readKeys.add(text)
    return undefined
  }

  #checkOpen(): void {
    if (this.#open && !this.#isSealed) return
    throw new KintsugiError(
      'KINTSUGI_TRANSACTION_NOT_OPEN',
      'the transaction has ended; do everything inside its function, and await it there'
    )
  }
}

/** Lays a transaction's own writes over stored entries that arrive in order. */
class OwnWrites {
  readonly #entries: [Buffer, Buffer | null][]
  readonly #cleared: readonly ByteRange[]
  readonly #sign: number
  #index = 0

  constructor(
    writes: ReadonlyMap<string, Buffer | null>,
    cleared: readonly ByteRange[],
    range: ByteRange,
    reverse: boolean
  ) {
    this.#sign = reverse ? -1 : 1
    this.#cleared = [...cleared]
    this.#entries = [...writes]
      .map(([text, value]): [Buffer, Buffer | null] => [bytesOf(text), value])
      .filter(([key]) => contains(range, key))
      .sort(([a], [b]) => this.#sign * compareBytes(a, b))
  }

  /** Own entries before the stored one, then the stored one unless it is overwritten. */
  *upTo(stored: [Buffer, Buffer]): Generator<[Buffer, Buffer]> {
    for (; this.#index < this.#entries.length; this.#index++) {
      const [key, value] = this.#entries[this.#index]
      const order = this.#sign * compareBytes(key, stored[0])
      if (order > 0) break
      if (value !== null) yield [Buffer.from(key), Buffer.from(value)]
      if (order === 0) {
        this.#index++
        return
      }
    }
    if (!this.#cleared.some((range) => contains(range, stored[0]))) yield stored
  }

  *rest(): Generator<[Buffer, Buffer]> {
    for (; this.#index < this.#entries.length; this.#index++) {
      const [key, value] = this.#entries[this.#index]
      if (value !== null) yield [Buffer.from(key), Buffer.from(value)]
    }
  }
}

function textOf(key: Uint8Array): string {
  return asBuffer(key).toString('latin1')
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}
