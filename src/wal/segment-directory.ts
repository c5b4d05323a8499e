import type { Checksum } from '../codec/checksum.js'
import { isFileMissing } from '../errors.js'
import type { Vfs, VfsFile } from '../vfs/vfs.js'
import { segmentHeaderBytes, SegmentLink, segmentNumberOf } from './format.js'
import { decodeSegmentHeader, type SealedHeader } from './segment-header.js'

/** One file of the log's directory. Without a header it is a spare (rule W4). */
export interface SegmentEntry {
  readonly number: number
  readonly path: string
  readonly header: SealedHeader | undefined
  /** Why it is a spare. */
  readonly reason: string
}

/** What is needed to read a log. */
export interface LogSource {
  readonly vfs: Vfs
  readonly directory: string
  readonly storeId: Uint8Array
  readonly checksum: Checksum
}

/** The segments of a directory by number, and how they continue one another. */
export class SegmentDirectory {
  readonly entries: readonly SegmentEntry[]

  private constructor(entries: readonly SegmentEntry[]) {
    this.entries = entries
  }

  /**
   * Reads every header. An I/O error is an error and never taken for a spare. A file that is gone by
   * the time it is opened was a spare, renamed while an open log is inspected; one that is missed is
   * missed by whatever names it.
   */
  static async read(source: LogSource): Promise<SegmentDirectory> {
    const entries: SegmentEntry[] = []
    for (const name of await source.vfs.readdir(source.directory)) {
      const number = segmentNumberOf(name)
      if (number === undefined) continue
      const entry = await readEntry(source, number, `${source.directory}/${name}`)
      if (entry) entries.push(entry)
    }
    return new SegmentDirectory(entries.sort((a, b) => a.number - b.number))
  }

  get(number: number): SegmentEntry | undefined {
    return this.entries.find((entry) => entry.number === number)
  }

  /** The segment that ends this one by its header alone; of several the latest counts (F3). */
  voiderOf(number: number): SegmentEntry | undefined {
    return this.entries.findLast(
      ({ header }) => header?.link === SegmentLink.voiding && header.prevNumber === number
    )
  }

  /** Segments with a header and a higher number, in order. */
  after(number: number): SegmentEntry[] {
    return this.entries.filter((entry) => entry.header && entry.number > number)
  }

  get highestNumber(): number {
    return this.entries.at(-1)?.number ?? 0
  }

  get highestEpoch(): number {
    return this.entries.reduce((highest, { header }) => Math.max(highest, header?.epoch ?? 0), 0)
  }
}

async function readEntry(
  source: LogSource,
  number: number,
  path: string
): Promise<SegmentEntry | undefined> {
  const file = await openIfThere(source.vfs, path)
  if (!file) return undefined
  try {
    const bytes = Buffer.alloc(segmentHeaderBytes)
    const length = await file.read(bytes, 0)
    const decoded = decodeSegmentHeader(
      bytes.subarray(0, length),
      path,
      source.storeId,
      source.checksum
    )
    if (decoded.state === 'spare')
      return { number, path, header: undefined, reason: decoded.reason }
    const { header } = decoded
    if (header.number !== number) {
      return { number, path, header: undefined, reason: `its header says segment ${header.number}` }
    }
    return { number, path, header, reason: '' }
  } finally {
    await file.close()
  }
}

async function openIfThere(vfs: Vfs, path: string): Promise<VfsFile | undefined> {
  try {
    return await vfs.open(path, 'read')
  } catch (error) {
    if (isFileMissing(error)) return undefined
    throw error
  }
}
