import type { ResolvedOptions } from '../../options.js'
import { loadClassicLevel } from './classic-level-package.js'
import { levelError, notOpen } from './level-error.js'
import { LevelIterator } from './level-iterator.js'
import {
  asBytes,
  privateMethods,
  type Database,
  type LevelEncodings,
  type LevelRange,
  type LevelSnapshot,
  type PrivateGetOptions,
  type PrivateIteratorOptions,
  type PrivateMethods
} from './private-methods.js'

const asText = { keyEncoding: 'buffer', valueEncoding: 'utf8' } as const

/** One operation of a batch; the bytes are copied when the batch is handed over. */
export type LevelOperation =
  | { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer }
  | { readonly type: 'del'; readonly key: Buffer }

const maxCacheBytes = 2 ** 32 - 1
const KiB = 1024
const MiB = 1024 * KiB
/** LevelDB collects so much in memory and in its log before it makes a table of it. */
const minWriteBufferBytes = 64 * KiB
const maxWriteBufferBytes = 16 * MiB
/** Most bytes of a batch of entries that an iterator reads ahead. */
const batchBytes = 256 * KiB

/** What LevelDB is opened with. */
export type LevelOptions = Pick<
  ResolvedOptions,
  'cacheBytes' | 'blockBytes' | 'compression' | 'memtableBytes'
>

/**
 * LevelDB through `classic-level`, which nothing but this and its iterators calls. Errors are ours; a call
 * after closing has begun fails with NOT_OPEN and never reaches LevelDB, which would not survive it.
 */
export class LevelDb {
  /** The path it was opened with, for messages. */
  readonly path: string
  readonly #database: Database
  readonly #private: PrivateMethods
  readonly #iterators = new Set<LevelIterator>()
  readonly #forget = (iterator: LevelIterator) => this.#iterators.delete(iterator)
  #isOpen = true

  private constructor(database: Database, path: string) {
    this.#database = database
    this.#private = privateMethods(database)
    this.path = path
  }

  /** `path` is how the store calls the directory that the machine knows as `realPath`. */
  static async open(
    realPath: string,
    path: string,
    options: LevelOptions,
    createIfMissing: boolean
  ): Promise<LevelDb> {
    const Level = await loadClassicLevel()
    const database: Database = new Level(realPath, {
      keyEncoding: 'buffer',
      valueEncoding: 'buffer',
      createIfMissing,
      errorIfExists: createIfMissing,
      ...databaseOptions(options)
    })
    try {
      await database.open()
    } catch (error) {
      throw levelError(error, path, 'open')
    }
    return new LevelDb(database, path)
  }

  getSync(key: Buffer, snapshot?: LevelSnapshot): Buffer | undefined {
    return this.#getSync(key, snapshot === undefined ? asBytes : { ...asBytes, snapshot }) as Buffer
  }

  /** What is no UTF-8 does not come out as it was. */
  getTextSync(key: Buffer, snapshot?: LevelSnapshot): string | undefined {
    return this.#getSync(key, snapshot === undefined ? asText : { ...asText, snapshot }) as string
  }

  /** The key has to stay as it is until it settles; an error of the promise is LevelDB's. */
  get(key: Buffer, snapshot?: LevelSnapshot): Promise<Buffer | undefined> {
    return this.#get(key, asBytes, snapshot) as Promise<Buffer | undefined>
  }

  getText(key: Buffer, snapshot?: LevelSnapshot): Promise<string | undefined> {
    return this.#get(key, asText, snapshot) as Promise<string | undefined>
  }

  getMany(keys: Buffer[], snapshot?: LevelSnapshot): Promise<(Buffer | undefined)[]> {
    return this.#getMany(keys, { ...asBytes, snapshot }) as Promise<(Buffer | undefined)[]>
  }

  getManyTexts(keys: Buffer[], snapshot?: LevelSnapshot): Promise<(string | undefined)[]> {
    return this.#getMany(keys, { ...asText, snapshot }) as Promise<(string | undefined)[]>
  }

  /** A state of the database; close it. */
  snapshot(): LevelSnapshot {
    this.#check()
    return this.#database.snapshot()
  }

  /** Close it; errors of its methods are LevelDB's. */
  iterator(
    { gte, lt, lte }: LevelRange,
    reverse: boolean,
    snapshot: LevelSnapshot,
    { keyEncoding, valueEncoding }: LevelEncodings
  ): LevelIterator {
    this.#check()
    const options: PrivateIteratorOptions = {
      keyEncoding,
      valueEncoding,
      reverse,
      highWaterMarkBytes: batchBytes,
      snapshot
    }
    if (gte !== undefined) options.gte = gte
    if (lt !== undefined) options.lt = lt
    if (lte !== undefined) options.lte = lte
    const iterator = new LevelIterator(this.#private, options, this.#forget)
    this.#iterators.add(iterator)
    return iterator
  }

  /** One batch, all or nothing. Without `sync` it may not survive a crash of the machine. */
  write(operations: LevelOperation[], sync: boolean): Promise<void> {
    const write = () => this.#database.batch<Uint8Array, Buffer>(operations, { sync })
    return this.#call('write', write)
  }

  /** Removes every stored key of a range; not in one step. */
  clear(range: LevelRange): Promise<void> {
    return this.#call('clear', () => this.#database.clear(range))
  }

  compactRange({ gte, lt }: { gte: Buffer; lt: Buffer }): Promise<void> {
    return this.#call('compact', () => this.#database.compactRange(gte, lt))
  }

  approximateSize({ gte, lt }: { gte: Buffer; lt: Buffer }): Promise<number> {
    return this.#call('approximateSize', () => this.#database.approximateSize(gte, lt))
  }

  /** One of LevelDB's figures; 0 where it has none. */
  property(name: string): number {
    this.#check()
    const value = Number(this.#database.getProperty(`leveldb.${name}`))
    return Number.isFinite(value) ? value : 0
  }

  /** Waits for calls under way; iterators and snapshots are closed with it. */
  async close(): Promise<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    const iterators = [...this.#iterators]
    for (const iterator of iterators) iterator.close()
    await Promise.all(iterators.map((iterator) => iterator.settle()))
    try {
      await this.#database.close()
    } catch (error) {
      throw levelError(error, this.path, 'close')
    }
  }

  #getSync(key: Buffer, options: PrivateGetOptions): Buffer | string | undefined {
    this.#check()
    try {
      return this.#private._getSync(key, options)
    } catch (error) {
      throw levelError(error, this.path, 'get')
    }
  }

  /** Closing waits for it; with a snapshot the public form keeps that from being closed. */
  #get(
    key: Buffer,
    options: PrivateGetOptions,
    snapshot: LevelSnapshot | undefined
  ): Promise<Buffer | string | undefined> {
    this.#check()
    if (snapshot !== undefined) {
      return this.#database.get<Buffer, Buffer | string>(key, { ...options, snapshot })
    }
    return this.#private._get(key, options)
  }

  async #getMany(
    keys: Buffer[],
    options: PrivateGetOptions
  ): Promise<(Buffer | string | undefined)[]> {
    this.#check()
    const { snapshot } = options
    // Closing the snapshot waits for it, as with the public form.
    snapshot?.ref()
    try {
      return await this.#private._getMany(keys, options)
    } catch (error) {
      throw levelError(error, this.path, 'get')
    } finally {
      snapshot?.unref()
    }
  }

  async #call<T>(operation: string, call: () => Promise<T>): Promise<T> {
    this.#check()
    try {
      return await call()
    } catch (error) {
      throw levelError(error, this.path, operation)
    }
  }

  #check(): void {
    if (!this.#isOpen) throw notOpen()
  }
}

function databaseOptions({ cacheBytes, blockBytes, compression, memtableBytes }: LevelOptions) {
  return {
    cacheSize: Math.min(cacheBytes, maxCacheBytes),
    blockSize: blockBytes,
    // Most of the data is in the last level, of which the list's last entry speaks.
    compression: [compression].flat().at(-1) !== 'none',
    writeBufferSize: Math.min(
      Math.max(Math.floor(memtableBytes / 4), minWriteBufferBytes),
      maxWriteBufferBytes
    )
  }
}
