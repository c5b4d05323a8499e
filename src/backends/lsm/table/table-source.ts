import { decompressBlock } from '../../../codec/compression.js'
import type { Checksum } from '../../../codec/checksum.js'
import type { KintsugiError } from '../../../errors.js'
import type { Vfs, VfsFile } from '../../../vfs/vfs.js'
import { RangeTombstones } from '../../../memtable/range-tombstones.js'
import type { TableMeta } from '../table-meta.js'
import { BlockDecoder } from './block-decoder.js'
import { BlockSeal } from './block-seal.js'
import {
  blockAlignment,
  BlockHeader,
  blockHeaderBytes,
  BlockKind,
  footerBytes,
  handleBytes,
  maxPackedBytes,
  maxValueBytes
} from './format.js'
import { checkIdentity, decodeFooter, decodeProperties, isWithin, metaOf } from './table-footer.js'
import type { SealedFooter } from './table-footer.js'
import { readHandle } from './table-output.js'
import type { BlockHandle } from './table-output.js'

/** What reading a table takes. */
export interface TableContext {
  readonly storeId: Uint8Array
  readonly checksum: Checksum
}

/** What readers are told to fetch: so that one description serves waiting and not waiting. */
export interface ReadRequest {
  readonly position: number
  readonly length: number
}
export type ReadSteps<T> = Generator<ReadRequest, T, Buffer>

/** The data blocks of a table in key order. */
export interface DataBlocks {
  readonly handles: readonly BlockHandle[]
  /** Nothing in the block lies before its separator. */
  readonly separators: readonly Buffer[]
}

/** Carries out the steps without blocking the thread. What it hands over may be shorter than asked. */
export async function runSteps<T>(
  steps: ReadSteps<T>,
  read: (target: Buffer, position: number) => Promise<number>
): Promise<T> {
  let step = steps.next()
  while (step.done !== true) {
    const target = Buffer.allocUnsafeSlow(step.value.length)
    const count = await read(target, step.value.position)
    step = steps.next(target.subarray(0, count))
  }
  return step.value
}

export function runStepsSync<T>(
  steps: ReadSteps<T>,
  read: (target: Buffer, position: number) => number
): T {
  let step = steps.next()
  while (step.done !== true) {
    const target = Buffer.allocUnsafeSlow(step.value.length)
    const count = read(target, step.value.position)
    step = steps.next(target.subarray(0, count))
  }
  return step.value
}

/** Reads and checks the footer of a file. */
export function* footerSteps(
  path: string,
  sizeBytes: number,
  { storeId, checksum }: TableContext,
  number: number | undefined,
  meta: TableMeta | undefined
): ReadSteps<SealedFooter> {
  const position = Math.max(0, sizeBytes - footerBytes)
  const bytes = yield { position, length: Math.min(sizeBytes, footerBytes) }
  const footer = decodeFooter(bytes, sizeBytes, path, checksum)
  checkIdentity(footer, path, storeId, number, meta)
  return footer
}

/** Most bytes that the contents of a block can have; more is damage. */
function maxContentBytes(kind: number, footer: SealedFooter): number {
  if (kind === BlockKind.data || kind === BlockKind.index) return maxPackedBytes(footer.blockBytes)
  return kind === BlockKind.largeValue ? maxValueBytes : 2 ** 32
}

/** Makes the error for a damaged block. */
export type BlockFailure = (handle: BlockHandle, reason: string, cause?: unknown) => KintsugiError

/** The contents of a block that was read; throws what `fail` makes. */
export function openBlock(
  block: Buffer,
  seal: BlockSeal,
  handle: BlockHandle,
  kind: number,
  level: number,
  footer: SealedFooter,
  fail: BlockFailure
): Buffer {
  const wrong =
    block.length === handle.bytes
      ? seal.check(block, handle.units, kind, level)
      : 'the file ends inside it'
  if (wrong !== undefined) throw fail(handle, wrong)
  const rawBytes = block.readUInt32LE(BlockHeader.rawBytes)
  if (rawBytes > maxContentBytes(kind, footer)) throw fail(handle, `it says ${rawBytes} bytes`)
  const compression = block[BlockHeader.compression]
  try {
    return decompressBlock(compression, block.subarray(blockHeaderBytes), rawBytes)
  } catch (error) {
    throw fail(handle, error instanceof Error ? error.message : 'it does not decompress', error)
  }
}

/** Reads and opens a block. */
export function* blockSteps(
  seal: BlockSeal,
  handle: BlockHandle,
  kind: number,
  level: number,
  footer: SealedFooter
): ReadSteps<Buffer> {
  if (!isWithin(handle, footer.contentBytes)) {
    throw seal.corruption(handle.units, 'something refers to it though the file is shorter')
  }
  const block = yield { position: handle.units * blockAlignment, length: handle.bytes }
  return openBlock(block, seal, handle, kind, level, footer, ({ units }, reason, cause) =>
    seal.corruption(units, reason, undefined, undefined, cause)
  )
}

export function* propertiesSteps(seal: BlockSeal, footer: SealedFooter): ReadSteps<TableMeta> {
  const bytes = yield* blockSteps(seal, footer.properties, BlockKind.properties, 0, footer)
  const properties = decodeProperties(bytes)
  if (typeof properties === 'string') throw seal.corruption(footer.properties.units, properties)
  return metaOf(footer, properties)
}

export function* tombstoneSteps(seal: BlockSeal, footer: SealedFooter): ReadSteps<RangeTombstones> {
  const { tombstones } = footer
  if (tombstones.bytes === 0) return new RangeTombstones()
  const bytes = yield* blockSteps(seal, tombstones, BlockKind.rangeTombstones, 0, footer)
  try {
    return RangeTombstones.decode(bytes)
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'malformed range tombstones'
    throw seal.corruption(tombstones.units, reason, undefined, undefined, error)
  }
}

/** Reads the whole index. */
export function* indexSteps(
  seal: BlockSeal,
  footer: SealedFooter,
  decoder: BlockDecoder
): ReadSteps<DataBlocks> {
  let handles = footer.root.bytes === 0 ? [] : [footer.root]
  let separators: Buffer[] = handles.map(() => Buffer.alloc(0))
  for (let level = footer.indexLevels; level > 0; level--) {
    const children: BlockHandle[] = []
    const keys: Buffer[] = []
    for (const handle of handles) {
      const packed = yield* blockSteps(seal, handle, BlockKind.index, level, footer)
      decoder.begin(packed)
      while (decoder.nextKey()) {
        const child = childOf(decoder)
        if (child === undefined || child.block >= footer.blockCount) {
          throw seal.corruption(handle.units, 'it refers to a block that cannot be')
        }
        if (children.length >= footer.blockCount) {
          throw seal.corruption(handle.units, 'it refers to more blocks than there are')
        }
        children.push(child)
        keys.push(Buffer.from(decoder.key.subarray(0, decoder.keyBytes)))
      }
      if (decoder.problem !== undefined) throw seal.corruption(handle.units, decoder.problem)
    }
    handles = children
    separators = keys
  }
  return { handles, separators }
}

/** The child that an index entry refers to. */
export function childOf({
  kind,
  hasOlder,
  bytes,
  start,
  end
}: BlockDecoder): BlockHandle | undefined {
  if (kind !== 1 || hasOlder || end - start !== handleBytes) return undefined
  return readHandle(bytes, start)
}

/** A table file that is open and whose footer has been checked. */
export interface OpenedTable {
  readonly file: VfsFile
  readonly seal: BlockSeal
  readonly footer: SealedFooter
  readonly meta: TableMeta
}

/** Opens a table; whoever calls closes its file. */
export async function openTable(
  vfs: Vfs,
  path: string,
  context: TableContext,
  number?: number,
  meta?: TableMeta
): Promise<OpenedTable> {
  const file = await vfs.open(path, 'read')
  try {
    const read = (target: Buffer, position: number): Promise<number> => file.read(target, position)
    const sizeBytes = file.sizeSync()
    const footer = await runSteps(footerSteps(path, sizeBytes, context, number, meta), read)
    const seal = new BlockSeal(path, footer.number, context.storeId, context.checksum)
    const own = await runSteps(propertiesSteps(seal, footer), read)
    return { file, seal, footer, meta: own }
  } catch (error) {
    await file.close()
    throw error
  }
}
