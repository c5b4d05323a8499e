import { assert } from '../../../base/assert.js'
import { isCorruption } from '../../../errors.js'
import type { KintsugiError } from '../../../errors.js'
import { entryAt, findInPage, searchPage, valueOffset } from '../../../page/read.js'
import { EntryKind } from '../../../memtable/entry.js'
import type { KeyHash } from '../../../memtable/key-hash.js'
import { Found } from '../../../memtable/lookup.js'
import type { Lookup } from '../../../memtable/lookup.js'
import { RangeTombstones } from '../../../memtable/range-tombstones.js'
import type { TableMeta } from '../table-meta.js'
import type { FrameOwner, LargeBlock } from './block-cache.js'
import { BlockMemory } from './block-memory.js'
import { BlockSeal } from './block-seal.js'
import { Filter } from './filter.js'
import {
  blockAlignment,
  blockHeaderBytes,
  BlockKind,
  HandleField,
  maxPackedBytes,
  tagBytes
} from './format.js'
import { boundsOf, claimChildren } from './index-page.js'
import type { TableEnv } from './table-env.js'
import { TableFile } from './table-files.js'
import { isWithin } from './table-footer.js'
import type { SealedFooter } from './table-footer.js'
import type { BlockHandle } from './table-output.js'
import {
  blockSteps,
  footerSteps,
  openBlock,
  runSteps,
  runStepsSync,
  tombstoneSteps
} from './table-source.js'
import type { ReadSteps } from './table-source.js'
import { VersionList } from './version-list.js'
import { foundElsewhere, pickVersion } from './versions.js'

/** Among the kinds of what a lookup is missing: the table itself, which is not open. */
const missingTable = 0

interface Opened {
  readonly footer: SealedFooter
  readonly seal: BlockSeal
  readonly tombstones: RangeTombstones
  readonly filter: Filter | undefined
}

/**
 * Random access to a table, through the block cache. A table is opened by its first lookup. Lookups
 * with `wait` wait for the disk where a block is not in memory; those without answer `notResident`,
 * and `load` then makes up for one reason. Nothing read is believed before it was verified.
 */
export class Table implements FrameOwner {
  readonly meta: TableMeta
  /** Once the table is open, which it is when a lookup answered anything but `notResident`. */
  tombstones = new RangeTombstones()
  frameOf = new Int32Array(0)
  readonly largeAt = new Map<number, LargeBlock>()
  readonly level: number

  readonly env: TableEnv
  readonly #file: TableFile
  /** Block → level + 1 where an index block that was in memory said so. */
  #levelOf = new Uint8Array(0)
  #footer: SealedFooter | undefined
  #seal: BlockSeal | undefined
  #filter: Filter | undefined
  #rootBlock = -1
  #indexLevels = 0
  readonly #loading = new Map<number, Promise<void>>()
  readonly #read = (target: Buffer, position: number): Promise<number> =>
    this.#file.read(target, position)
  #uses = 0
  #isDropped = false
  #isClosed = false

  constructor(env: TableEnv, path: string, meta: TableMeta) {
    this.env = env
    this.meta = meta
    this.level = meta.level
    this.#file = new TableFile(env.files, path, meta)
  }

  get path(): string {
    return this.#file.path
  }

  get isOpen(): boolean {
    return this.#footer !== undefined
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Root block and number of index levels, for cursors; the table is open. */
  get root(): BlockHandle {
    return this.#footer!.root
  }

  get indexLevels(): number {
    return this.#indexLevels
  }

  /** True where the filter knows that no key has this hash. */
  rejects(hash: KeyHash): boolean {
    const filter = this.#filter
    if (filter === undefined) return false
    const { cache } = this.env
    if (filter.mayHold(hash.low, hash.high)) {
      cache.filterPasses++
      return false
    }
    cache.filterRejections++
    return true
  }

  /**
   * Looks for the newest version up to `maxSeq` of a key, whose hash `hash` holds already. Range
   * tombstones are not looked at.
   */
  find(key: Uint8Array, hash: KeyHash, maxSeq: number, lookup: Lookup, wait: boolean): number {
    if (this.#footer === undefined && !this.open(lookup, wait)) return Found.notResident
    return this.rejects(hash) ? Found.absent : this.findUnfiltered(key, maxSeq, lookup, wait)
  }

  /** The same in an open table without asking the filter. */
  findUnfiltered(key: Uint8Array, maxSeq: number, lookup: Lookup, wait: boolean): number {
    const { cache } = this.env
    let level = this.#indexLevels
    let block = this.#rootBlock
    if (block < 0) return Found.absent
    let units = 0
    let bytes = 0
    for (;;) {
      let frame = this.frameOf[block]
      if (frame < 0) {
        if (level === this.#indexLevels) {
          units = this.root.units
          bytes = this.root.bytes
        }
        frame = this.fetch(block, units, bytes, level, lookup, wait)
        if (frame < 0) return Found.notResident
      } else if (level === 0) cache.hits++
      cache.touched[frame] = 1
      const slab = cache.slabs[frame >> cache.slabShift]
      const base = (frame & cache.slabMask) << cache.blockShift
      if (level === 0) {
        const entry = findInPage(slab, base, key, 0, key.length, cache.longKeys)
        if (entry < 0) {
          if (this.#filter !== undefined) cache.filterFalse++
          return Found.absent
        }
        return this.resolve(slab, entry, cache.minSeq[frame], maxSeq, lookup, wait)
      }
      const found = searchPage(slab, base, key, 0, key.length, cache.longKeys)
      const index = found >= 0 ? found : ~found - 1
      if (index < 0) return Found.absent
      const entry = entryAt(slab, base, index)
      const child = (entry + valueOffset(slab.u32[entry >>> 2]) + tagBytes) >>> 2
      block = slab.u32[child]
      units = slab.u32[child + 1]
      bytes = slab.u32[child + 2]
      level--
    }
  }

  /** The frame of the data block where the key has to be, if all on the way is in memory, or -1. */
  residentFrameFor(key: Uint8Array): number {
    const { cache } = this.env
    let block = this.#rootBlock
    for (let level = this.#indexLevels; ; level--) {
      // A table that is not open has no frames.
      const frame = this.frameOf[block]
      if (!(frame >= 0)) return -1
      cache.touched[frame] = 1
      if (level === 0) {
        cache.hits++
        return frame
      }
      const slab = cache.slabs[frame >> cache.slabShift]
      const base = cache.baseOf(frame)
      const found = searchPage(slab, base, key, 0, key.length, cache.longKeys)
      const index = found >= 0 ? found : ~found - 1
      if (index < 0) return -1
      const entry = entryAt(slab, base, index)
      block = slab.u32[(entry + valueOffset(slab.u32[entry >>> 2]) + tagBytes) >>> 2]
    }
  }

  /** Puts the newest version up to `maxSeq` of an entry of this table into the lookup. */
  resolve(
    memory: BlockMemory,
    entry: number,
    minSeq: number,
    maxSeq: number,
    lookup: Lookup,
    wait: boolean
  ): number {
    const found = pickVersion(memory, entry, minSeq, maxSeq, lookup)
    if (found === foundElsewhere) return this.#resolveList(maxSeq, lookup, wait)
    if (found === Found.present && lookup.kind === EntryKind.largePut) {
      return this.#resolveLarge(lookup, wait)
    }
    return found
  }

  /** True when the table is open now; otherwise the lookup knows that it is missing. */
  open(lookup: Lookup, wait: boolean): boolean {
    assert(!this.#isClosed, 'a lookup in a table that was closed')
    if (this.#footer !== undefined) return true
    if (!wait) {
      lookup.missingKind = missingTable
      return false
    }
    const read = (target: Buffer, position: number): number => this.#file.readSync(target, position)
    this.#install(runStepsSync(this.#openSteps(this.#file.sizeSync()), read))
    return true
  }

  /** The frame of a block, read if it has to be; -1: not resident, as the lookup knows. */
  fetch(
    block: number,
    units: number,
    bytes: number,
    level: number,
    lookup: Lookup,
    wait: boolean
  ): number {
    const resident = this.frameOf[block]
    if (resident >= 0) return resident
    const handle = { block, units, bytes }
    if (wait) {
      const target = this.#targetFor(handle)
      const count = this.#file.readSync(target, units * blockAlignment)
      return this.#fill(target.subarray(0, count), handle, level)
    }
    const frame = this.#tryLoad(handle, level)
    if (frame >= 0) return frame
    lookup.missingKind = level === 0 ? BlockKind.data : BlockKind.index
    lookup.missingLevel = level
    lookup.missingBlock = block
    lookup.missingUnits = units
    lookup.missingBytes = bytes
    return -1
  }

  /**
   * Loads what a lookup that answered `notResident` was missing. When it resolves that was in memory
   * a moment ago: look again. Throws CORRUPTION with the keys concerned, or what reading threw.
   */
  load(lookup: Lookup): Promise<void> {
    const { missingKind: kind, missingLevel: level } = lookup
    const handle = {
      block: lookup.missingBlock,
      units: lookup.missingUnits,
      bytes: lookup.missingBytes
    }
    // Places are unique, but for a table that is not open, whose is that of no block.
    const key = kind === missingTable ? -1 : handle.units
    const running = this.#loading.get(key)
    if (running !== undefined) return running
    this.retain()
    const loading = this.#load(kind, handle, level).finally(() => {
      this.#loading.delete(key)
      this.release()
    })
    this.#loading.set(key, loading)
    return loading
  }

  /** A read that spans turns of the event loop begins: the table stays open until `release`. */
  retain(): void {
    this.#uses++
  }

  release(): void {
    assert(this.#uses > 0, 'a table is released too often')
    this.#uses--
    if (this.#isDropped && this.#uses === 0) this.#close()
  }

  /** No new read will begin: closes the file as soon as no read needs it. */
  drop(): void {
    this.#isDropped = true
    if (this.#uses === 0) this.#close()
  }

  /** Resolves when no load is under way. Who asked for it hears how it ended. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#loading.values())
  }

  dropFilter(): void {
    this.#filter = undefined
  }

  #close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.env.cache.drop(this)
    this.#filter = undefined
    this.#footer = undefined
    this.#file.closeIfIdle()
  }

  async #load(kind: number, handle: BlockHandle, level: number): Promise<void> {
    if (kind === missingTable) {
      const sizeBytes = await this.#file.size()
      const opened = await runSteps(this.#openSteps(sizeBytes), this.#read)
      if (this.#footer === undefined) this.#install(opened)
      return
    }
    if (kind === BlockKind.largeValue || kind === BlockKind.versions) {
      if (this.largeAt.has(handle.units)) return
      const contents = await runSteps(this.#largeSteps(handle, kind), this.#read)
      if (!this.largeAt.has(handle.units)) this.#keepLarge(handle, contents)
      return
    }
    if (this.frameOf[handle.block] >= 0) return
    this.#checkPlace(handle)
    const target = Buffer.allocUnsafe(handle.bytes)
    const count = await this.#file.read(target, handle.units * blockAlignment)
    // Read by a lookup that waited meanwhile.
    if (this.frameOf[handle.block] >= 0) return
    this.#fill(target.subarray(0, count), handle, level)
  }

  *#openSteps(sizeBytes: number): ReadSteps<Opened> {
    const { env, meta, path } = this
    const footer = yield* footerSteps(path, sizeBytes, env, meta.number, meta)
    const seal = new BlockSeal(path, meta.number, env.storeId, env.checksum)
    if (footer.blockBytes > env.cache.blockBytes) {
      throw seal.corruption(footer.contentBytes / blockAlignment, 'its blocks are too large')
    }
    const tombstones = yield* tombstoneSteps(seal, footer)
    let filter: Filter | undefined
    const { bytes } = footer.filter
    if (bytes > 0 && env.cache.admitFilter(this, bytes)) {
      const contents = yield* blockSteps(seal, footer.filter, BlockKind.filter, 0, footer)
      const decoded = Filter.decode(contents)
      if (typeof decoded === 'string') throw seal.corruption(footer.filter.units, decoded)
      filter = decoded
    }
    return { footer, seal, tombstones, filter }
  }

  #install({ footer, seal, tombstones, filter }: Opened): void {
    this.frameOf = new Int32Array(footer.blockCount).fill(-1)
    this.#levelOf = new Uint8Array(footer.blockCount)
    this.#rootBlock = footer.root.bytes === 0 ? -1 : footer.root.block
    if (this.#rootBlock >= 0) this.#levelOf[this.#rootBlock] = footer.indexLevels + 1
    this.#indexLevels = footer.indexLevels
    this.tombstones = tombstones
    this.#filter = filter
    this.#seal = seal
    this.#footer = footer
  }

  /** Reads a block that the operating system has in memory; -1 also where it is damaged. */
  #tryLoad(handle: BlockHandle, level: number): number {
    const { units, bytes } = handle
    if (this.#loading.has(units) || !this.env.files.mayTryRead(bytes)) return -1
    try {
      const target = this.#targetFor(handle)
      if (!this.#file.tryRead(target, units * blockAlignment)) return -1
      return this.#fill(target, handle, level)
    } catch (error) {
      // `load` finds and tells the same.
      if (!isCorruption(error)) throw error
      return -1
    }
  }

  #targetFor(handle: BlockHandle): Buffer {
    this.#checkPlace(handle)
    return this.env.scratch(handle.bytes)
  }

  #checkPlace(handle: BlockHandle): void {
    const largest = blockHeaderBytes + maxPackedBytes(this.env.cache.blockBytes)
    if (!isWithin(handle, this.#footer!.contentBytes) || handle.bytes > largest) {
      throw this.#damage(handle, 'something refers to it though the file is shorter')
    }
  }

  /** Verifies a block that was read and puts its page into a frame. */
  #fill(read: Buffer, handle: BlockHandle, level: number): number {
    const { cache, unpacker } = this.env
    const { block } = handle
    const footer = this.#footer!
    const kind = level === 0 ? BlockKind.data : BlockKind.index
    const packed = openBlock(read, this.#seal!, handle, kind, level, footer, this.#damage)
    const frame = cache.takeFrame()
    const memory = cache.slabs[frame >> cache.slabShift]
    const base = cache.baseOf(frame)
    let wrong = unpacker.unpack(packed, memory, base, frame)
    if (wrong === undefined && level > 0) {
      wrong = claimChildren(memory, base, level, this.#levelOf)
    }
    if (wrong !== undefined) {
      cache.returnFrame(frame)
      throw this.#damage(handle, wrong)
    }
    const { decoder, isPlain, longKeys } = unpacker
    cache.install(frame, this, block, decoder.minSeq, decoder.maxSeq, isPlain, longKeys)
    return frame
  }

  #resolveList(maxSeq: number, lookup: Lookup, wait: boolean): number {
    const large = this.#large(lookup, BlockKind.versions, wait)
    if (large === undefined) return Found.notResident
    const { list } = this.env
    list.begin(large.memory.u8.subarray(0, large.sizeBytes))
    while (list.next()) {
      if (list.seq > maxSeq) continue
      lookup.seq = list.seq
      lookup.kind = list.kind as EntryKind
      lookup.memory = large.memory
      lookup.start = list.start
      lookup.end = list.end
      if (lookup.kind === EntryKind.largePut) return this.#resolveLarge(lookup, wait)
      return Found.present
    }
    return Found.absent
  }

  #resolveLarge(lookup: Lookup, wait: boolean): number {
    const large = this.#large(lookup, BlockKind.largeValue, wait)
    if (large === undefined) return Found.notResident
    lookup.kind = EntryKind.put
    lookup.memory = large.memory
    lookup.start = 0
    lookup.end = large.sizeBytes
    return Found.present
  }

  /** The contents of the block whose handle the lookup has found. */
  #large(lookup: Lookup, kind: BlockKind, wait: boolean): LargeBlock | undefined {
    const { u32 } = lookup.memory
    const at = lookup.start
    const units = u32[(at + HandleField.units) >>> 2]
    const resident = this.env.cache.findLarge(this, units)
    if (resident !== undefined) return resident
    const block = u32[(at + HandleField.rawBytes) >>> 2]
    const bytes = u32[(at + HandleField.bytes) >>> 2]
    if (wait) {
      const handle = { block, units, bytes }
      const read = (target: Buffer, position: number): number =>
        this.#file.readSync(target, position)
      return this.#keepLarge(handle, runStepsSync(this.#largeSteps(handle, kind), read))
    }
    lookup.missingKind = kind
    lookup.missingLevel = 0
    lookup.missingBlock = block
    lookup.missingUnits = units
    lookup.missingBytes = bytes
    return undefined
  }

  *#largeSteps(handle: BlockHandle, kind: BlockKind): ReadSteps<Buffer> {
    const contents = yield* blockSteps(this.#seal!, handle, kind, 0, this.#footer!)
    let wrong = contents.length === handle.block ? undefined : 'its size is not what was recorded'
    if (kind === BlockKind.versions) wrong ??= VersionList.check(contents)
    if (wrong !== undefined) throw this.#damage(handle, wrong)
    return contents
  }

  #keepLarge({ units }: BlockHandle, contents: Buffer): LargeBlock {
    return this.env.cache.addLarge(this, units, BlockMemory.of(contents), contents.length)
  }

  readonly #damage = (handle: BlockHandle, reason: string, cause?: unknown): KintsugiError => {
    const { low, high } = boundsOf(this, this.env.cache, handle.block, this.#levelOf)
    return this.#seal!.corruption(handle.units, reason, low, high, cause)
  }
}
