import type {
  AbstractBatchOptions,
  AbstractChainedBatchWriteOptions,
  AbstractClearOptions,
  AbstractDatabaseOptions,
  AbstractDelOptions,
  AbstractGetManyOptions,
  AbstractGetOptions,
  AbstractHasManyOptions,
  AbstractHasOptions,
  AbstractIteratorOptions,
  AbstractKeyIteratorOptions,
  AbstractOpenOptions,
  AbstractPutOptions,
  AbstractValueIteratorOptions,
  Transcoder
} from 'abstract-level'
import { openOptionNames, requestOf, type OpenOptions as StoreOpenOptions } from '../open.js'
import {
  describe,
  invalidOption,
  optionNames,
  type CompressionName,
  type Durability
} from '../options.js'
import type { OpenRequest } from '../store/open-store.js'
import type { WriteOptions as StoreWriteOptions } from '../store/store.js'

/** Options for opening: those that LevelDB's users know, and the store's own. */
export interface OpenOptions
  extends
    AbstractOpenOptions,
    Omit<
      StoreOpenOptions,
      'createIfMissing' | 'errorIfExists' | 'compression' | 'keyEncoding' | 'valueEncoding'
    > {
  /** Whether blocks are compressed, or how. Default true, which is `lz4`. */
  compression?: boolean | CompressionName | readonly CompressionName[] | undefined
  /** LevelDB's name for `cacheBytes`; less than 1 MiB counts as that. */
  cacheSize?: number | undefined
  /** LevelDB's name for `memtableBytes`; less than 64 KiB counts as that. */
  writeBufferSize?: number | undefined
  /** LevelDB's name for `blockBytes`: the nearest size that there is, of a store that is created. */
  blockSize?: number | undefined
  /** Has no counterpart, and is ignored. */
  maxOpenFiles?: number | undefined
  /** Has no counterpart, and is ignored. */
  blockRestartInterval?: number | undefined
  /** Has no counterpart, and is ignored. */
  maxFileSize?: number | undefined
  /** Has no counterpart, and is ignored: a store is open in one thread at a time. */
  multithreading?: boolean | undefined
}

/** Options of the constructor. */
export interface DatabaseOptions<K, V>
  extends AbstractDatabaseOptions<K, V>, Omit<OpenOptions, 'passive'> {}

/** Options that all reads have. */
export interface ReadOptions {
  /** Has no counterpart, and is ignored: the cache looks after itself. */
  fillCache?: boolean | undefined
}

/** Options of `get` and `getSync`. */
export interface GetOptions<K, V> extends AbstractGetOptions<K, V>, ReadOptions {}
/** Options of `getMany`. */
export interface GetManyOptions<K, V> extends AbstractGetManyOptions<K, V>, ReadOptions {}
/** Options of `has`. */
export interface HasOptions<K> extends AbstractHasOptions<K>, ReadOptions {}
/** Options of `hasMany`. */
export interface HasManyOptions<K> extends AbstractHasManyOptions<K>, ReadOptions {}

/** Options that all iterators have, beside those of Level. */
export interface AdditionalIteratorOptions extends ReadOptions {
  /** What is read ahead or handed out at once ends with the entry that exceeds so many bytes. */
  highWaterMarkBytes?: number | undefined
}

/** Options of `iterator`. */
export type IteratorOptions<K, V> = AbstractIteratorOptions<K, V> & AdditionalIteratorOptions
/** Options of `keys`. */
export type KeyIteratorOptions<K> = AbstractKeyIteratorOptions<K> & AdditionalIteratorOptions
/** Options of `values`. */
export type ValueIteratorOptions<K, V> = AbstractValueIteratorOptions<K, V> &
  AdditionalIteratorOptions

/** Options that all writes have. */
export interface WriteOptions {
  /** Acknowledge when it survives power loss: durability `sync`. Default false. */
  sync?: boolean | undefined
  /** When to acknowledge; wins over `sync`. Default: as the database was opened, `os`. */
  durability?: Durability | undefined
}

/** Options of `put`. */
export interface PutOptions<K, V> extends AbstractPutOptions<K, V>, WriteOptions {}
/** Options of `del`. */
export interface DelOptions<K> extends AbstractDelOptions<K>, WriteOptions {}
/** Options of `batch`. */
export interface BatchOptions<K, V> extends AbstractBatchOptions<K, V>, WriteOptions {}
/** Options of `clear`. */
export interface ClearOptions<K> extends AbstractClearOptions<K>, WriteOptions {}
/** Options of a chained batch's `write`. */
export interface ChainedBatchWriteOptions extends AbstractChainedBatchWriteOptions, WriteOptions {}

/** Options of `approximateSize` and `compactRange`. */
export interface StartEndOptions<K> {
  /** Encoding of `start` and `end`. Default: the database's own of keys. */
  keyEncoding?: string | Transcoder.PartialEncoder<K> | undefined
}

const KiB = 1024
const blockSizes = [1, 2, 4, 8, 16, 32].map((size) => size * KiB)

/** What opening the store takes, made of what Level's user gave. */
export function openRequestOf(location: string, given: OpenOptions): OpenRequest {
  const own: Record<string, unknown> = {}
  for (const name of openOptionNames) {
    if (name === 'keyEncoding' || name === 'valueEncoding') continue
    const value: unknown = given[name]
    // Level's users may hand any option to hooks, and null is as good as none there.
    if (value !== undefined && value !== null) own[name] = value
  }
  own.durability ??= 'os'
  if (own.compression === true) delete own.compression
  if (own.compression === false) own.compression = 'none'
  mapSize(own, 'cacheBytes', 'cacheSize', given.cacheSize, (size) => Math.max(size, KiB * KiB))
  mapSize(own, 'memtableBytes', 'writeBufferSize', given.writeBufferSize, (size) =>
    Math.min(Math.max(size, 64 * KiB), KiB * KiB * KiB)
  )
  const mappedBlock = own.blockBytes === undefined
  mapSize(own, 'blockBytes', 'blockSize', given.blockSize, nearestBlock)
  const request = requestOf(location, own)
  // LevelDB takes another block size for what it writes next; a store keeps its own.
  return mappedBlock
    ? { ...request, given: request.given.filter((name) => name !== 'blockBytes') }
    : request
}

function mapSize(
  own: Record<string, unknown>,
  name: (typeof optionNames)[number],
  levelName: string,
  value: unknown,
  fit: (size: number) => number
): void {
  if (value === undefined || value === null) return
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
    throw invalidOption(levelName, `${describe(value)} was given, allowed is a number of bytes`)
  }
  own[name] ??= fit(Math.floor(value))
}

function nearestBlock(size: number): number {
  const distance = (block: number) => Math.abs(Math.log2(block / Math.max(size, 1)))
  return blockSizes.reduce((best, block) => (distance(block) < distance(best) ? block : best))
}

const synced: StoreWriteOptions = Object.freeze({ durability: 'sync' })

/** How a write is to be made; undefined: as the store was opened. */
export function writeOptionsOf(options: WriteOptions): StoreWriteOptions | undefined {
  if (options.durability !== undefined) return { durability: options.durability }
  return options.sync === true ? synced : undefined
}

/** The bound of what an iterator holds; as in LevelDB, what is no number of bytes counts as 0. */
export function highWaterMarkOf(options: AdditionalIteratorOptions): number | undefined {
  const bytes = options.highWaterMarkBytes
  if (typeof bytes !== 'number') return undefined
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : 0
}
