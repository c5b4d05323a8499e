import type { Finding, Progress, VerifyLevel } from '../../backend/backend.js'
import { KintsugiError } from '../../errors.js'
import type { DataFile } from './data-file.js'
import { extentHeaderBytes, extentPages, firstDataPage } from './format.js'
import { readFreelist } from './freelist-pages.js'
import type { MetaPage } from './meta.js'
import { checkExtent } from './overflow.js'
import { PageBitmap } from './page-bitmap.js'
import { checkTreePage } from './page-check.js'
import type { ExtentRef, PageContent } from './page-content.js'
import { Slab } from './page-memory.js'

/** Leaves are read so many at a time. */
const readsInFlight = 16

/** A page to be checked, and what its parent says of it. */
interface Child {
  readonly pageNo: number
  readonly sumLow: number
  readonly sumHigh: number
  readonly lowKey: Buffer | undefined
  readonly highKey: Buffer | undefined
}

/**
 * Checks one durable state against the file, past all caches: reads its freelist, and from the
 * standard level on every page it reaches. Every page of the file must be exactly one of: meta page,
 * part of the tree, part of the freelist, available, pending.
 */
export class FileVerifier {
  readonly #file: DataFile
  readonly #content: PageContent
  readonly #progress: Progress
  readonly #meta: MetaPage
  readonly #level: VerifyLevel
  readonly #findings: Finding[] = []
  /** Pages of the tree and its extents. */
  readonly #used: PageBitmap
  #entries = 0
  /** Damage hides what lies below it: leaks and counts cannot be told then. */
  #complete = true
  #pagesRead = 0

  constructor(
    file: DataFile,
    content: PageContent,
    meta: MetaPage,
    level: VerifyLevel,
    progress: Progress
  ) {
    this.#file = file
    this.#content = content
    this.#meta = meta
    this.#level = level
    this.#progress = progress
    this.#used = new PageBitmap(meta.pageCount)
  }

  async run(): Promise<Finding[]> {
    const { pageCount, rootPage } = this.#meta
    if (this.#file.pageCount < pageCount) {
      const found = this.#file.pageCount
      this.#report('file-too-short', found, `the file has ${found} of ${pageCount} pages`)
    }
    const free = await this.#readFreelist()
    if (this.#level === 'basic') return this.#findings
    if (rootPage !== 0) {
      const { rootSumLow: sumLow, rootSumHigh: sumHigh, height } = this.#meta
      const root = { pageNo: rootPage, sumLow, sumHigh, lowKey: undefined, highKey: undefined }
      await this.#visitAll([root], height - 1)
    }
    if (free !== undefined) this.#checkPartition(free)
    if (this.#complete && this.#entries !== this.#meta.entries) {
      const message = `the tree has ${this.#entries} entries, its meta page says ${this.#meta.entries}`
      this.#report('entry-count', this.#meta.slot, message)
    }
    return this.#findings
  }

  /** Pages that the freelist accounts for, its own included. */
  async #readFreelist(): Promise<PageBitmap | undefined> {
    try {
      const { pages, available, pending } = await readFreelist(this.#file, this.#meta)
      const free = new PageBitmap(this.#meta.pageCount)
      for (const pageNo of pages) free.add(pageNo)
      for (const ranges of [available, pending]) {
        for (let i = 0; i < ranges.length; i += 2) {
          for (let k = 0; k < ranges[i + 1]; k++) free.add(ranges[i] + k)
        }
      }
      return free
    } catch (error) {
      this.#reportError('freelist-damaged', this.#meta.freelistPage, error, undefined)
      return undefined
    }
  }

  /** Visits sibling subtrees in key order, reading the roots of several ahead. */
  async #visitAll(children: readonly Child[], level: number): Promise<void> {
    const { pageBytes } = this.#file
    for (let first = 0; first < children.length; first += readsInFlight) {
      this.#progress.signal?.throwIfAborted()
      const batch = children.slice(first, first + readsInFlight)
      const slab = new Slab(batch.length * pageBytes)
      const reads = batch.map((child, i) => this.#read(child, slab, i * pageBytes, level))
      const errors = await Promise.all(reads)
      this.#pagesRead += batch.length
      this.#progress.report(this.#pagesRead, this.#meta.pageCount, 'pages')
      for (const [i, child] of batch.entries()) {
        const error = errors[i]
        if (error === undefined) await this.#visit(child, slab, i * pageBytes, level)
        else this.#reportError('page-damaged', child.pageNo, error, child)
      }
    }
  }

  /** Reads a page and checks it on its own; resolves with what is wrong. */
  async #read(child: Child, slab: Slab, base: number, level: number): Promise<unknown> {
    const { pageNo, sumLow, sumHigh } = child
    if (pageNo < firstDataPage || pageNo >= this.#meta.pageCount) {
      return this.#file.corruption(pageNo, 'its parent refers to it, but the file is shorter')
    }
    const bytes = slab.u8.subarray(base, base + this.#file.pageBytes)
    try {
      await this.#file.readPage(bytes, pageNo)
    } catch (error) {
      return error
    }
    const reason =
      this.#file.checkPage(bytes, pageNo) ??
      checkTreePage(bytes, level, sumLow, sumHigh) ??
      this.#content.check(slab, base)
    return reason === undefined ? undefined : this.#file.corruption(pageNo, reason)
  }

  async #visit(child: Child, slab: Slab, base: number, level: number): Promise<void> {
    const { pageNo, lowKey, highKey } = child
    if (!this.#used.add(pageNo)) {
      this.#complete = false
      this.#report('page-used-twice', pageNo, 'two places of the tree refer to it', child)
      return
    }
    if (this.#level === 'comprehensive') {
      const reason = this.#content.checkDeep(slab, base, lowKey, highKey)
      if (reason !== undefined) this.#report('page-contents', pageNo, reason, child)
    }
    const extents: ExtentRef[] = []
    this.#content.eachExtent(slab, base, (ref) => extents.push(ref))
    for (const ref of extents) await this.#visitExtent(ref, child)
    if (level === 0) this.#entries += this.#content.entryCount(slab, base)
    else await this.#visitAll(this.#childrenOf(slab, base, child), level - 1)
  }

  #childrenOf(slab: Slab, base: number, parent: Child): Child[] {
    const children: { -readonly [K in keyof Child]: Child[K] }[] = []
    this.#content.eachChild(slab, base, (pageNo, sumLow, sumHigh, separator) => {
      const previous = children.at(-1)
      const lowKey = previous === undefined ? parent.lowKey : separator?.low
      if (previous !== undefined) previous.highKey = separator?.high
      children.push({ pageNo, sumLow, sumHigh, lowKey, highKey: parent.highKey })
    })
    return children
  }

  async #visitExtent(ref: ExtentRef, owner: Child): Promise<void> {
    const { page, sizeBytes } = ref
    const count = extentPages(sizeBytes, this.#file.pageBytes)
    if (page < firstDataPage || page + count > this.#meta.pageCount) {
      const message = `an overflow extent of ${sizeBytes} bytes lies beyond the file`
      this.#report('extent-damaged', page, message, owner)
      return
    }
    for (let pageNo = page; pageNo < page + count; pageNo++) {
      if (this.#used.add(pageNo)) continue
      this.#complete = false
      this.#report('page-used-twice', pageNo, 'an overflow extent and something else use it', owner)
    }
    try {
      const extent = Buffer.allocUnsafeSlow(extentHeaderBytes + sizeBytes)
      const read = await this.#file.read(extent, page)
      const reason =
        read < extent.length
          ? 'the file ends inside an overflow extent'
          : checkExtent(this.#file, extent, page, ref.sumLow, ref.sumHigh)
      if (reason !== undefined) this.#report('extent-damaged', page, reason, owner)
    } catch (error) {
      this.#reportError('extent-damaged', page, error, owner)
    }
  }

  /** Every page is used or free, and none is both. */
  #checkPartition(free: PageBitmap): void {
    for (let pageNo = this.#used.next(0); pageNo !== -1; pageNo = this.#used.next(pageNo + 1)) {
      if (!free.has(pageNo)) continue
      this.#report('page-free-but-used', pageNo, 'the tree uses it and the freelist offers it')
    }
    if (!this.#complete) return
    for (let pageNo = firstDataPage; pageNo < this.#meta.pageCount; pageNo++) {
      if (this.#used.has(pageNo) || free.has(pageNo)) continue
      const message = `page ${pageNo} is neither used nor free; compacting gets its space back`
      this.#add('warning', 'page-leaked', pageNo, message, undefined)
    }
  }

  #report(kind: string, pageNo: number, reason: string, owner?: Child): void {
    this.#add('error', kind, pageNo, `page ${pageNo}: ${reason}`, owner)
  }

  #reportError(kind: string, pageNo: number, error: unknown, owner: Child | undefined): void {
    if (!(error instanceof KintsugiError)) throw error
    this.#complete = false
    this.#add('error', kind, pageNo, error.message, owner)
  }

  #add(
    severity: Finding['severity'],
    kind: string,
    page: number,
    message: string,
    owner: Child | undefined
  ): void {
    this.#findings.push({
      severity,
      kind,
      message,
      path: this.#file.path,
      page,
      offset: page * this.#file.pageBytes,
      ...(owner?.lowKey && { lowKey: owner.lowKey }),
      ...(owner?.highKey && { highKey: owner.highKey })
    })
  }
}
