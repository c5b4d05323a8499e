import type {
  Backend,
  BackendCapabilities,
  BackendContext,
  DamagedRange,
  Finding,
  Pressure,
  Progress,
  ReadView,
  VerifyLevel
} from '../../backend/backend.js'
import { DamageList } from '../../backend/damage-list.js'
import type { ByteRange } from '../../batch/batch.js'
import { KintsugiError } from '../../errors.js'
import { KeyHash } from '../../memtable/key-hash.js'
import { isEmptySpan, spanOf } from '../../memtable/key-span.js'
import { ChunkWriter } from '../../merging/chunk-writer.js'
import { checkLevelDb } from './files/leveldb-check.js'
import { databaseName } from './format.js'
import type { LevelDb } from './level-db.js'
import { LevelPersist } from './level-persist.js'
import { LevelReader } from './level-reader.js'
import { LevelSnapshots } from './level-snapshots.js'
import { LevelTexts } from './level-texts.js'
import { LevelView, type ViewOrigin } from './level-view.js'
import { Overlay } from './overlay.js'
import type { StateFile } from './state-file.js'
import { levelStats } from './stats.js'
import { storedSpan } from './stored-key.js'
import type { StoredValues } from './stored-value.js'
import type { LevelFiles } from './sync-files.js'
import { ValueCache, valueCacheBytes } from './value-cache.js'

/** A persist begins before the memtable is full, so that writes go on in a new one meanwhile. */
const persistShare = 0.9
/** So many memtables' worth of writes may be in memory: one takes writes while one is persisted. */
const maxMemtables = 2

/** What an opened level store consists of. */
export interface LevelParts {
  readonly db: LevelDb
  readonly state: StateFile
  readonly files: LevelFiles
  readonly values: StoredValues
  /** Takes away what a read-only opening made. */
  readonly cleanUp: () => Promise<void>
  /** What opening has to tell. */
  readonly warnings: readonly string[]
}

/**
 * LevelDB as a backend: commits go into an overlay in memory, a persist moves them into LevelDB. So
 * LevelDB never has what the log might lose (rule W8).
 */
export class LevelBackend implements Backend {
  readonly capabilities: BackendCapabilities = {
    syncCursor: false,
    syncWrite: true,
    bidirectionalCursor: false,
    compactsPersisted: true,
    prefersSortedWrites: false,
    persistsInPlace: true
  }

  readonly pressure: Pressure = 'none'
  readonly answersLoads = true
  readonly texts: LevelTexts
  readonly persistBytes: number
  readonly holdBytes: number
  readonly #context: BackendContext
  readonly #parts: LevelParts
  readonly #damage = new DamageList()
  readonly #overlay: Overlay
  readonly #cache: ValueCache
  readonly #reader: LevelReader
  readonly #snapshots: LevelSnapshots
  readonly #origin: ViewOrigin
  readonly #persist: LevelPersist
  #running: Promise<unknown> = Promise.resolve()
  #appliedSeq: number

  constructor(context: BackendContext, parts: LevelParts) {
    const { memtableBytes, cacheBytes } = context.options
    this.persistBytes = Math.floor(memtableBytes * persistShare)
    this.holdBytes = maxMemtables * memtableBytes
    this.#context = context
    this.#parts = parts
    this.#appliedSeq = parts.state.state.durableSeq
    this.#overlay = new Overlay(memtableBytes, new KeyHash(context.storeId))
    this.#cache = new ValueCache(valueCacheBytes(cacheBytes), new KeyHash(context.storeId))
    this.#reader = new LevelReader(parts.db, parts.values, this.#damage, this.#cache, (key) =>
      this.#overlay.get(key)
    )
    this.texts = new LevelTexts(this.#reader, (key) => this.tryGet(key))
    this.#snapshots = new LevelSnapshots(parts.db)
    this.#persist = new LevelPersist(parts)
    this.#origin = {
      overlay: this.#overlay,
      reader: this.#reader,
      snapshots: this.#snapshots,
      chunks: new ChunkWriter()
    }
  }

  get openingWarnings(): readonly string[] {
    return this.#parts.warnings
  }

  get appliedSeq(): number {
    return this.#appliedSeq
  }

  get durableSeq(): number {
    return this.#parts.state.state.durableSeq
  }

  get retirableSeq(): number {
    return this.#parts.state.retirableSeq
  }

  get persistPays(): boolean {
    return this.retirableSeq < this.durableSeq
  }

  get dirtyBytes(): number {
    return this.#overlay.usedBytes
  }

  /** Nothing has to be read before a write; only memory may have to be had. */
  tryPrepare(bytes: Buffer, start: number, end: number): boolean {
    this.#persist.checkSound()
    this.#overlay.prepare(bytes, start, end)
    return true
  }

  async prepare(bytes: Buffer, start: number, end: number): Promise<void> {
    this.tryPrepare(bytes, start, end)
  }

  prepareSync(bytes: Buffer, start: number, end: number): void {
    this.tryPrepare(bytes, start, end)
  }

  unprepare(): void {
    // Memory that was taken serves the next memtable.
  }

  apply(bytes: Buffer, start: number, end: number, seq: number): void {
    this.#overlay.apply(bytes, start, end, seq)
    this.#appliedSeq = seq
  }

  readView(): ReadView {
    return new LevelView(this.#origin, this.#appliedSeq)
  }

  getSync(key: Uint8Array): Buffer | undefined {
    const value = this.tryGet(key)
    return value === null ? this.#reader.getSync(key) : value
  }

  tryGet(key: Uint8Array): Buffer | undefined | null {
    const value = this.#overlay.get(key)
    return value === null ? this.#reader.cached(key) : value
  }

  load(key: Uint8Array): Promise<Buffer | undefined> {
    return this.#reader.get(key)
  }

  tryGetMany(keys: readonly Uint8Array[]): (Buffer | undefined | null)[] {
    return keys.map((key) => this.tryGet(key))
  }

  persist(syncLog: (seq: number) => Promise<void>): Promise<number> {
    const persisting = this.#persistNow(syncLog)
    this.#running = persisting.catch(() => undefined) // whoever asked for it is told
    return persisting
  }

  async compact(range: ByteRange, _progress: Progress, level?: number): Promise<void> {
    if (level !== undefined) {
      throw new KintsugiError(
        'KINTSUGI_NOT_SUPPORTED',
        "LevelDB does not compact a single level; leave the option 'level' out"
      )
    }
    const span = spanOf(range)
    if (!isEmptySpan(span)) await this.#parts.db.compactRange(storedSpan(span))
  }

  async approximateSize(range: ByteRange): Promise<number> {
    const span = spanOf(range)
    return isEmptySpan(span) ? 0 : this.#parts.db.approximateSize(storedSpan(span))
  }

  async verify(level: VerifyLevel, progress: Progress): Promise<Finding[]> {
    const { vfs, directory } = this.#context
    const { state, values } = this.#parts
    const found = await checkLevelDb(
      vfs,
      `${directory}/${databaseName}`,
      state.state.files,
      level,
      progress,
      (key, value) => values.proves(value, key),
      !this.#context.readOnly
    )
    return [...state.findings, ...(await state.check()), ...this.#unverified(), ...found]
  }

  stats(): Record<string, number> {
    const { db, state } = this.#parts
    return {
      ...levelStats(db),
      overlayBytes: this.#overlay.usedBytes,
      pinnedBytes: this.#overlay.pinnedBytes,
      cacheBytes: this.#cache.allocatedBytes,
      cacheHits: this.#cache.hits,
      cacheMisses: this.#cache.misses,
      levelPersists: this.#persist.persists,
      levelWrittenBytes: this.#persist.bytesWritten,
      levelWrittenEntries: this.#persist.entriesWritten,
      unverified: state.state.unverified === undefined ? 0 : 1
    }
  }

  damagedRanges(): readonly DamagedRange[] {
    return this.#damage.ranges
  }

  async close(): Promise<void> {
    const { db, state, cleanUp } = this.#parts
    this.#persist.close()
    await this.#running
    try {
      await db.close()
    } finally {
      await cleanUp()
      await state.close()
    }
  }

  async #persistNow(syncLog: (seq: number) => Promise<void>): Promise<number> {
    this.#persist.checkSound()
    const frozenSeq = this.#appliedSeq
    const frozen = this.#overlay.freeze()
    this.#cache.beginPersist()
    await syncLog(frozenSeq)
    if (frozen.length === 0) await this.#persist.acknowledge(frozenSeq)
    else await this.#persist.write(frozen, frozenSeq)
    // In one turn: what LevelDB has now, views find there from now on.
    this.#overlay.drop(frozen)
    this.#snapshots.renew()
    this.#cache.renew()
    return frozenSeq
  }

  #unverified(): Finding[] {
    const { unverified } = this.#parts.state.state
    if (unverified === undefined) return []
    return [
      {
        severity: 'warning',
        kind: 'unverified',
        message: unverified,
        path: this.#context.directory
      }
    ]
  }
}
