import type { Checksum } from '../../codec/checksum.js'
import { KintsugiError } from '../../errors.js'
import type { Vfs, VfsFile } from '../../vfs/vfs.js'
import { DataFile } from './data-file.js'
import {
  dataFileName,
  firstDataPage,
  maxPageBytes,
  maxTimelines,
  metaBytes,
  minPageBytes
} from './format.js'
import { readFreelist, type StoredFreelist } from './freelist-pages.js'
import { Freelist } from './freelist.js'
import { MetaSlots, newestFirst } from './meta-slots.js'
import { decodeMeta, type AbandonedTimeline, type DecodedMeta, type MetaPage } from './meta.js'
import { checkTreePage } from './page-check.js'
import type { PageContent } from './page-content.js'

export interface PagerOptions {
  readonly vfs: Vfs
  readonly directory: string
  readonly storeId: Uint8Array
  readonly checksum: Checksum
  readonly content: PageContent
  /** Only for a new file; an existing file says its own. */
  readonly pageBytes: number
  /** Budget for clean pages and cached extents. */
  readonly cacheBytes: number
  /** Granularity in which memory is taken; 4 MiB unless a test wants less. */
  readonly slabBytes: number
  readonly epoch: number
  readonly readOnly: boolean
}

/** What opening found. */
export interface OpenedFile {
  readonly file: DataFile
  readonly meta: MetaPage
  readonly slots: MetaSlots
  readonly freelist: Freelist
  /** Pages of the freelist itself. */
  readonly freelistPages: readonly number[]
  readonly abandoned: readonly AbandonedTimeline[]
  readonly lastPersistNo: number
  /** What opening had to do or leave out, for the recovery summary. */
  readonly notes: readonly string[]
}

/** Makes the file of an empty tree; durable, its directory entry included, when it resolves. */
export async function createDataFile(options: PagerOptions): Promise<OpenedFile> {
  const { vfs, directory, checksum, storeId, epoch, pageBytes } = options
  const vfsFile = await vfs.open(`${directory}/${dataFileName}`, 'create')
  try {
    await vfsFile.allocate(firstDataPage * pageBytes)
    const file = new DataFile(vfsFile, pageBytes, checksum, storeId)
    const empty = emptyMeta(pageBytes, epoch)
    const slots = new MetaSlots(file, storeId, checksum, empty, undefined)
    await slots.rewriteNewest()
    await slots.publish({ ...empty, persistNo: 2 })
    await vfs.syncDirectory(directory)
    const meta = slots.newest
    const freelist = new Freelist()
    return {
      file,
      meta,
      slots,
      freelist,
      freelistPages: [],
      abandoned: [],
      lastPersistNo: meta.persistNo,
      notes: []
    }
  } catch (error) {
    await vfsFile.close()
    throw error
  }
}

/** Opens the file at the newest state that can be read. */
export async function openDataFile(options: PagerOptions): Promise<OpenedFile> {
  const { vfs, directory, readOnly } = options
  const path = `${directory}/${dataFileName}`
  const vfsFile = await vfs.open(path, readOnly ? 'read' : 'readwrite')
  try {
    return await open(options, vfsFile)
  } catch (error) {
    await vfsFile.close()
    throw error
  }
}

async function open(options: PagerOptions, vfsFile: VfsFile): Promise<OpenedFile> {
  const { storeId, checksum, epoch, readOnly } = options
  const decoded = await readMetas(vfsFile, options)
  const metas = newestFirst(decoded.flatMap((slot) => (slot.kind === 'valid' ? [slot.meta] : [])))
  const notes = decoded.flatMap((slot, index) =>
    slot.kind === 'valid' ? [] : [`meta page ${index} of ${vfsFile.path}: ${slot.reason}`]
  )
  if (metas.length === 0) throw unreadable(vfsFile.path, notes)
  const file = new DataFile(vfsFile, metas[0].pageBytes, checksum, storeId)
  const chosen = await choose(file, metas, notes)
  const { meta, stored } = chosen
  const other = metas.find(
    (candidate) => candidate !== meta && !chosen.unusable.includes(candidate)
  )
  const abandoned = abandonedSince(meta, chosen.unusable, epoch)
  const slots = new MetaSlots(file, storeId, checksum, meta, other)
  let lastPersistNo = Math.max(...metas.map((candidate) => candidate.persistNo))
  // What was read may not be durable, even behind a clean close, which a failed persist is part of.
  if (!readOnly) await slots.rewriteNewest()
  if (!readOnly && other === undefined) {
    // The other slot may yet come back with a state whose pages are about to be reused: overwrite
    // it first. A number is skipped, because a torn one may have carried the next.
    lastPersistNo += 2
    const newestEpoch = metas[0].epoch
    await slots.publish({ ...meta, epoch: newestEpoch, persistNo: lastPersistNo, abandoned })
  }
  const freelist = new Freelist()
  freelist.restore(meta.pageCount, stored.available, stored.pending, meta.persistNo)
  freelist.reclaim(slots.oldestPersistNo, () => {})
  return {
    file,
    meta,
    slots,
    freelist,
    freelistPages: stored.pages,
    abandoned,
    lastPersistNo,
    notes
  }
}

/** Both slots; where the first is unreadable, the second is looked for at every page size. */
async function readMetas(file: VfsFile, options: PagerOptions): Promise<DecodedMeta[]> {
  const { storeId, checksum } = options
  const read = async (slot: 0 | 1, position: number): Promise<DecodedMeta> => {
    const bytes = Buffer.alloc(metaBytes)
    const count = await file.read(bytes, position)
    return decodeMeta(bytes.subarray(0, count), slot, storeId, checksum)
  }
  const first = await read(0, 0)
  let second: DecodedMeta | undefined
  for (let pageBytes = minPageBytes; pageBytes <= maxPageBytes; pageBytes *= 2) {
    if (first.kind === 'valid' && first.meta.pageBytes !== pageBytes) continue
    const found = await read(1, pageBytes)
    if (found.kind === 'valid' && found.meta.pageBytes !== pageBytes) continue
    if (second === undefined || second.kind === 'absent' || found.kind === 'valid') second = found
    if (found.kind === 'valid') break
  }
  const both = [first, second!]
  for (const [slot, meta] of both.entries()) {
    if (meta.kind !== 'newer') continue
    throw new KintsugiError(
      'KINTSUGI_UNSUPPORTED_VERSION',
      `meta page ${slot} of ${file.path} has ${meta.reason}, which this version does not know; ` +
        'open the store with the version that wrote it',
      { path: file.path, page: slot }
    )
  }
  return both
}

interface Choice {
  readonly meta: MetaPage
  readonly stored: StoredFreelist
  /** Newer metas whose root or freelist is damaged. */
  readonly unusable: readonly MetaPage[]
}

/** The newest meta whose root and freelist verify; the log has all that an older one lacks. */
async function choose(
  file: DataFile,
  metas: readonly MetaPage[],
  notes: string[]
): Promise<Choice> {
  const unusable: MetaPage[] = []
  let firstError: unknown
  for (const meta of metas) {
    try {
      if (file.pageCount < meta.pageCount) {
        throw file.corruption(file.pageCount, `the file should have ${meta.pageCount} pages`)
      }
      await checkRoot(file, meta)
      return { meta, stored: await readFreelist(file, meta), unusable }
    } catch (error) {
      if (!(error instanceof KintsugiError) || error.code !== 'KINTSUGI_CORRUPTION') throw error
      firstError ??= error
      unusable.push(meta)
      notes.push(`state of persist ${meta.persistNo} left out: ${error.message}`)
    }
  }
  throw firstError
}

async function checkRoot(file: DataFile, meta: MetaPage): Promise<void> {
  if (meta.rootPage === 0) return
  const bytes = Buffer.alloc(file.pageBytes)
  await file.readPage(bytes, meta.rootPage)
  const reason =
    file.checkPage(bytes, meta.rootPage) ??
    checkTreePage(bytes, meta.height - 1, meta.rootSumLow, meta.rootSumHigh)
  if (reason !== undefined) throw file.corruption(meta.rootPage, reason)
}

/** What no state to come builds on (rule B5); the oldest entries give way when there are too many. */
function abandonedSince(
  chosen: MetaPage,
  unusable: readonly MetaPage[],
  epoch: number
): readonly AbandonedTimeline[] {
  const list = [...chosen.abandoned]
  for (const { epoch: lost, persistNo } of unusable) {
    const firstPersistNo = lost === chosen.epoch ? chosen.persistNo + 1 : 0
    list.push({ epoch: lost, firstPersistNo, lastPersistNo: persistNo })
  }
  if (epoch > chosen.epoch) {
    const firstPersistNo = chosen.persistNo + 1
    list.push({ epoch: chosen.epoch, firstPersistNo, lastPersistNo: Number.MAX_SAFE_INTEGER })
  }
  return list.slice(-maxTimelines)
}

function emptyMeta(pageBytes: number, epoch: number): MetaPage {
  return {
    slot: 0,
    pageBytes,
    epoch,
    persistNo: 1,
    rootPage: 0,
    height: 0,
    rootSumLow: 0,
    rootSumHigh: 0,
    entries: 0,
    appliedSeq: 0,
    freelistPage: 0,
    freelistPageCount: 0,
    freelistSumLow: 0,
    freelistSumHigh: 0,
    pageCount: firstDataPage,
    abandoned: []
  }
}

function unreadable(path: string, notes: readonly string[]): KintsugiError {
  return new KintsugiError(
    'KINTSUGI_CORRUPTION',
    `neither meta page can be read (${notes.join('; ')}); salvage the file into a new one`,
    { path, page: 0, offset: 0 }
  )
}
