import { assert } from '../../base/assert.js'
import type { DataFile } from './data-file.js'
import { ExtentHeader, extentHeaderBytes, extentPages, PageHeader, PageKind } from './format.js'
import type { ExtentRef } from './page-content.js'
import { writeLong } from '../../base/words.js'

/** Where extents get their pages and the stamp of the persist they go into. */
export interface ExtentSpace {
  /** Number that the next freeze will take. */
  readonly nextPersistNo: number
  /** Takes contiguous pages for the current generation. */
  allocateRun(count: number): number
  freeRun(page: number, count: number): void
  /** Whether contiguous pages below `limit` can be taken. */
  hasRunBelow(limit: number, count: number): boolean
}

/** Hashing goes piece by piece, because the hash function's own memory grows to what it is given. */
const hashPieceBytes = 128 * 1024

interface ExtentLoad {
  /** The pages were given to other contents before the bytes arrived. */
  stale: boolean
  promise: Promise<void> | undefined
}

/**
 * Values and keys too big for a page, each in an extent of contiguous pages: header, then bytes.
 * An extent never changes, and its reference is complete as soon as it is written. New extents stay
 * in memory until they are persisted; after that they may stay in a cache of recently used ones.
 *
 * Any read may answer from memory; whoever wants to know whether it can asks `isResident`.
 */
export class Overflow {
  readonly #file: DataFile
  readonly #epoch: number
  readonly #space: ExtentSpace
  readonly #cacheBytes: number
  readonly #onCacheChange: (cachedBytes: number) => void

  /** Extents of changes since the last freeze, and of the persist in flight; by first page. */
  #dirty = new Map<number, Buffer>()
  #frozen = new Map<number, Buffer>()
  #dirtyBytes = 0
  /** Clean extents, least recently used first. */
  readonly #cached = new Map<number, Buffer>()
  #cachedBytes = 0
  readonly #loading = new Map<number, ExtentLoad>()

  constructor(
    file: DataFile,
    epoch: number,
    space: ExtentSpace,
    cacheBytes: number,
    onCacheChange: (cachedBytes: number) => void
  ) {
    this.#file = file
    this.#epoch = epoch
    this.#space = space
    this.#cacheBytes = cacheBytes
    this.#onCacheChange = onCacheChange
  }

  get dirtyBytes(): number {
    return this.#dirtyBytes
  }

  get cachedBytes(): number {
    return this.#cachedBytes
  }

  pageCountOf(sizeBytes: number): number {
    return extentPages(sizeBytes, this.#file.pageBytes)
  }

  /** Copies the bytes into a new extent. */
  write(bytes: Uint8Array): ExtentRef {
    const sizeBytes = bytes.length
    const page = this.#space.allocateRun(this.pageCountOf(sizeBytes))
    const extent = Buffer.allocUnsafeSlow(extentHeaderBytes + sizeBytes)
    extent.fill(0, 0, extentHeaderBytes)
    extent.writeUInt32LE(page, PageHeader.pageNo)
    extent.writeUInt32LE(this.#epoch, PageHeader.epoch)
    writeLong(extent, PageHeader.persistLow, this.#space.nextPersistNo)
    extent[PageHeader.kind] = PageKind.overflow
    extent.writeUInt32LE(sizeBytes, ExtentHeader.sizeBytes)
    extent.set(bytes, extentHeaderBytes)
    hashExtent(this.#file, extent, page)
    const { sumLow, sumHigh } = this.#file
    extent.writeUInt32LE(sumLow, PageHeader.sumLow)
    extent.writeUInt32LE(sumHigh, PageHeader.sumHigh)
    this.#dirty.set(page, extent)
    this.#dirtyBytes += extent.length
    return { page, sizeBytes, sumLow, sumHigh }
  }

  /** The current tree no longer refers to the extent. Views and metas may; it waits for them. */
  free(page: number, sizeBytes: number): void {
    this.#space.freeRun(page, this.pageCountOf(sizeBytes))
  }

  isResident(page: number): boolean {
    return this.#dirty.has(page) || this.#frozen.has(page) || this.#cached.has(page)
  }

  /** The bytes in place, not to be changed or kept beyond this turn; null when not in memory. */
  peek(page: number): Buffer | null {
    const extent = this.#find(page)
    return extent === undefined ? null : extent.subarray(extentHeaderBytes)
  }

  /** A copy, the caller's own, or null when it is not in memory. */
  tryRead(page: number): Buffer | null {
    const extent = this.#find(page)
    return extent === undefined ? null : copyOf(extent)
  }

  /** A copy, the caller's own. Waits for the disk, verifies; throws CORRUPTION. */
  readSync(page: number, sizeBytes: number, sumLow: number, sumHigh: number): Buffer {
    const resident = this.#find(page)
    if (resident !== undefined) return copyOf(resident)
    const extent = Buffer.allocUnsafeSlow(extentHeaderBytes + sizeBytes)
    this.#checkBounds(page, sizeBytes)
    const count = this.#file.readSync(extent, page)
    this.#verify(extent, count, page, sumLow, sumHigh)
    // One that would push out most others is handed over instead of cached and copied.
    if (extent.length > this.#cacheBytes >>> 3) return extent.subarray(extentHeaderBytes)
    this.#cache(page, extent)
    return copyOf(extent)
  }

  /** Makes resident what `tryRead` answered null for; it stays so until the next one. */
  load(page: number, sizeBytes: number, sumLow: number, sumHigh: number): Promise<void> {
    const running = this.#loading.get(page)?.promise
    if (running !== undefined) return running
    const load: ExtentLoad = { stale: false, promise: undefined }
    this.#loading.set(page, load)
    load.promise = this.#load(load, page, sizeBytes, sumLow, sumHigh).finally(() => {
      if (!load.stale) this.#loading.delete(page)
    })
    return load.promise
  }

  /**
   * Makes an extent resident if that needs no waiting; true when it is. False also when something is
   * wrong with it, which `load` then says.
   */
  tryLoad(ref: ExtentRef): boolean {
    const { page, sizeBytes, sumLow, sumHigh } = ref
    if (this.isResident(page)) return true
    const length = extentHeaderBytes + sizeBytes
    if (this.#loading.has(page) || !this.#file.mayTryRead(length)) return false
    if (page + this.pageCountOf(sizeBytes) > this.#file.pageCount) return false
    const extent = Buffer.allocUnsafeSlow(length)
    if (!this.#file.tryRead(extent, page)) return false
    if (checkExtent(this.#file, extent, page, sumLow, sumHigh) !== undefined) return false
    this.#cache(page, extent)
    return true
  }

  /** Whether there is a lower place for an extent. */
  canMove(ref: ExtentRef): boolean {
    return this.#space.hasRunBelow(ref.page, this.pageCountOf(ref.sizeBytes))
  }

  /** The same bytes in a new extent at the lowest place; the old one, resident, is freed. */
  move(ref: ExtentRef): ExtentRef {
    const bytes = this.peek(ref.page)
    assert(bytes !== null, 'an extent is moved while not in memory')
    const moved = this.write(bytes)
    this.free(ref.page, ref.sizeBytes)
    return moved
  }

  /** The pages are given to other contents. */
  forget(page: number): void {
    const load = this.#loading.get(page)
    if (load !== undefined) {
      load.stale = true
      this.#loading.delete(page)
    }
    const dirty = this.#dirty.get(page)
    if (dirty !== undefined) {
      this.#dirty.delete(page)
      this.#dirtyBytes -= dirty.length
    }
    const frozen = this.#frozen.get(page)
    if (frozen !== undefined) {
      this.#frozen.delete(page)
      this.#dirtyBytes -= frozen.length
    }
    const cached = this.#cached.get(page)
    if (cached !== undefined) {
      this.#cached.delete(page)
      this.#setCachedBytes(this.#cachedBytes - cached.length)
    }
  }

  /** The extents to be written now, by first page; later ones go into the next persist. */
  freeze(): ReadonlyMap<number, Buffer> {
    this.#frozen = this.#dirty
    this.#dirty = new Map()
    return this.#frozen
  }

  /** What was frozen is durable; takes note of at most `maxCount` extents, true when done. */
  thawWritten(maxCount: number): boolean {
    for (const [page, extent] of this.#frozen) {
      if (maxCount-- === 0) return false
      this.#frozen.delete(page)
      this.#dirtyBytes -= extent.length
      this.#cache(page, extent)
    }
    return true
  }

  /** What was frozen is not durable and belongs to the next persist. */
  thawUnwritten(): void {
    for (const [page, extent] of this.#frozen) this.#dirty.set(page, extent)
    this.#frozen = new Map()
  }

  /** Resolves when no read is running any more; whoever began one hears how it ended. */
  async settle(): Promise<void> {
    while (this.#loading.size > 0) {
      const [load] = this.#loading.values()
      await load.promise?.catch(() => {})
    }
  }

  #find(page: number): Buffer | undefined {
    const cached = this.#cached.get(page)
    if (cached !== undefined) {
      this.#cached.delete(page)
      this.#cached.set(page, cached)
      return cached
    }
    return this.#dirty.get(page) ?? this.#frozen.get(page)
  }

  async #load(
    load: ExtentLoad,
    page: number,
    sizeBytes: number,
    sumLow: number,
    sumHigh: number
  ): Promise<void> {
    this.#checkBounds(page, sizeBytes)
    const extent = Buffer.allocUnsafeSlow(extentHeaderBytes + sizeBytes)
    const count = await this.#file.read(extent, page)
    // Nobody can refer to what was there any more, and what was read may be neither.
    if (load.stale || this.isResident(page)) return
    this.#verify(extent, count, page, sumLow, sumHigh)
    this.#cache(page, extent)
  }

  /** Before a reference from disk makes us ask for memory. */
  #checkBounds(page: number, sizeBytes: number): void {
    if (page + this.pageCountOf(sizeBytes) > this.#file.pageCount) {
      throw this.#file.corruption(page, `an extent of ${sizeBytes} bytes ends beyond the file`)
    }
  }

  #verify(extent: Buffer, count: number, page: number, sumLow: number, sumHigh: number): void {
    if (count !== extent.length) throw this.#file.corruption(page, 'the file ends inside an extent')
    const reason = checkExtent(this.#file, extent, page, sumLow, sumHigh)
    if (reason !== undefined) throw this.#file.corruption(page, reason)
  }

  #cache(page: number, extent: Buffer): void {
    const before = this.#cached.get(page)
    if (before !== undefined) this.#cached.delete(page)
    this.#cached.set(page, extent)
    let bytes = this.#cachedBytes + extent.length - (before?.length ?? 0)
    for (const [oldest, old] of this.#cached) {
      if (bytes <= this.#cacheBytes || oldest === page) break
      this.#cached.delete(oldest)
      bytes -= old.length
    }
    this.#setCachedBytes(bytes)
  }

  #setCachedBytes(bytes: number): void {
    this.#cachedBytes = bytes
    this.#onCacheChange(bytes)
  }
}

/** Checks an extent against its reference; what is wrong, or undefined. */
export function checkExtent(
  file: DataFile,
  extent: Buffer,
  page: number,
  sumLow: number,
  sumHigh: number
): string | undefined {
  hashExtent(file, extent, page)
  if (file.sumLow !== sumLow || file.sumHigh !== sumHigh) {
    return 'the checksum of an overflow extent does not match its contents'
  }
  if (
    extent[PageHeader.kind] !== PageKind.overflow ||
    extent.readUInt32LE(PageHeader.pageNo) !== page ||
    extent.readUInt32LE(ExtentHeader.sizeBytes) !== extent.length - extentHeaderBytes
  ) {
    return 'the header of an overflow extent does not match its reference'
  }
  return undefined
}

function hashExtent(file: DataFile, extent: Buffer, page: number): void {
  let end = Math.min(extent.length, hashPieceBytes)
  file.hash(extent.subarray(PageHeader.pageNo, end), page)
  while (end < extent.length) {
    const start = end
    end = Math.min(extent.length, start + hashPieceBytes)
    file.hashMore(extent.subarray(start, end))
  }
}

function copyOf(extent: Buffer): Buffer {
  const sizeBytes = extent.length - extentHeaderBytes
  const copy = Buffer.allocUnsafe(sizeBytes)
  extent.copy(copy, 0, extentHeaderBytes)
  return copy
}
