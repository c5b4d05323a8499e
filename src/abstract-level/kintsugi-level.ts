import { AbstractLevel, type AbstractBatchOperation, type Transcoder } from 'abstract-level'
import { standInMark } from '../base/stand-in.js'
import { destroy, repair, type DestroyOptions, type RepairOptions } from '../open.js'
import type { RepairReport } from '../recovery/repair.js'
import type { Bytes, KeyRange } from '../store/arguments.js'
import type { IteratorOptions as ScanOptions } from '../store/iterator.js'
import { openStore } from '../store/open-store.js'
import type { Operation } from '../store/operations.js'
import type { Snapshot } from '../store/snapshot.js'
import type { Store } from '../store/store.js'
import { ChainedBatch } from './chained-batch.js'
import { clearPart } from './clear.js'
import {
  EntryIterator,
  HalfEntries,
  KeyIterator,
  ValueIterator,
  type Entry,
  type FeedOptions,
  type Item,
  type Source
} from './iterators.js'
import { notOpen, throwLevelError } from './level-error.js'
import {
  openRequestOf,
  writeOptionsOf,
  type BatchOptions,
  type ClearOptions,
  type DatabaseOptions,
  type DelOptions,
  type GetManyOptions,
  type GetOptions,
  type HasManyOptions,
  type HasOptions,
  type IteratorOptions,
  type KeyIteratorOptions,
  type OpenOptions,
  type PutOptions,
  type StartEndOptions,
  type ValueIteratorOptions,
  type WriteOptions
} from './options.js'
import { propertyOf } from './properties.js'
import { KintsugiSnapshot, readsOf } from './snapshot.js'

export type { DestroyOptions, RepairOptions } from '../open.js'
export type { RepairReport } from '../recovery/repair.js'
export type { ChainedBatch } from './chained-batch.js'
export type { EntryIterator, KeyIterator, ValueIterator } from './iterators.js'
export type { LevelError } from './level-error.js'
export type {
  BatchOptions,
  ChainedBatchWriteOptions,
  ClearOptions,
  DatabaseOptions,
  DelOptions,
  GetManyOptions,
  GetOptions,
  HasManyOptions,
  HasOptions,
  IteratorOptions,
  KeyIteratorOptions,
  OpenOptions,
  PutOptions,
  StartEndOptions,
  ValueIteratorOptions
} from './options.js'
export type { KintsugiSnapshot } from './snapshot.js'

/** What Level hands to a read: formats in place of encodings. */
interface PrivateReadOptions {
  readonly keyEncoding: 'utf8' | 'buffer' | 'view'
  readonly valueEncoding: 'utf8' | 'buffer' | 'view'
  readonly snapshot?: unknown
}

/** What Level hands to an iterator: bounds are encoded, a limit of -1 is none. */
interface PrivateRangeOptions extends PrivateReadOptions, FeedOptions {
  readonly gt?: Bytes
  readonly gte?: Bytes
  readonly lt?: Bytes
  readonly lte?: Bytes
  readonly reverse: boolean
  readonly limit: number
  readonly keys?: boolean
  readonly values?: boolean
}

/** An operation of `batch`. */
export type BatchOperation<TDatabase, K, V> = AbstractBatchOperation<TDatabase, K, V>

/**
 * The types of what is inherited, with the options that are known here: methods of the base class
 * all of them, so nothing is promised that is not there.
 */
// oxlint-disable-next-line typescript/no-unsafe-declaration-merging
export interface KintsugiLevel<KDefault, VDefault> {
  open(): Promise<void>
  open(options: OpenOptions): Promise<void>

  get(key: KDefault): Promise<VDefault | undefined>
  get<K = KDefault, V = VDefault>(key: K, options: GetOptions<K, V>): Promise<V | undefined>

  getSync(key: KDefault): VDefault | undefined
  getSync<K = KDefault, V = VDefault>(key: K, options: GetOptions<K, V>): V | undefined

  getMany(keys: KDefault[]): Promise<(VDefault | undefined)[]>
  getMany<K = KDefault, V = VDefault>(
    keys: K[],
    options: GetManyOptions<K, V>
  ): Promise<(V | undefined)[]>

  has(key: KDefault): Promise<boolean>
  has<K = KDefault>(key: K, options: HasOptions<K>): Promise<boolean>

  hasMany(keys: KDefault[]): Promise<boolean[]>
  hasMany<K = KDefault>(keys: K[], options: HasManyOptions<K>): Promise<boolean[]>

  put(key: KDefault, value: VDefault): Promise<void>
  put<K = KDefault, V = VDefault>(key: K, value: V, options: PutOptions<K, V>): Promise<void>

  del(key: KDefault): Promise<void>
  del<K = KDefault>(key: K, options: DelOptions<K>): Promise<void>

  batch(operations: BatchOperation<this, KDefault, VDefault>[]): Promise<void>
  batch<K = KDefault, V = VDefault>(
    operations: BatchOperation<this, K, V>[],
    options: BatchOptions<K, V>
  ): Promise<void>
  batch(): ChainedBatch<this, KDefault, VDefault>

  iterator(): EntryIterator<this, KDefault, VDefault>
  iterator<K = KDefault, V = VDefault>(options: IteratorOptions<K, V>): EntryIterator<this, K, V>

  keys(): KeyIterator<this, KDefault>
  keys<K = KDefault>(options: KeyIteratorOptions<K>): KeyIterator<this, K>

  values(): ValueIterator<this, KDefault, VDefault>
  values<K = KDefault, V = VDefault>(options: ValueIteratorOptions<K, V>): ValueIterator<this, K, V>

  clear(): Promise<void>
  clear<K = KDefault>(options: ClearOptions<K>): Promise<void>

  snapshot(options?: object): KintsugiSnapshot
}

/** What it can do, as Level describes that. */
const manifest = {
  encodings: { buffer: true, utf8: true, view: true },
  has: true,
  createIfMissing: true,
  errorIfExists: true,
  explicitSnapshots: true,
  getSync: true,
  additionalMethods: { approximateSize: true, compactRange: true },
  signals: { iterators: true }
}

/**
 * A Kintsugi store as an `abstract-level` database: takes the place of `classic-level`, with the
 * same methods, option names and error codes. Errors have the engine's own as `cause`.
 */
// oxlint-disable-next-line typescript/no-unsafe-declaration-merging
export class KintsugiLevel<KDefault = string, VDefault = string> extends AbstractLevel<
  string | Buffer | Uint8Array,
  KDefault,
  VDefault
> {
  /** Programs give it the name of ClassicLevel; it is not LevelDB all the same. */
  static readonly [standInMark] = true

  readonly #location: string
  #opened: Store | undefined

  /**
   * `location`: the directory of the store. Opens by itself, soon after; what is called before is
   * carried out then.
   */
  constructor(location: string, options?: DatabaseOptions<KDefault, VDefault>) {
    checkLocation(location)
    super(manifest, options)
    this.#location = location
  }

  /** The directory that was given to the constructor. */
  get location(): string {
    return this.#location
  }

  /** The store behind it, with all it can do beyond Level; its keys and values are Buffers. */
  get store(): Store {
    if (this.#opened === undefined) throw notOpen('there is no store before open() has resolved')
    return this.#opened
  }

  protected async _open(options: OpenOptions): Promise<void> {
    try {
      this.#opened = await openStore(openRequestOf(this.#location, options))
    } catch (error) {
      throwLevelError(error)
    }
  }

  protected async _close(): Promise<void> {
    try {
      await this.store.close()
      this.#opened = undefined
    } catch (error) {
      throwLevelError(error)
    }
  }

  protected _get(key: Bytes, options: PrivateReadOptions): unknown {
    const reads = readsOf(options.snapshot) ?? this.store
    try {
      const value = reads.getOrLoad(key, options.valueEncoding === 'utf8' ? 'utf8' : 'buffer')
      return value instanceof Promise ? value.catch(throwLevelError) : value
    } catch (error) {
      throwLevelError(error)
    }
  }

  protected _getSync(key: Bytes, options: PrivateReadOptions): Bytes | undefined {
    const reads = readsOf(options.snapshot) ?? this.store
    try {
      return options.valueEncoding === 'utf8' ? reads.getTextSync(key) : reads.getSync(key)
    } catch (error) {
      throwLevelError(error)
    }
  }

  // No asynchronous functions of their own: each would add a promise and two turns to every call.
  protected _getMany(keys: Bytes[], options: PrivateReadOptions): Promise<(Bytes | undefined)[]> {
    const reads = readsOf(options.snapshot) ?? this.store
    const values = options.valueEncoding === 'utf8' ? reads.getManyTexts(keys) : reads.getMany(keys)
    return values.catch(throwLevelError)
  }

  protected _has(key: Bytes, options: PrivateReadOptions): Promise<boolean> {
    const reads = readsOf(options.snapshot) ?? this.store
    return reads.has(key).catch(throwLevelError)
  }

  protected async _hasMany(keys: Bytes[], options: PrivateReadOptions): Promise<boolean[]> {
    const values = await this._getMany(keys, options)
    return values.map((value) => value !== undefined)
  }

  protected _put(key: Bytes, value: Bytes, options: WriteOptions): Promise<void> {
    return this.store.put(key, value, writeOptionsOf(options)).catch(throwLevelError)
  }

  protected _del(key: Bytes, options: WriteOptions): Promise<void> {
    return this.store.del(key, writeOptionsOf(options)).catch(throwLevelError)
  }

  protected _batch(operations: Operation[], options: WriteOptions): Promise<void> {
    return this.store.batch(operations, writeOptionsOf(options)).catch(throwLevelError)
  }

  protected async _clear(options: PrivateRangeOptions & WriteOptions): Promise<void> {
    const { limit, reverse } = options
    const range = rangeOf(options)
    const writeOptions = writeOptionsOf(options)
    const snapshot = readsOf(options.snapshot)
    try {
      if (limit < 0 && snapshot === undefined) await this.store.clear({ ...range, ...writeOptions })
      else await clearPart(this.store, snapshot, { ...range, limit, reverse }, writeOptions)
    } catch (error) {
      throwLevelError(error)
    }
  }

  protected _chainedBatch(): ChainedBatch<this, KDefault, VDefault> {
    return new ChainedBatch<this, KDefault, VDefault>(this, this.store)
  }

  protected _iterator(options: PrivateRangeOptions): unknown {
    return new EntryIterator(this, options, this.#read(entriesOf, options))
  }

  protected _keys(options: PrivateRangeOptions): unknown {
    return new KeyIterator(this, options, this.#read(keysOf, options))
  }

  protected _values(options: PrivateRangeOptions): unknown {
    return new ValueIterator(this, options, this.#read(valuesOf, options))
  }

  protected _snapshot(options: object): KintsugiSnapshot {
    return new KintsugiSnapshot(options, this.store.snapshot())
  }

  #read<T>(
    read: (reads: Reads, scan: ScanOptions, options: PrivateRangeOptions) => T,
    options: PrivateRangeOptions
  ): T {
    const { gt, gte, lt, lte, reverse, signal, keyEncoding, valueEncoding } = options
    const scan: ScanOptions = {
      gt,
      gte,
      lt,
      lte,
      reverse,
      signal: signal ?? undefined,
      keyEncoding: keyEncoding === 'utf8' ? 'utf8' : 'buffer',
      valueEncoding: valueEncoding === 'utf8' ? 'utf8' : 'buffer'
    }
    const reads: Reads = readsOf(options.snapshot) ?? this.store
    try {
      return read(reads, scan, options)
    } catch (error) {
      throwLevelError(error)
    }
  }

  async approximateSize<K = KDefault>(
    start: K,
    end: K,
    options?: StartEndOptions<K>
  ): Promise<number> {
    if (arguments.length < 2) throw new TypeError("The arguments 'start' and 'end' are required")
    if (this.status === 'opening') {
      return this.deferAsync(() => this.approximateSize(start, end, options as StartEndOptions<K>))
    }
    if (this.status !== 'open') throw notOpen('cannot call approximateSize()')
    try {
      return await this.store.approximateSize(this.#between(start, end, options))
    } catch (error) {
      throwLevelError(error)
    }
  }

  /** Repacks the keys from `start` to `end` and gives back space. */
  async compactRange<K = KDefault>(start: K, end: K, options?: StartEndOptions<K>): Promise<void> {
    if (arguments.length < 2) throw new TypeError("The arguments 'start' and 'end' are required")
    if (this.status === 'opening') {
      return this.deferAsync(() => this.compactRange(start, end, options as StartEndOptions<K>))
    }
    if (this.status !== 'open') throw notOpen('cannot call compactRange()')
    try {
      await this.store.compact(this.#between(start, end, options))
    } catch (error) {
      throwLevelError(error)
    }
  }

  /**
   * A figure of the store as text: `leveldb.num-files-at-level<N>`, `leveldb.stats`,
   * `leveldb.sstables`, `leveldb.approximate-memory-usage`, or `kintsugi.<figure>` with a figure of
   * `store.stats()`. Empty for what there is not.
   */
  getProperty(property: string): string {
    if (typeof property !== 'string') {
      throw new TypeError("The first argument 'property' must be a string")
    }
    if (this.status !== 'open') throw notOpen('cannot call getProperty()')
    return propertyOf(this.store.stats(), property)
  }

  /**
   * Removes the store in a directory, and the directory where nothing else is in it. A directory
   * that is not there is fine; one that holds something else, or a store that is open, is refused.
   */
  static async destroy(location: string, options?: DestroyOptions): Promise<void> {
    checkLocation(location)
    try {
      await destroy(location, options)
    } catch (error) {
      throwLevelError(error)
    }
  }

  /** Repairs the damaged store in a directory, and tells what was saved and what is lost. */
  static async repair(location: string, options?: RepairOptions): Promise<RepairReport> {
    checkLocation(location)
    try {
      return await repair(location, options)
    } catch (error) {
      throwLevelError(error)
    }
  }

  #between<K>(start: K, end: K, options: StartEndOptions<K> | null | undefined): KeyRange {
    // A missing encoding is the database's own, and one with an encoder alone will do.
    const encoding = this.keyEncoding(options?.keyEncoding as Transcoder.MixedEncoding<K, Bytes, K>)
    return { gte: encoding.encode(start), lte: encoding.encode(end) }
  }
}

type Reads = Pick<Snapshot, 'entries' | 'keys' | 'values'>

function entriesOf(reads: Reads, scan: ScanOptions, options: PrivateRangeOptions): Source<Entry> {
  if (options.values === false) return new HalfEntries(reads.keys(scan), 0)
  if (options.keys === false) return new HalfEntries(reads.values(scan), 1)
  return reads.entries(scan)
}

function keysOf(reads: Reads, scan: ScanOptions): Source<Item> {
  return reads.keys(scan)
}

function valuesOf(reads: Reads, scan: ScanOptions): Source<Item> {
  return reads.values(scan)
}

function rangeOf({ gt, gte, lt, lte }: PrivateRangeOptions): KeyRange {
  return { gt, gte, lt, lte }
}

function checkLocation(location: unknown): void {
  if (typeof location === 'string' && location !== '') return
  throw new TypeError("The first argument 'location' must be a non-empty string")
}
