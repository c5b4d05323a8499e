import { KintsugiError } from '../../errors.js'
import type { Checksum } from '../../codec/checksum.js'
import type { VfsFile } from '../../vfs/vfs.js'
import { PageHeader } from './format.js'

/** Read in one turn of the event loop before a read goes the way that lets it turn: 32 pages. */
const maxTriedBytes = 256 * 1024

/**
 * The data file: pages by number, checksums seeded with the store and the page number, and the
 * belief in it. After a failed sync nothing is synced through it any more (rule F1).
 */
export class DataFile {
  readonly #file: VfsFile
  readonly pageBytes: number
  readonly #checksum: Checksum
  readonly #seedLow: number
  readonly #seedHigh: number
  #pageCount: number
  #poison: unknown
  /** Read without waiting since the event loop turned, for a read that waited or otherwise. */
  #triedBytes = 0
  readonly #turned = (): void => {
    this.#triedBytes = 0
  }

  constructor(file: VfsFile, pageBytes: number, checksum: Checksum, storeId: Uint8Array) {
    this.#file = file
    this.pageBytes = pageBytes
    this.#checksum = checksum
    checksum.hash(storeId, 0, 0)
    this.#seedLow = checksum.low
    this.#seedHigh = checksum.high
    this.#pageCount = Math.floor(file.sizeSync() / pageBytes)
  }

  get path(): string {
    return this.#file.path
  }

  /** Whole pages that the file has room for now. */
  get pageCount(): number {
    return this.#pageCount
  }

  /** The error that ended all writing, if one did. */
  get poison(): unknown {
    return this.#poison
  }

  /** Result of the last `hash`: lower and upper 32 bits. */
  get sumLow(): number {
    return this.#checksum.low
  }

  get sumHigh(): number {
    return this.#checksum.high
  }

  /** Hashes bytes that belong at a page. */
  hash(bytes: Uint8Array, pageNo: number): void {
    this.#checksum.hash(bytes, (this.#seedLow + pageNo) >>> 0, this.#seedHigh)
  }

  /** Continues from the last hash over further bytes. */
  hashMore(bytes: Uint8Array): void {
    this.#checksum.hash(bytes, this.#checksum.low, this.#checksum.high)
  }

  /** Checks a page's own checksum and page number; what is wrong, or undefined. */
  checkPage(bytes: Buffer, pageNo: number): string | undefined {
    this.hash(bytes.subarray(PageHeader.pageNo), pageNo)
    if (
      bytes.readUInt32LE(PageHeader.sumLow) !== this.sumLow ||
      bytes.readUInt32LE(PageHeader.sumHigh) !== this.sumHigh
    ) {
      return 'its checksum does not match its contents'
    }
    const own = bytes.readUInt32LE(PageHeader.pageNo)
    return own === pageNo ? undefined : `it says it is page ${own}`
  }

  readPageSync(target: Buffer, pageNo: number): void {
    this.#whole(this.readSync(target, pageNo), target, pageNo)
  }

  async readPage(target: Buffer, pageNo: number): Promise<void> {
    this.#whole(await this.read(target, pageNo), target, pageNo)
  }

  /** Reads from a page on; returns how many bytes were there. */
  async read(target: Buffer, pageNo: number): Promise<number> {
    try {
      return await this.#file.read(target, pageNo * this.pageBytes)
    } finally {
      this.#turned()
    }
  }

  readSync(target: Buffer, pageNo: number): number {
    return this.#file.readSync(target, pageNo * this.pageBytes)
  }

  /** Whether `tryRead` would try at all. */
  mayTryRead(sizeBytes: number): boolean {
    return this.#triedBytes + sizeBytes <= maxTriedBytes
  }

  /**
   * Reads without waiting: true when the operating system had all of the bytes in memory. It
   * takes microseconds, which add up, so past a bound it answers false until the event loop turns.
   */
  tryRead(target: Buffer, pageNo: number): boolean {
    if (!this.mayTryRead(target.length)) return false
    const complete = this.#file.tryRead(target, pageNo * this.pageBytes)
    if (complete) {
      if (this.#triedBytes === 0) setImmediate(this.#turned)
      this.#triedBytes += target.length
    }
    return complete
  }

  /** Writes from a page on, without syncing. */
  write(bytes: Uint8Array, pageNo: number): Promise<void> {
    return this.writeAt(bytes, pageNo * this.pageBytes)
  }

  /** The same from a byte on. */
  writeAt(bytes: Uint8Array, position: number): Promise<void> {
    return this.#file.write(bytes, position)
  }

  /** Writes go to reserved space only, so that a full disk shows here and not in a sync. */
  async reserve(pageCount: number): Promise<void> {
    if (pageCount <= this.#pageCount) return
    const step = Math.min(Math.max(16, this.#pageCount >>> 3), (64 << 20) / this.pageBytes)
    const target = Math.ceil(pageCount / step) * step
    try {
      await this.#file.allocate(target * this.pageBytes)
      this.#pageCount = target
    } catch (error) {
      if (!(error instanceof KintsugiError) || error.code !== 'KINTSUGI_DISK_FULL') throw error
      // There may be room for what is needed, though not for the step.
      await this.#file.allocate(pageCount * this.pageBytes)
      this.#pageCount = pageCount
    }
  }

  async truncate(pageCount: number): Promise<void> {
    await this.#file.truncate(pageCount * this.pageBytes)
    this.#pageCount = pageCount
  }

  checkUsable(): void {
    if (this.#poison === undefined) return
    throw new KintsugiError(
      'KINTSUGI_READ_ONLY',
      `an earlier sync of ${this.path} failed, so what was written there since the last ` +
        'good one cannot be trusted; nothing is lost, the log has it: reopen the store',
      { path: this.path, operation: 'datasync' },
      this.#poison
    )
  }

  async datasync(): Promise<void> {
    this.checkUsable()
    try {
      await this.#file.datasync()
    } catch (error) {
      this.#poison = error
      throw error
    }
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  corruption(pageNo: number, reason: string): KintsugiError {
    return new KintsugiError(
      'KINTSUGI_CORRUPTION',
      `page ${pageNo} of ${this.path} is damaged: ${reason}; the rest keeps working, ` +
        'run a verification and restore or repair what it names',
      { path: this.path, page: pageNo, offset: pageNo * this.pageBytes }
    )
  }

  #whole(count: number, target: Buffer, pageNo: number): void {
    if (count !== target.length) throw this.corruption(pageNo, 'the file ends inside it')
  }
}
