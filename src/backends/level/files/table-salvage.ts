import { compareBytes } from '../../../base/bytes.js'
import { turn } from '../../../base/turn.js'
import { isCorruption } from '../../../errors.js'
import { successor } from '../../../memtable/key-span.js'
import type { VfsFile } from '../../../vfs/vfs.js'
import { type BlockBounds, checkBlock } from './block-order.js'
import { findBlockEnd } from './block-scan.js'
import { isBlockWhole, unpackBlock } from './block.js'
import { compareInternal, withoutTrailer } from './internal-key.js'
import { readFully } from './read-fully.js'
import { TableBlocks } from './table-blocks.js'
import type { LiveTable } from './version-edit.js'

/** A part of a table: a block's contents, or stored keys that are lost. */
export type TablePart =
  | { readonly contents: Buffer; readonly lost?: undefined }
  | { readonly contents?: undefined; readonly lost: LostPart }

export interface LostPart {
  /** Stored keys, itself included. */
  readonly low: Buffer
  /** Itself not included; undefined: the table's end is unknown. */
  readonly high: Buffer | undefined
  readonly offset: number
  readonly reason: string
}

/** What is known of a table beforehand. */
export type TableBounds = Partial<Pick<LiveTable, 'smallest' | 'largest' | 'sizeBytes'>>

const pieceBytes = 256 << 10
const noBytes = Buffer.alloc(0)

/**
 * Reads the data blocks of a table in order, each proven whole and in its place, and names the keys
 * of those that are not. Where the index is lost, blocks are found one behind the other by their
 * checksums, until one is damaged.
 */
export async function* readTableParts(
  file: VfsFile,
  bounds: TableBounds
): AsyncGenerator<TablePart, void, void> {
  const sizeBytes = Math.min(file.sizeSync(), bounds.sizeBytes ?? Infinity)
  let blocks: TableBlocks
  try {
    blocks = await TableBlocks.open(file, sizeBytes, Buffer.allocUnsafeSlow(pieceBytes))
  } catch (error) {
    if (!isCorruption(error)) throw error
    yield* scannedParts(file, sizeBytes, bounds, error.message)
    return
  }
  yield* indexedParts(blocks, bounds)
}

async function* indexedParts(
  blocks: TableBlocks,
  { smallest, largest }: TableBounds
): AsyncGenerator<TablePart, void, void> {
  const { places } = blocks
  /** The last entry of the block before, where that was sound. */
  let lastKey: Buffer | undefined
  for (const [i, { indexKey, offset }] of places.entries()) {
    if (!blocks.holds(i)) await blocks.load(i)
    const after = i === 0 ? undefined : places[i - 1].indexKey
    const to = i === places.length - 1 && largest ? lower(indexKey, largest) : indexKey
    const block = openBlock(blocks.raw(i), { after, first: i === 0 ? smallest : undefined, to })
    if (block.flaw === undefined) {
      lastKey = block.lastKey
      yield { contents: block.contents }
      continue
    }
    const { low, high } = blocks.boundsOf(i)
    const start = low ?? (smallest ? withoutTrailer(smallest) : noBytes)
    const from = lastKey ? higherBytes(start, successor(withoutTrailer(lastKey))) : start
    const end = largest ? lowerBytes(high, successor(withoutTrailer(largest))) : high
    lastKey = undefined
    // Older versions of the key before may be all that it had.
    yield { lost: { low: Buffer.from(from), high: end, offset, reason: block.flaw } }
  }
}

async function* scannedParts(
  file: VfsFile,
  sizeBytes: number,
  { smallest, largest }: TableBounds,
  reason: string
): AsyncGenerator<TablePart, void, void> {
  const bytes = Buffer.allocUnsafeSlow(sizeBytes)
  const window = bytes.subarray(0, await readFully(file, bytes, 0))
  let offset = 0
  let lastKey: Buffer | undefined
  const isComplete = (): boolean =>
    lastKey !== undefined && largest !== undefined && compareInternal(lastKey, largest) === 0
  while (!isComplete()) {
    const end = findBlockEnd(window, offset)
    if (end < 0) break
    const first = lastKey === undefined ? smallest : undefined
    const place = { after: lastKey, first, to: largest }
    const block = openBlock(window.subarray(offset, end), place)
    if (block.flaw !== undefined) break
    lastKey = block.lastKey
    yield { contents: block.contents }
    offset = end
    await turn()
  }
  if (isComplete()) return
  const start = smallest ? withoutTrailer(smallest) : noBytes
  const low = lastKey ? successor(withoutTrailer(lastKey)) : Buffer.from(start)
  const high = largest && successor(withoutTrailer(largest))
  if (high && compareBytes(low, high) >= 0) return
  yield { lost: { low, high, offset, reason } }
}

type OpenedBlock =
  | { readonly contents: Buffer; readonly lastKey: Buffer; readonly flaw?: undefined }
  | { readonly flaw: string }

/** Unpacks a block that is whole and has the keys it should; says otherwise why not. */
function openBlock(block: Buffer | undefined, bounds: BlockBounds): OpenedBlock {
  if (block === undefined) return { flaw: 'the file ends before' }
  if (!isBlockWhole(block)) return { flaw: 'the checksum of a block does not match' }
  try {
    const contents = unpackBlock(block)
    return { contents, lastKey: checkBlock(contents, bounds) }
  } catch (error) {
    if (!isCorruption(error)) throw error
    return { flaw: error.message }
  }
}

function lower(a: Buffer, b: Buffer): Buffer {
  return compareInternal(a, b) <= 0 ? a : b
}

function lowerBytes(a: Buffer, b: Buffer): Buffer {
  return compareBytes(a, b) <= 0 ? a : b
}

function higherBytes(a: Buffer, b: Buffer): Buffer {
  return compareBytes(a, b) >= 0 ? a : b
}
