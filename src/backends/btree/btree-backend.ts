import type {
  Backend,
  BackendCapabilities,
  BackendContext,
  DamagedRange,
  Finding,
  Progress,
  ReadView,
  VerifyLevel
} from '../../backend/backend.js'
import { BatchReader } from '../../batch/batch.js'
import type { ByteRange } from '../../batch/batch.js'
import { isCorruption, KintsugiError } from '../../errors.js'
import { ChunkBuilder } from './chunk-builder.js'
import { Compactor } from './compactor.js'
import { DamageMap } from './damage.js'
import type { PagerOptions } from './data-file-open.js'
import { ManyReader } from './many-reader.js'
import { NodeContent } from './node-content.js'
import { Pager } from './pager.js'
import { Preparer } from './preparer.js'
import { estimateShare } from './range-estimate.js'
import { Reclaimer } from './reclaimer.js'
import { Tree } from './tree.js'
import { TreeMover } from './tree-mover.js'
import { TreeReader } from './tree-reader.js'
import { TreeView } from './tree-view.js'
import { TreeWriter } from './tree-writer.js'

/** Memory is taken in blocks of this size. */
const maxSlabBytes = 4 * 2 ** 20
/** Bytes moved to lower places in one persist, which then has to write them; when idle, more. */
const maxMovedBytes = 32 * 2 ** 20
const maxIdleMovedBytes = 256 * 2 ** 20
/** The freelist goes to a lower place with each persist, and its old place is free two later. */
const maxFruitlessMoves = 3
/** Pages reclaimed before the event loop goes on. */
const reclaimedPerSlice = 256

/** The B+ tree as a backend; see architecture in docs, formats beside this file. */
export class BtreeBackend implements Backend {
  readonly capabilities: BackendCapabilities = {
    syncCursor: true,
    syncWrite: true,
    bidirectionalCursor: true,
    compactsPersisted: false,
    prefersSortedWrites: true,
    persistsInPlace: false
  }

  /** Nothing is left for later: a persist does it all. */
  readonly pressure = 'none'
  readonly persistBytes: number
  readonly pager: Pager
  readonly tree: Tree
  readonly #reader: TreeReader
  readonly #many: ManyReader
  readonly #writer: TreeWriter
  readonly #reclaimer: Reclaimer
  readonly #preparer: Preparer
  readonly #damage: DamageMap
  readonly #chunks: ChunkBuilder
  readonly #compactor: Compactor
  readonly #batch = new BatchReader(Buffer.alloc(0))
  /** Sequence number of the first commit with an operation that could not be applied; or 0. */
  #parkedSeq = 0
  #parkedOperations = 0
  #reclaiming: Promise<void> | undefined
  readonly #mover: TreeMover
  /** Times in a row that nothing could be moved and nothing else was to be done. */
  #fruitlessMoves = 0

  static async create(context: BackendContext): Promise<BtreeBackend> {
    const content = new NodeContent()
    const pager = await Pager.create(pagerOptions(context, content))
    return new BtreeBackend(pager, content, context.options.persistDirtyBytes)
  }

  static async open(context: BackendContext): Promise<BtreeBackend> {
    const content = new NodeContent()
    const pager = await Pager.open(pagerOptions(context, content))
    return new BtreeBackend(pager, content, context.options.persistDirtyBytes)
  }

  private constructor(pager: Pager, content: NodeContent, persistBytes: number) {
    this.persistBytes = persistBytes
    content.setPageBytes(pager.pageBytes)
    this.pager = pager
    this.#reader = new TreeReader(pager)
    this.#many = new ManyReader(pager, this.#reader, content)
    this.tree = new Tree(pager, this.#reader, content)
    this.#damage = new DamageMap(pager.memory, this.#reader)
    this.#reclaimer = new Reclaimer(pager, content, (page) => this.#damage.forget(page))
    this.#writer = new TreeWriter(this.tree, this.#reclaimer)
    this.#preparer = new Preparer(this.tree, this.#damage)
    this.#mover = new TreeMover(this.tree)
    this.#chunks = new ChunkBuilder(pager.overflow, this.#reader.pool, this.tree.layout.regionBytes)
    const { balancer, separators } = this.#writer
    this.#compactor = new Compactor(this.tree, balancer, separators, this.#damage)
  }

  get appliedSeq(): number {
    return this.tree.appliedSeq
  }

  get durableSeq(): number {
    return this.pager.durableSeq
  }

  get retirableSeq(): number {
    return this.pager.retirableSeq
  }

  get persistPays(): boolean {
    const { step } = this.pager.shrinkPlan()
    const canShrink =
      step === 'persist' || (step === 'move' && this.#fruitlessMoves < maxFruitlessMoves)
    return this.retirableSeq < this.durableSeq || canShrink
  }

  get dirtyBytes(): number {
    return this.pager.dirtyBytes
  }

  get holdBytes(): number {
    return 2 * this.persistBytes
  }

  tryPrepare(bytes: Buffer, start: number, end: number): boolean {
    return this.#preparer.tryPrepare(bytes, start, end)
  }

  prepare(bytes: Buffer, start: number, end: number): Promise<void> {
    return this.#preparer.prepare(bytes, start, end)
  }

  prepareSync(bytes: Buffer, start: number, end: number): void {
    this.#preparer.prepareSync(bytes, start, end)
  }

  unprepare(): void {
    this.#preparer.unprepare()
  }

  /**
   * Operations that meet damage, which only happens to batches that were not prepared, are parked:
   * left out, with `durableSeq` held below the first of them, so that the log keeps them and the
   * next opening tries again (rule W10).
   */
  apply(bytes: Buffer, start: number, end: number, seq: number): void {
    const batch = this.#batch
    const writer = this.#writer
    batch.reset(bytes, start, end)
    writer.begin()
    while (batch.next()) {
      try {
        writer.apply(batch)
      } catch (error) {
        this.#park(error, seq, batch)
      }
      if (!this.#preparer.isHolding) writer.begin()
    }
    this.tree.appliedSeq = seq
    this.#preparer.applied()
    if (!this.#reclaimer.isIdle) void this.#startReclaiming()
  }

  readView(): ReadView {
    const token = this.pager.retainView(this.tree.state)
    return new TreeView(this.pager, this.#reader, this.#many, this.#chunks, this.#damage, token)
  }

  getSync(key: Uint8Array): Buffer | undefined {
    const { root, height } = this.tree
    try {
      return this.#reader.getSync(root, height, key)
    } catch (error) {
      throw this.#damage.locate(error, root, height, key)
    }
  }

  tryGet(key: Uint8Array): Buffer | undefined | null {
    return this.#reader.tryGet(this.tree.root, this.tree.height, key)
  }

  async load(key: Uint8Array): Promise<null> {
    const { root, height } = this.tree
    try {
      if (!this.#reader.tryFindValue(root, height, key)) await this.#reader.loadMissing()
      return null
    } catch (error) {
      throw this.#damage.locate(error, root, height, key)
    }
  }

  tryGetMany(keys: readonly Uint8Array[]): (Buffer | undefined | null)[] {
    return this.#many.tryGetMany(this.tree.root, this.tree.height, keys)
  }

  async persist(syncLog: (seq: number) => Promise<void>): Promise<number> {
    await this.#moveTail()
    // Last, and with nothing to wait for behind it: a commit in between may cut off more.
    while (!this.#reclaimer.isIdle) await this.#startReclaiming()
    this.#settleReclaimed()
    const { state } = this.tree
    const appliedSeq =
      this.#parkedSeq === 0 ? state.appliedSeq : Math.min(state.appliedSeq, this.#parkedSeq - 1)
    return this.pager.persist({ ...state, appliedSeq }, syncLog, this.persistPays)
  }

  async compact(range: ByteRange, progress: Progress, level?: number): Promise<void> {
    if (level !== undefined) {
      throw new KintsugiError(
        'KINTSUGI_NOT_SUPPORTED',
        "a B+ tree has no levels to compact; leave the option 'level' out"
      )
    }
    return this.#compactor.run(range, progress)
  }

  async approximateSize(range: ByteRange): Promise<number> {
    await this.#loadBounds(range)
    const { usedPages, availablePages } = this.pager.stats()
    return Math.round(
      estimateShare(this.tree, range) * (usedPages - availablePages) * this.pager.pageBytes
    )
  }

  /** Has the pages in memory that say where a range begins and ends; damage costs precision alone. */
  async #loadBounds({ gt, gte, lt, lte }: ByteRange): Promise<void> {
    try {
      for (const key of [gte ?? gt, lt ?? lte]) {
        while (key !== undefined && this.tryGet(key) === null) await this.load(key)
      }
    } catch (error) {
      if (!isCorruption(error)) throw error
    }
  }

  verify(level: VerifyLevel, progress: Progress): Promise<Finding[]> {
    return this.pager.verify(level, progress)
  }

  stats(): Record<string, number> {
    this.#settleReclaimed()
    return {
      ...this.pager.stats(),
      entries: this.tree.entries,
      height: this.tree.height,
      parkedOperations: this.#parkedOperations,
      unreadablePages: this.#reclaimer.unreadablePages
    }
  }

  damagedRanges(): readonly DamagedRange[] {
    return this.#damage.ranges
  }

  async close(): Promise<void> {
    // Persists tell of its failure; here it only has to have ended before the file is closed.
    await this.#reclaiming?.catch(() => {})
    await this.pager.close()
  }

  #park(error: unknown, seq: number, batch: BatchReader): void {
    if (!(error instanceof KintsugiError) || error.code === 'KINTSUGI_INTERNAL') throw error
    const key = batch.bytes.subarray(batch.keyStart, batch.keyEnd)
    this.#damage.locate(error, this.tree.root, this.tree.height, key)
    if (this.#parkedSeq === 0) this.#parkedSeq = seq
    this.#parkedOperations++
  }

  /**
   * Before a persist, moves pages from the end of the file to free places. Extents are moved, too,
   * when there is nothing else to do.
   */
  async #moveTail(): Promise<void> {
    const plan = this.pager.shrinkPlan()
    if (plan.step !== 'move' || this.pager.file.poison !== undefined) return
    const isIdle = this.appliedSeq === this.durableSeq && this.dirtyBytes === 0
    const maxPages = (isIdle ? maxIdleMovedBytes : maxMovedBytes) / this.pager.pageBytes
    let moved = await this.#mover.move(plan.start, maxPages, false)
    if (moved === 0 && isIdle) moved = await this.#mover.move(plan.start, maxPages, true)
    this.#fruitlessMoves = moved === 0 && isIdle ? this.#fruitlessMoves + 1 : 0
  }

  /** Reclaims what was cut off, in slices; resolves when nothing is left. */
  #startReclaiming(): Promise<void> {
    this.#reclaiming ??= this.#reclaim().finally(() => {
      this.#reclaiming = undefined
    })
    // A persist that awaits it sees its failure; otherwise the next persist tries again.
    this.#reclaiming.catch(() => {})
    return this.#reclaiming
  }

  async #reclaim(): Promise<void> {
    while (!this.#reclaimer.isIdle) {
      if (this.#reclaimer.step(reclaimedPerSlice)) {
        await new Promise<void>((resolve) => setImmediate(resolve))
      } else await this.#reclaimer.load()
    }
  }

  #settleReclaimed(): void {
    this.tree.entries -= this.#reclaimer.entriesFound
    this.#reclaimer.entriesFound = 0
  }
}

function pagerOptions(context: BackendContext, content: NodeContent): PagerOptions {
  const { vfs, directory, storeId, checksum, epoch, readOnly, options } = context
  const { pageBytes, cacheBytes } = options
  return {
    vfs,
    directory,
    storeId,
    checksum,
    content,
    pageBytes,
    cacheBytes,
    slabBytes: Math.min(maxSlabBytes, cacheBytes),
    epoch,
    readOnly
  }
}
