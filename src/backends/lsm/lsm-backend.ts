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
import type { Timer } from '../../base/clock.js'
import type { ByteRange } from '../../batch/batch.js'
import { checkManifest, manifestFindings } from './check/check-manifest.js'
import { checkTables } from './check/check-tables.js'
import { compactionHost } from './compaction-host.js'
import { Compactor, type CompactorOptions } from './compaction/compactor.js'
import { compressionOf, Flusher } from './flusher.js'
import { Installer } from './installer.js'
import { InlineRunner } from './jobs/inline-runner.js'
import type { JobRunner } from './jobs/job-runner.js'
import { RateLimiter } from './jobs/rate-limiter.js'
import { WorkerRunner } from './jobs/worker-runner.js'
import { newestSeq } from '../../memtable/entry.js'
import { KeyHash } from '../../memtable/key-hash.js'
import { spanOf } from '../../memtable/key-span.js'
import { LsmState } from './lsm-state.js'
import type { Manifest } from './manifest/manifest.js'
import type { TableFiles } from './manifest/table-files.js'
import { MemtableList } from '../../memtable/memtable-list.js'
import { LsmView } from './read/lsm-view.js'
import { estimateSize } from './size-estimate.js'
import { cacheStats, levelStats } from './stats.js'

/** A persist begins before the memtable is full, so that writes go on in a new one meanwhile. */
const persistShare = 0.9
/** So many memtables' worth of writes may be in memory: one takes writes while one is flushed. */
const maxMemtables = 2
/** A memtable so full will be flushed soon. */
const prepareShare = 0.5

/** After opening, before compactions begin. */
const firstPokeDelayMs = 200

/** What an opening has found beside the manifest. */
export type OpeningFindings = Pick<TableFiles, 'damaged' | 'nextTable' | 'findings'>

/** Memtables over tables in levels as a backend; see architecture in docs, formats beside this file. */
export class LsmBackend implements Backend {
  readonly capabilities: BackendCapabilities = {
    syncCursor: true,
    syncWrite: true,
    bidirectionalCursor: true,
    compactsPersisted: true,
    prefersSortedWrites: false,
    persistsInPlace: false
  }

  readonly persistBytes: number
  readonly holdBytes: number
  readonly #context: BackendContext
  readonly #manifest: Manifest
  readonly #memtables: MemtableList
  readonly #state: LsmState
  readonly #runner: JobRunner
  readonly #installer: Installer
  readonly #flusher: Flusher
  readonly #compactor: Compactor
  readonly #missing: readonly DamagedRange[]
  /** What the opening found and the check of the tables does not find again. */
  readonly #found: readonly Finding[]
  #appliedSeq: number
  #checksRunning = 0
  readonly #prepareBytes: number
  #isPrepared = false
  #firstPoke: Timer | undefined

  constructor(context: BackendContext, manifest: Manifest, opening: OpeningFindings) {
    const { options, storeId } = context
    const hash = new KeyHash(storeId)
    this.persistBytes = Math.floor(options.memtableBytes * persistShare)
    this.#prepareBytes = options.memtableBytes * prepareShare
    this.holdBytes = maxMemtables * options.memtableBytes
    this.#context = context
    this.#manifest = manifest
    this.#missing = opening.damaged.map(({ table, reason }) => ({
      lowKey: table.low,
      highKey: table.high,
      reason
    }))
    this.#found = [
      ...manifestFindings(manifest),
      ...opening.findings.filter(({ severity }) => severity !== 'error')
    ]
    this.#appliedSeq = manifest.version.durableSeq
    this.#memtables = new MemtableList(options.memtableBytes, hash)
    this.#state = new LsmState(context, hash, this.#memtables, manifest.version)
    const limiter = new RateLimiter(options.rateLimitBytesPerSecond, context.clock)
    this.#runner = runnerFor(context, limiter)
    this.#installer = new Installer(
      context,
      manifest,
      opening.nextTable,
      () => this.#versionChanged(),
      (number) => this.#checksRunning > 0 || this.#state.tables.isInUse(number)
    )
    const parts = {
      context,
      manifest,
      state: this.#state,
      installer: this.#installer,
      runner: this.#runner
    }
    this.#flusher = new Flusher(parts)
    this.#compactor = new Compactor(compactionHost(parts), compactorOptions(context))
    for (const { table } of opening.damaged) this.#compactor.setAside(table.number)
    if (context.readOnly) return
    // What the last opening left undone goes on once this one has recovered.
    this.#firstPoke = context.clock.after(firstPokeDelayMs, () => this.#compactor.poke())
  }

  get appliedSeq(): number {
    return this.#appliedSeq
  }

  get durableSeq(): number {
    return this.#manifest.version.durableSeq
  }

  get retirableSeq(): number {
    return this.#manifest.acknowledgedSeq
  }

  get persistPays(): boolean {
    return this.retirableSeq < this.durableSeq
  }

  get dirtyBytes(): number {
    return this.#memtables.usedBytes
  }

  get pressure(): Pressure {
    return this.#compactor.pressure()
  }

  /** Nothing has to be read before a write; only memory may have to be had. */
  tryPrepare(bytes: Buffer, start: number, end: number): boolean {
    this.#memtables.prepare(bytes, start, end)
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
    if (this.#memtables.reserve(bytes, start, end)) this.#state.memtablesChanged()
    const { active } = this.#memtables
    active.apply(bytes, start, end, seq, this.#state.views.newest)
    if (!this.#isPrepared && active.usedBytes >= this.#prepareBytes) this.#prepareFlush()
    this.#appliedSeq = seq
  }

  readView(): ReadView {
    return new LsmView(this.#state, this.#appliedSeq)
  }

  getSync(key: Uint8Array): Buffer | undefined {
    return this.#state.points.getSync(this.#state.sources, key, newestSeq)
  }

  tryGet(key: Uint8Array): Buffer | undefined | null {
    return this.#state.points.tryGet(this.#state.sources, key, newestSeq)
  }

  load(key: Uint8Array): Promise<null> {
    return this.#state.points.load(() => this.#state.sources, key, newestSeq)
  }

  tryGetMany(keys: readonly Uint8Array[]): (Buffer | undefined | null)[] {
    return this.#state.many.tryGetMany(this.#state.sources, keys, newestSeq)
  }

  async persist(syncLog: (seq: number) => Promise<void>): Promise<number> {
    const seq = await this.#flusher.persist(this.#appliedSeq, syncLog)
    this.#compactor.poke()
    return seq
  }

  async compact(range: ByteRange, progress: Progress, level?: number): Promise<void> {
    await this.#compactor.compact(spanOf(range), progress, level)
  }

  async approximateSize(range: ByteRange): Promise<number> {
    return estimateSize(this.#manifest.version, spanOf(range))
  }

  async verify(level: VerifyLevel, progress: Progress): Promise<Finding[]> {
    // What compactions replace meanwhile stays until the check is through with it.
    this.#checksRunning++
    try {
      const context = this.#context
      const manifest = await checkManifest(context, this.#manifest)
      const tables = await checkTables(context, this.#manifest.version, level, progress)
      return [...this.#found, ...manifest, ...tables]
    } finally {
      this.#checksRunning--
    }
  }

  stats(): Record<string, number> {
    return {
      ...levelStats(this.#manifest.version, this.#context.options.maxLevels),
      ...cacheStats(this.#state.tables.env.cache),
      ...this.#compactor.stats(),
      ...this.#manifest.stats(),
      memtableBytes: this.dirtyBytes,
      flushes: this.#flusher.flushes,
      cleanFailures: this.#installer.cleanFailures,
      level0WrittenBytes: this.#flusher.bytesWritten
    }
  }

  damagedRanges(): readonly DamagedRange[] {
    return [...this.#missing, ...this.#state.damage.ranges]
  }

  async close(): Promise<void> {
    this.#firstPoke?.cancel()
    // Together: the threads keep the process alive until the jobs have ended.
    await Promise.all([this.#compactor.close(), this.#runner.close()])
    await this.#installer.close()
    await this.#state.close()
    await this.#manifest.close(true)
  }

  /** Starting a thread takes as long as filling a good part of a memtable. */
  #prepareFlush(): void {
    this.#isPrepared = true
    this.#runner.prepare()
  }

  #versionChanged(): void {
    this.#state.adopt(this.#manifest.version)
  }
}

function compactorOptions({
  directory,
  storeId,
  epoch,
  options
}: BackendContext): CompactorOptions {
  return {
    ...options,
    directory,
    storeId,
    epoch,
    compressionOf: (level) => compressionOf(options.compression, level)
  }
}

/** Jobs run in threads of their own where these can reach the files. */
function runnerFor(context: BackendContext, limiter: RateLimiter): JobRunner {
  const { vfs, checksum, clock } = context
  return vfs.spec === undefined
    ? new InlineRunner(vfs, checksum, clock, limiter)
    : new WorkerRunner(vfs.spec, limiter)
}
