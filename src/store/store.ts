import {
  verifyLevels,
  type Backend,
  type Finding,
  type ReadView,
  type VerifyLevel
} from '../backend/backend.js'
import type { BatchOperation } from '../batch/batch.js'
import type { EventEmitter } from 'node:events'
import { KintsugiError } from '../errors.js'
import {
  checkOptionNames,
  describe,
  durabilities,
  invalidOption,
  type Durability,
  type ResolvedOptions
} from '../options.js'
import type { RecoverySummary, StoreEvents, Telemetry } from '../telemetry/telemetry.js'
import type { Log } from '../wal/log.js'
import {
  keyBytes,
  levelOf,
  rangeBytes,
  rangeNames,
  valueBytes,
  type Bytes,
  type CompactOptions,
  type KeyRange
} from './arguments.js'
import type { CommitQueue } from './commit-queue.js'
import type { ConflictWindow } from './conflict-window.js'
import { checkOperations, sizeOf, type Operation } from './operations.js'
import type { Persister } from './persister.js'
import { Reader, type PointReads } from './reader.js'
import { Snapshot } from './snapshot.js'
import {
  Transaction,
  transactionOptionNames,
  type Decoders,
  type TransactionOptions
} from './transaction.js'
import { interruptible, progressOf, type WorkOptions } from './work.js'

/** How a write is to be made. */
export interface WriteOptions {
  /** When it is acknowledged. Default: the store's own `durability`. */
  readonly durability?: Durability | undefined
}

/** Persists at closing beyond the first: the log can go after one (rule B1), files shrink by more. */
const maxClosingPersists = 10

const writeOptionNames = ['durability'] as const

/** Everything a store is made of; put together when it is opened. */
export interface StoreParts {
  readonly path: string
  readonly options: ResolvedOptions
  readonly backendName: string
  readonly backend: Backend
  /** The write side; undefined where the store is open read-only. */
  readonly writer:
    | { readonly log: Log; readonly queue: CommitQueue; readonly persister: Persister }
    | undefined
  readonly window: ConflictWindow
  readonly telemetry: Telemetry
  readonly recovery: RecoverySummary
  /** Checks what is not the backend's: identity slots and log; while nothing is retired. */
  readonly verifyShared: () => Promise<readonly Finding[]>
  /** Writes the clean-close mark and gives up lock and files; called last, once. */
  readonly shutDown: (clean: boolean) => Promise<void>
}

/**
 * An open store: ordered bytes, atomic batches, snapshots, transactions. Made by `open`.
 *
 * Keys have 0 to 65,535 bytes, values up to 1 GiB; strings are stored as UTF-8. Order is that of
 * unsigned bytes. Every method that takes a key, a value or options throws or rejects with a
 * `KintsugiError` of code `KINTSUGI_INVALID_ARGUMENT`, `_INVALID_OPTION`, `_KEY_TOO_LARGE` or
 * `_VALUE_TOO_LARGE` when they are not valid, and with `KINTSUGI_NOT_OPEN` after closing.
 */
export class Store<K extends Buffer | string = Buffer, V extends Buffer | string = Buffer>
  extends Reader<K, V>
  implements AsyncDisposable
{
  readonly #parts: StoreParts
  readonly #backend: Backend
  readonly #durability: Durability
  readonly #snapshots = new Set<{ close(): void }>()
  readonly #atExit = (): void => this.#parts.writer?.queue.flushAtExit()
  #closing: Promise<void> | undefined

  constructor(parts: StoreParts) {
    super(parts.options.keyEncoding, parts.options.valueEncoding)
    this.#parts = parts
    this.#backend = parts.backend
    this.#durability = parts.options.durability
    if (parts.writer !== undefined) this.#listenForExit()
  }

  /** Directory of the store. */
  get path(): string {
    return this.#parts.path
  }

  /** The backend that it was created with. */
  get backendName(): string {
    return this.#parts.backendName
  }

  /** What opening had to do: replayed, dropped as torn, how long. */
  get recovery(): RecoverySummary {
    return this.#parts.recovery
  }

  /** Sequence number of the last commit that reads show. */
  get seq(): number {
    return this.#backend.appliedSeq
  }

  /** False as soon as closing has begun. */
  get isOpen(): boolean {
    return this.#closing === undefined
  }

  /** Events: recovery, persist, stall and so on; also on `node:diagnostics_channel`. */
  get events(): EventEmitter<StoreEvents> {
    return this.#parts.telemetry.events
  }

  /** Sets the value of a key. */
  put(key: Bytes, value: Bytes, options?: WriteOptions): Promise<void> {
    // Not an async function: the promise of the queue goes out as it is.
    try {
      return this.#queue().put(keyBytes(key), valueBytes(value), this.#durabilityOf(options))
    } catch (error) {
      return Promise.reject(error as Error)
    }
  }

  /** Removes a key; one that is not there is fine. */
  del(key: Bytes, options?: WriteOptions): Promise<void> {
    try {
      return this.#queue().delete(keyBytes(key), this.#durabilityOf(options))
    } catch (error) {
      return Promise.reject(error as Error)
    }
  }

  /** Carries out all operations or none; in order, so the last one on a key wins. */
  async batch(operations: readonly Operation[], options?: WriteOptions): Promise<void> {
    const queue = this.#queue()
    const durability = this.#durabilityOf(options)
    const checked = checkOperations(operations)
    if (checked.length === 0) return
    return queue.commit(checked, sizeOf(checked), durability)
  }

  /** Removes every key of a range, in one atomic step, after everything written before. */
  async clear(range: KeyRange & WriteOptions = {}): Promise<void> {
    checkOptionNames(range, [...rangeNames, 'durability'])
    const operations: BatchOperation[] = [{ type: 'clear', range: rangeBytes(range) }]
    return this.#queue().commit(
      operations,
      sizeOf(operations),
      this.#checkedDurability(range.durability)
    )
  }

  /**
   * `put` that returns when it is done; blocks the event loop meanwhile. A long run of synchronous
   * writes also keeps the background work from running that bounds memory: await something now and
   * then.
   */
  putSync(key: Bytes, value: Bytes, options?: WriteOptions): void {
    this.#commitSync([{ type: 'put', key, value }], options)
  }

  /** `del` that returns when it is done; blocks the event loop meanwhile. */
  delSync(key: Bytes, options?: WriteOptions): void {
    this.#commitSync([{ type: 'del', key }], options)
  }

  /** `batch` that returns when it is done; blocks the event loop meanwhile. */
  batchSync(operations: readonly Operation[], options?: WriteOptions): void {
    this.#commitSync(operations, options)
  }

  /** A stable read view of this moment. Close it when it is no longer needed. */
  snapshot(): Snapshot<K, V> {
    const snapshot = new Snapshot<K, V>(
      this.openView(),
      this.keyEncoding,
      this.valueEncoding,
      (closed) => this.#snapshots.delete(closed)
    )
    this.#snapshots.add(snapshot)
    return snapshot
  }

  /**
   * Runs `work` as a serializable transaction and commits what it wrote when it returns. On a
   * conflict with another commit it is run again, up to `maxRetries` times; then it rejects with
   * `KINTSUGI_CONFLICT`. When `work` throws, nothing is written.
   */
  async transaction<T>(
    work: (tx: Transaction<K, V>) => Promise<T> | T,
    options: TransactionOptions = {}
  ): Promise<T> {
    if (typeof work !== 'function') {
      throw new KintsugiError(
        'KINTSUGI_INVALID_ARGUMENT',
        `a transaction needs a function, ${describe(work)} was given`
      )
    }
    checkOptionNames(options, transactionOptionNames)
    const durability = this.#checkedDurability(options.durability)
    const { maxRetries = 10 } = options
    if (!Number.isSafeInteger(maxRetries) || maxRetries < 0) {
      throw invalidOption('maxRetries', `${describe(maxRetries)} was given, allowed is a count`)
    }
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#runTransaction(work, durability)
      } catch (error) {
        const conflict = error instanceof KintsugiError && error.code === 'KINTSUGI_CONFLICT'
        if (!conflict || attempt === maxRetries) throw error
        this.#parts.telemetry.counters.conflicts++
        // What it lost against may be on its way to the disk still: reads show it after that.
        await this.#queue().barrier()
      }
    }
  }

  /** Makes every commit so far survive power loss, whatever its durability. */
  async flush(): Promise<void> {
    await this.#queue().flush()
  }

  /** Makes the backend durable by itself, so that the next opening replays nothing before this. */
  async persist(): Promise<void> {
    const { queue, persister } = this.#writer()
    await queue.barrier()
    await persister.persist()
  }

  /**
   * Repacks the data of a range, or all of it, or one level, and gives back free space. Closing the
   * store ends it with `KINTSUGI_ABORTED` or `KINTSUGI_NOT_OPEN`; what was done stays done.
   */
  async compact(options: CompactOptions = {}): Promise<void> {
    checkOptionNames(options, [...rangeNames, 'level', 'signal', 'onProgress'])
    this.#writer()
    const progress = progressOf(options)
    if (this.#backend.capabilities.compactsPersisted) await this.persist()
    const work = this.#backend.compact(rangeBytes(options), progress, levelOf(options))
    await interruptible(work, progress.signal)
    // Closing persists as well.
    if (this.isOpen) await this.persist()
  }

  /**
   * Checks the store: `basic` headers and structure, `standard` every reachable page too,
   * `comprehensive` contents as well. Damage is in the findings, not an exception.
   */
  async verify(level: VerifyLevel = 'standard', options: WorkOptions = {}): Promise<Finding[]> {
    this.#checkOpen()
    if (!verifyLevels.includes(level)) {
      throw invalidOption('level', `${describe(level)} is unknown; use ${verifyLevels.join(', ')}`)
    }
    checkOptionNames(options, ['signal', 'onProgress'])
    const progress = progressOf(options)
    const { writer, verifyShared } = this.#parts
    const shared = await (writer?.persister.whilePaused(verifyShared) ?? verifyShared())
    const own = await interruptible(this.#backend.verify(level, progress), progress.signal)
    return [...shared, ...own]
  }

  /** Bytes on disk that a range takes up, roughly. */
  async approximateSize(range: KeyRange = {}): Promise<number> {
    this.#checkOpen()
    checkOptionNames(range, rangeNames)
    return this.#backend.approximateSize(rangeBytes(range))
  }

  /** Figures by name: counters of this opening, log, backend. */
  stats(): Record<string, number> {
    this.#checkOpen()
    const { telemetry, writer } = this.#parts
    return {
      seq: this.seq,
      durableSeq: this.#backend.durableSeq,
      openIterators: this.iterators.size,
      openSnapshots: this.#snapshots.size,
      ...telemetry.counters.asRecord(),
      ...writer?.log.stats(),
      ...this.#backend.stats()
    }
  }

  /**
   * Waits for writes under way, makes everything durable and gives up the store. Iterators and
   * snapshots are closed. Closing twice is allowed.
   */
  close(): Promise<void> {
    // A listener of `closing` may call this again, so the promise has to be there before.
    this.#closing ??= Promise.resolve().then(() => this.#close())
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  protected override reads(): PointReads {
    if (this.#closing !== undefined) this.#checkOpen()
    return this.#backend
  }

  protected override openView(): ReadView {
    this.#checkOpen()
    return this.#backend.readView()
  }

  async #close(): Promise<void> {
    const { writer, telemetry, shutDown } = this.#parts
    telemetry.emit('closing')
    if (writer !== undefined) this.#stopListeningForExit()
    this.iterators.closeAll()
    for (const snapshot of this.#snapshots) snapshot.close()
    let failure: unknown
    try {
      await this.#finishWrites()
    } catch (error) {
      failure = error
    }
    writer?.queue.close(notOpen())
    await shutDown(writer !== undefined && failure === undefined)
    telemetry.emit('closed')
    if (failure !== undefined) throw failure
  }

  /** One listener a store is no leak, so that many stores must not be taken for one. */
  #listenForExit(): void {
    const most = process.getMaxListeners()
    if (most > 0) process.setMaxListeners(most + 1)
    process.on('exit', this.#atExit)
  }

  #stopListeningForExit(): void {
    const most = process.getMaxListeners()
    process.off('exit', this.#atExit)
    if (most > 1) process.setMaxListeners(most - 1)
  }

  /** Everything acknowledged is durable afterwards, log and files are as short as they get. */
  async #finishWrites(): Promise<void> {
    const { writer } = this.#parts
    if (writer === undefined) return
    await writer.queue.barrier()
    await writer.persister.close()
    if (writer.queue.failure !== undefined) throw writer.queue.failure
    await writer.queue.flush()
    try {
      await writer.persister.persist()
      for (let i = 0; i < maxClosingPersists && this.#backend.persistPays; i++) {
        await writer.persister.persist()
      }
    } catch (error) {
      // The log has everything, so nothing is lost; the next opening replays it. Listeners of
      // `persist-failed` were told. A full disk or a bad sync is no reason not to close.
      if (!(error instanceof KintsugiError) || error.code === 'KINTSUGI_INTERNAL') throw error
    }
  }

  async #runTransaction<T>(
    work: (tx: Transaction<K, V>) => Promise<T> | T,
    durability: Durability
  ): Promise<T> {
    const queue = this.#queue()
    const { window, telemetry } = this.#parts
    queue.recordPending()
    const snapshot = new Snapshot<Buffer, Buffer>(this.openView(), 'buffer', 'buffer', (closed) =>
      this.#snapshots.delete(closed)
    )
    this.#snapshots.add(snapshot)
    const tx = new Transaction<K, V>(snapshot, window, this.#decoders())
    try {
      const result = await work(tx)
      const operations = tx.operations()
      if (operations.length > 0) {
        await queue.commit(operations, sizeOf(operations), durability, () => tx.validate())
      }
      telemetry.counters.transactions++
      return result
    } finally {
      tx.end()
    }
  }

  #decoders(): Decoders<K, V> {
    // The casts hold because K and V are fixed by the encodings where the store is opened.
    return {
      key: (bytes) => (this.keyEncoding === 'utf8' ? bytes.toString() : bytes) as K,
      value: (bytes) => (this.valueEncoding === 'utf8' ? bytes.toString() : bytes) as V
    }
  }

  #commitSync(operations: readonly Operation[], options: WriteOptions | undefined): void {
    const queue = this.#queue()
    if (!this.#backend.capabilities.syncWrite) {
      throw new KintsugiError(
        'KINTSUGI_NOT_SUPPORTED',
        'this backend applies writes asynchronously, so it has no synchronous ones; await put'
      )
    }
    const durability = this.#durabilityOf(options)
    const checked = checkOperations(operations)
    if (checked.length > 0) queue.commitSync(checked, sizeOf(checked), durability)
  }

  #durabilityOf(options: WriteOptions | undefined): Durability {
    if (options === undefined) return this.#durability
    checkOptionNames(options, writeOptionNames)
    return this.#checkedDurability(options.durability)
  }

  #checkedDurability(durability: Durability | undefined): Durability {
    if (durability === undefined) return this.#durability
    if (durabilities.includes(durability)) return durability
    throw invalidOption(
      'durability',
      `${describe(durability)} was given, allowed is ${durabilities.join(', ')}`
    )
  }

  #queue(): CommitQueue {
    return this.#writer().queue
  }

  #writer(): NonNullable<StoreParts['writer']> {
    this.#checkOpen()
    const { writer } = this.#parts
    if (writer !== undefined) return writer
    throw new KintsugiError(
      'KINTSUGI_READ_ONLY',
      'the store is open read-only; to write, open it without readOnly',
      {
        path: this.path
      }
    )
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw notOpen()
  }
}

function notOpen(): KintsugiError {
  return new KintsugiError('KINTSUGI_NOT_OPEN', 'the store is closed; open it again')
}
