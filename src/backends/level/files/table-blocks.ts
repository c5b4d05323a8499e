import { successor } from '../../../memtable/key-span.js'
import type { VfsFile } from '../../../vfs/vfs.js'
import { BlockEntries } from './block-entries.js'
import { isBlockWhole, unpackBlock } from './block.js'
import { ByteReader, malformed } from './byte-reader.js'
import { blockTrailerBytes, keyTrailerBytes } from './format.js'
import { compareInternal, isSeparator, withoutTrailer } from './internal-key.js'
import { readFully } from './read-fully.js'
import { type BlockHandle, readHandle, readTableFooter, type TableFooter } from './table-footer.js'

/** A data block as the index of its table has it. */
export interface BlockPlace extends BlockHandle {
  /** No key of the block is behind it. */
  readonly indexKey: Buffer
}

/**
 * The data blocks of a table, by its index. Reads large pieces: `load` one block, and those behind
 * it are in memory as well, until the next load.
 */
export class TableBlocks {
  /** What is in memory, from `#windowStart` on. */
  #window: Buffer
  #windowStart = 0
  #windowBytes = 0

  private constructor(
    private readonly file: VfsFile,
    readonly footer: TableFooter,
    readonly places: readonly BlockPlace[],
    private readonly piece: Buffer
  ) {
    this.#window = piece
  }

  /**
   * `piece` is the memory to read into, the reader's alone. Throws CORRUPTION where footer or index
   * are damaged.
   */
  static async open(file: VfsFile, sizeBytes: number, piece: Buffer): Promise<TableBlocks> {
    const footer = await readTableFooter(file, sizeBytes)
    const index = await readBlock(file, footer.index)
    return new TableBlocks(file, footer, decodeIndex(index, footer), piece)
  }

  holds(i: number): boolean {
    const { offset, sizeBytes } = this.places[i]
    const start = offset - this.#windowStart
    return start >= 0 && start + sizeBytes + blockTrailerBytes <= this.#windowBytes
  }

  /** Reads a block, and as many behind it as a piece holds. */
  async load(i: number): Promise<void> {
    const { offset } = this.places[i]
    const { length } = this.piece
    let last = i
    while (last + 1 < this.places.length && this.#endOf(last + 1) - offset <= length) last++
    const wanted = this.#endOf(last) - offset
    this.#window = wanted <= length ? this.piece : Buffer.allocUnsafeSlow(wanted)
    this.#windowStart = offset
    this.#windowBytes = 0
    this.#windowBytes = await readFully(this.file, this.#window.subarray(0, wanted), offset)
  }

  /** A loaded block with its trailer; undefined where the file ends before. */
  raw(i: number): Buffer | undefined {
    if (!this.holds(i)) return undefined
    const { offset, sizeBytes } = this.places[i]
    const start = offset - this.#windowStart
    return this.#window.subarray(start, start + sizeBytes + blockTrailerBytes)
  }

  /** The stored keys that block `i` may hold, both bounds as spans have them. */
  boundsOf(i: number): { readonly low: Buffer | undefined; readonly high: Buffer } {
    const low = i === 0 ? undefined : withoutTrailer(this.places[i - 1].indexKey)
    const { indexKey } = this.places[i]
    const high = withoutTrailer(indexKey)
    return { low, high: isSeparator(indexKey) ? high : successor(high) }
  }

  #endOf(i: number): number {
    const { offset, sizeBytes } = this.places[i]
    return offset + sizeBytes + blockTrailerBytes
  }
}

/** Reads one block and unpacks it. Throws CORRUPTION where it is damaged. */
export async function readBlock(file: VfsFile, handle: BlockHandle): Promise<Buffer> {
  const block = Buffer.allocUnsafeSlow(handle.sizeBytes + blockTrailerBytes)
  const count = await readFully(file, block, handle.offset)
  if (count < block.length) throw malformed('it ends within a block')
  if (!isBlockWhole(block)) {
    throw malformed(`the checksum of the block at byte ${handle.offset} does not match`)
  }
  return unpackBlock(block)
}

function decodeIndex(index: Buffer, footer: TableFooter): BlockPlace[] {
  const places: BlockPlace[] = []
  const limit = footer.index.offset
  let end = 0
  const entries = new BlockEntries(index)
  while (entries.next()) {
    const { key } = entries
    if (key.length < keyTrailerBytes) throw malformed('its index has too short a key')
    const before = places.at(-1)
    if (before && compareInternal(before.indexKey, key) >= 0) {
      throw malformed('its index is out of order')
    }
    const handle = readHandle(new ByteReader(entries.value), limit)
    if (handle.offset < end) throw malformed('blocks of its index overlap')
    end = handle.offset + handle.sizeBytes + blockTrailerBytes
    places.push({ ...handle, indexKey: Buffer.from(key) })
  }
  return places
}
