import type { Progress } from '../../backend/backend.js'
import type { Checksum } from '../../codec/checksum.js'
import { KintsugiError } from '../../errors.js'
import type { Vfs } from '../../vfs/vfs.js'
import { DataFile } from './data-file.js'
import {
  extentHeaderBytes,
  extentPages,
  firstDataPage,
  maxPageBytes,
  metaBytes,
  minPageBytes,
  PageHeader,
  PageKind
} from './format.js'
import { newestFirst } from './meta-slots.js'
import { decodeMeta, type MetaPage } from './meta.js'
import { checkExtent } from './overflow.js'
import type { ExtentRef, PageContent } from './page-content.js'
import { Slab } from './page-memory.js'
import { readLong } from '../../base/words.js'

const scanBytes = 1 << 20
/** Pages tried at each size when no meta page says which it is. */
const triedBytes = 16 << 20

/** A tree page that proves itself: store, own number, checksum, well-formed contents. */
export interface FoundPage {
  readonly pageNo: number
  readonly level: number
  readonly epoch: number
  readonly persistNo: number
  readonly sumLow: number
  readonly sumHigh: number
}

/** A damaged data file, read only. Damage is not an error here, an I/O error of a page neither. */
export class SalvageSource {
  readonly file: DataFile
  /** The meta pages that can be read, newest first. */
  readonly metas: readonly MetaPage[]
  readonly #content: PageContent

  private constructor(file: DataFile, metas: readonly MetaPage[], content: PageContent) {
    this.file = file
    this.metas = metas
    this.#content = content
  }

  /** `storeId` is that of the store the file belonged to; close it in the end. */
  static async open(
    vfs: Vfs,
    path: string,
    storeId: Uint8Array,
    checksum: Checksum,
    content: PageContent
  ): Promise<SalvageSource> {
    const vfsFile = await vfs.open(path, 'read')
    try {
      const sizes: number[] = []
      for (let size = minPageBytes; size <= maxPageBytes; size *= 2) sizes.push(size)
      const metas: MetaPage[] = []
      for (const [slot, position] of [[0, 0], ...sizes.map((size) => [1, size])] as [
        0 | 1,
        number
      ][]) {
        const bytes = Buffer.alloc(metaBytes)
        if ((await readAsFarAsPossible(() => vfsFile.read(bytes, position))) < metaBytes) continue
        const decoded = decodeMeta(bytes, slot, storeId, checksum)
        if (decoded.kind !== 'valid') continue
        if (slot === 0 || decoded.meta.pageBytes === position) metas.push(decoded.meta)
      }
      const files = sizes.map((size) => new DataFile(vfsFile, size, checksum, storeId))
      const known = files.find((file) => file.pageBytes === metas[0]?.pageBytes)
      const file = known ?? (await likeliest(files))
      return new SalvageSource(file, newestFirst(metas), content)
    } catch (error) {
      await vfsFile.close()
      throw error
    }
  }

  /** Visits every page that proves itself, in the order of page numbers, one at a time. */
  async scan(
    progress: Progress,
    visit: (page: FoundPage, slab: Slab, base: number) => Promise<void> | void
  ): Promise<void> {
    const { pageBytes, pageCount } = this.file
    const perRead = Math.max(1, scanBytes / pageBytes)
    const slab = new Slab(perRead * pageBytes)
    for (let first = firstDataPage; first < pageCount; first += perRead) {
      progress.signal?.throwIfAborted()
      const count = Math.min(perRead, pageCount - first)
      for (let i = 0; i < count; i++) slab.u8.fill(0, i * pageBytes, i * pageBytes + 8)
      const chunk = slab.u8.subarray(0, count * pageBytes)
      if ((await readAsFarAsPossible(() => this.file.read(chunk, first))) < 0) {
        await this.#readSingly(chunk, first, count)
      }
      for (let i = 0; i < count; i++) {
        const found = this.#prove(slab, i * pageBytes, first + i)
        if (found !== undefined) await visit(found, slab, i * pageBytes)
      }
      progress.report(first + count, pageCount, 'pages')
    }
  }

  /** Reads one page again; false where it does not prove itself any more. */
  async read(pageNo: number, slab: Slab, base: number): Promise<FoundPage | undefined> {
    if (pageNo < firstDataPage || pageNo >= this.file.pageCount) return undefined
    const bytes = slab.u8.subarray(base, base + this.file.pageBytes)
    const count = await readAsFarAsPossible(() => this.file.read(bytes, pageNo))
    return count === bytes.length ? this.#prove(slab, base, pageNo) : undefined
  }

  /** The bytes of an extent, or undefined where they are not what the reference says. */
  async readExtent(ref: ExtentRef): Promise<Buffer | undefined> {
    const { pageBytes, pageCount } = this.file
    const end = ref.page + extentPages(ref.sizeBytes, pageBytes)
    if (ref.page < firstDataPage || end > pageCount) return undefined
    const extent = Buffer.allocUnsafeSlow(extentHeaderBytes + ref.sizeBytes)
    const count = await readAsFarAsPossible(() => this.file.read(extent, ref.page))
    if (count < extent.length) return undefined
    const reason = checkExtent(this.file, extent, ref.page, ref.sumLow, ref.sumHigh)
    return reason === undefined ? extent.subarray(extentHeaderBytes) : undefined
  }

  close(): Promise<void> {
    return this.file.close()
  }

  /** One bad sector must not take its neighbours along. */
  async #readSingly(chunk: Buffer, first: number, count: number): Promise<void> {
    const { pageBytes } = this.file
    for (let i = 0; i < count; i++) {
      const bytes = chunk.subarray(i * pageBytes, (i + 1) * pageBytes)
      const read = await readAsFarAsPossible(() => this.file.read(bytes, first + i))
      if (read < pageBytes) bytes.fill(0)
    }
  }

  #prove(slab: Slab, base: number, pageNo: number): FoundPage | undefined {
    const bytes = slab.u8.subarray(base, base + this.file.pageBytes)
    const kind = bytes[PageHeader.kind]
    const level = bytes[PageHeader.level]
    if (kind !== (level === 0 ? PageKind.leaf : PageKind.branch)) return undefined
    if (this.file.checkPage(bytes, pageNo) !== undefined) return undefined
    if (this.#content.check(slab, base) !== undefined) return undefined
    return {
      pageNo,
      level,
      epoch: bytes.readUInt32LE(PageHeader.epoch),
      persistNo: readLong(bytes, PageHeader.persistLow),
      sumLow: bytes.readUInt32LE(PageHeader.sumLow),
      sumHigh: bytes.readUInt32LE(PageHeader.sumHigh)
    }
  }
}

/** Bytes read, or -1 where the device failed: what a salvage works around. */
async function readAsFarAsPossible(read: () => Promise<number>): Promise<number> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof KintsugiError && error.code === 'KINTSUGI_IO') return -1
    throw error
  }
}

/** The page size at which most of the first pages prove themselves. */
async function likeliest(files: readonly DataFile[]): Promise<DataFile> {
  let best = files[0]
  let bestBytes = -1
  for (const file of files) {
    const bytes = Buffer.alloc(file.pageBytes)
    const end = Math.min(file.pageCount, triedBytes / file.pageBytes)
    let proven = 0
    for (let pageNo = firstDataPage; pageNo < end; pageNo++) {
      const count = await readAsFarAsPossible(() => file.read(bytes, pageNo))
      if (count === bytes.length && file.checkPage(bytes, pageNo) === undefined) proven += count
    }
    if (proven > bestBytes) {
      best = file
      bestBytes = proven
    }
  }
  return best
}
