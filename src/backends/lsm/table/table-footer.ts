import { readLong, writeLong } from '../../../base/words.js'
import type { Checksum } from '../../../codec/checksum.js'
import { KintsugiError } from '../../../errors.js'
import { compareBytes } from '../../../base/bytes.js'
import { isBelow } from '../../../memtable/key-span.js'
import type { TableJob, TableMeta } from '../table-meta.js'
import {
  blockAlignment,
  blockHeaderBytes,
  Footer,
  footerBytes,
  footerMagic,
  formatVersion,
  maxIndexLevels,
  maxKeyBytes,
  packedHeaderBytes
} from './format.js'
import { readHandle, writeHandle } from './table-output.js'
import type { BlockHandle } from './table-output.js'

/** What a table's footer says, apart from what stands in its properties block. */
export interface TableFooter {
  readonly storeId: Uint8Array
  readonly number: number
  readonly level: number
  readonly blockBytes: number
  /** Everything before the footer, and its checksum. */
  readonly contentBytes: number
  readonly contentSumLow: number
  readonly contentSumHigh: number
  readonly minSeq: number
  readonly maxSeq: number
  readonly entries: number
  readonly deletes: number
  readonly rawBytes: number
  readonly rangeTombstones: number
  /** Keys, however many versions they have. */
  readonly keys: number
  readonly blockCount: number
  readonly indexLevels: number
  /** Without bytes: there is none. */
  readonly root: BlockHandle
  readonly filter: BlockHandle
  readonly tombstones: BlockHandle
  readonly properties: BlockHandle
}

/** What a table's properties block says. */
export interface TableProperties {
  readonly low: Uint8Array
  readonly high: Uint8Array | undefined
  readonly job: TableJob
}

export interface SealedFooter extends TableFooter {
  readonly sumLow: number
  readonly sumHigh: number
}

export function encodeFooter(footer: TableFooter, checksum: Checksum): Buffer {
  const bytes = Buffer.alloc(footerBytes)
  bytes.set(footer.storeId, Footer.storeId)
  writeLong(bytes, Footer.number, footer.number)
  bytes.writeUInt32LE(footer.level, Footer.level)
  bytes.writeUInt32LE(footer.blockBytes, Footer.blockBytes)
  writeLong(bytes, Footer.contentBytes, footer.contentBytes)
  bytes.writeUInt32LE(footer.contentSumLow, Footer.contentSum)
  bytes.writeUInt32LE(footer.contentSumHigh, Footer.contentSum + 4)
  writeLong(bytes, Footer.minSeq, footer.minSeq)
  writeLong(bytes, Footer.maxSeq, footer.maxSeq)
  writeLong(bytes, Footer.entries, footer.entries)
  writeLong(bytes, Footer.deletes, footer.deletes)
  writeLong(bytes, Footer.rawBytes, footer.rawBytes)
  writeLong(bytes, Footer.rangeTombstones, footer.rangeTombstones)
  writeLong(bytes, Footer.keys, footer.keys)
  bytes.writeUInt32LE(footer.blockCount, Footer.blockCount)
  bytes.writeUInt32LE(footer.indexLevels, Footer.indexLevels)
  writeHandle(bytes, Footer.root, footer.root)
  writeHandle(bytes, Footer.filter, footer.filter)
  writeHandle(bytes, Footer.tombstones, footer.tombstones)
  writeHandle(bytes, Footer.properties, footer.properties)
  bytes.writeUInt32LE(formatVersion, Footer.version)
  bytes.writeUInt32LE(footerBytes, Footer.footerBytes)
  bytes.set(footerMagic, Footer.magic)
  sumFooter(bytes, footer.storeId, checksum)
  bytes.writeUInt32LE(checksum.low, Footer.sum)
  bytes.writeUInt32LE(checksum.high, Footer.sum + 4)
  return bytes
}

/** The last bytes of a file of `sizeBytes`. Throws CORRUPTION or UNSUPPORTED_VERSION. */
export function decodeFooter(
  bytes: Buffer,
  sizeBytes: number,
  path: string,
  checksum: Checksum
): SealedFooter {
  const at = sizeBytes - footerBytes
  if (bytes.length !== footerBytes || at < 0) {
    throw badFooter(path, Math.max(0, at), `it has ${sizeBytes} bytes, too few for a table`)
  }
  if (compareBytes(bytes.subarray(Footer.magic), footerMagic) !== 0) {
    throw badFooter(path, at, 'it does not end like a table')
  }
  const storeId = Buffer.from(bytes.subarray(Footer.storeId, Footer.number))
  sumFooter(bytes, storeId, checksum)
  const sumLow = bytes.readUInt32LE(Footer.sum)
  const sumHigh = bytes.readUInt32LE(Footer.sum + 4)
  if (sumLow !== checksum.low || sumHigh !== checksum.high) {
    throw badFooter(path, at, 'the checksum of its footer does not match')
  }
  // The places of store id, checksum and version stay the same in every version.
  const version = bytes.readUInt32LE(Footer.version)
  if (version !== formatVersion) {
    throw new KintsugiError(
      'KINTSUGI_UNSUPPORTED_VERSION',
      `the table ${path} has format version ${version}, this release reads ${formatVersion}; ` +
        'open the store with the release that wrote it',
      { path, offset: at }
    )
  }
  const footer: SealedFooter = {
    storeId,
    number: readLong(bytes, Footer.number),
    level: bytes.readUInt32LE(Footer.level),
    blockBytes: bytes.readUInt32LE(Footer.blockBytes),
    contentBytes: readLong(bytes, Footer.contentBytes),
    contentSumLow: bytes.readUInt32LE(Footer.contentSum),
    contentSumHigh: bytes.readUInt32LE(Footer.contentSum + 4),
    minSeq: readLong(bytes, Footer.minSeq),
    maxSeq: readLong(bytes, Footer.maxSeq),
    entries: readLong(bytes, Footer.entries),
    deletes: readLong(bytes, Footer.deletes),
    rawBytes: readLong(bytes, Footer.rawBytes),
    rangeTombstones: readLong(bytes, Footer.rangeTombstones),
    keys: readLong(bytes, Footer.keys),
    blockCount: bytes.readUInt32LE(Footer.blockCount),
    indexLevels: bytes.readUInt32LE(Footer.indexLevels),
    root: readHandle(bytes, Footer.root),
    filter: readHandle(bytes, Footer.filter),
    tombstones: readHandle(bytes, Footer.tombstones),
    properties: readHandle(bytes, Footer.properties),
    sumLow,
    sumHigh
  }
  if (footer.contentBytes !== at) {
    throw badFooter(path, at, `it was ${footer.contentBytes + footerBytes} bytes long when written`)
  }
  const wrong = checkFields(footer, bytes)
  if (wrong !== undefined) throw badFooter(path, at, wrong)
  return footer
}

/** Throws CORRUPTION where a file is a table, but not the one it is taken for. */
export function checkIdentity(
  footer: SealedFooter,
  path: string,
  storeId: Uint8Array,
  number: number | undefined,
  meta: TableMeta | undefined
): void {
  const offset = footer.contentBytes
  if (compareBytes(footer.storeId, storeId) !== 0) {
    throw badFooter(path, offset, 'it is foreign: it belongs to another store')
  }
  if (number !== undefined && footer.number !== number) {
    throw badFooter(path, offset, `it is misplaced: it is table ${footer.number}`)
  }
  if (meta === undefined) return
  const isSame = footer.sumLow === meta.sumLow && footer.sumHigh === meta.sumHigh
  if (!isSame || footer.contentBytes + footerBytes !== meta.sizeBytes) {
    throw badFooter(path, offset, 'it is stale: another table of this number is the recorded one')
  }
}

export function encodeProperties({ low, high, job }: TableProperties): Buffer {
  const bytes = Buffer.alloc(24 + 8 * job.inputs.length + low.length + (high?.length ?? 0))
  bytes.writeUInt32LE(low.length, 0)
  bytes.writeUInt32LE(high === undefined ? 0xffff_ffff : high.length, 4)
  bytes.writeUInt32LE(Number(job.isLast), 8)
  bytes.writeUInt32LE(job.inputs.length, 12)
  writeLong(bytes, 16, job.firstOutput)
  let at = 24
  for (const input of job.inputs) {
    writeLong(bytes, at, input)
    at += 8
  }
  bytes.set(low, at)
  if (high !== undefined) bytes.set(high, at + low.length)
  return bytes
}

/** A message where the bytes are no properties. */
export function decodeProperties(bytes: Buffer): TableProperties | string {
  if (bytes.length < 24) return 'the properties end inside their header'
  const lowBytes = bytes.readUInt32LE(0)
  const highField = bytes.readUInt32LE(4)
  const isLast = bytes.readUInt32LE(8)
  const inputCount = bytes.readUInt32LE(12)
  const firstOutput = readLong(bytes, 16)
  const highBytes = highField === 0xffff_ffff ? 0 : highField
  const lowAt = 24 + 8 * inputCount
  if (lowBytes > maxKeyBytes + 1 || highBytes > maxKeyBytes + 1 || isLast > 1) {
    return 'the properties make no sense'
  }
  if (lowAt + lowBytes + highBytes !== bytes.length) return 'the properties have another length'
  if (!Number.isSafeInteger(firstOutput)) return 'the properties name an impossible table'
  const inputs: number[] = []
  for (let at = 24; at < lowAt; at += 8) {
    const input = readLong(bytes, at)
    if (!Number.isSafeInteger(input)) return 'the properties name an impossible table'
    inputs.push(input)
  }
  const low = Buffer.from(bytes.subarray(lowAt, lowAt + lowBytes))
  const high = highField === 0xffff_ffff ? undefined : Buffer.from(bytes.subarray(lowAt + lowBytes))
  if (!isBelow(low, high)) return 'the properties say that it spans nothing'
  return { low, high, job: { firstOutput, isLast: isLast === 1, inputs } }
}

export function metaOf(footer: SealedFooter, properties: TableProperties): TableMeta {
  const { number, level, sumLow, sumHigh, minSeq, maxSeq } = footer
  const { entries, deletes, rangeTombstones, rawBytes } = footer
  return {
    number,
    level,
    sizeBytes: footer.contentBytes + footerBytes,
    sumLow,
    sumHigh,
    minSeq,
    maxSeq,
    entries,
    deletes,
    rangeTombstones,
    rawBytes,
    ...properties
  }
}

function sumFooter(bytes: Buffer, storeId: Uint8Array, checksum: Checksum): void {
  checksum.hash(storeId, 0, 0)
  checksum.hash(bytes.subarray(Footer.storeId), checksum.low, checksum.high)
}

function checkFields(footer: SealedFooter, bytes: Buffer): string | undefined {
  for (const at of [24, 40, 56, 64, 72, 80, 88, 96, 104]) {
    if (!Number.isSafeInteger(readLong(bytes, at))) return 'its footer has impossible numbers'
  }
  for (let at: number = Footer.reserved; at < Footer.version; at++) {
    if (bytes[at] !== 0) return 'its footer uses reserved bytes'
  }
  const { blockBytes, indexLevels, contentBytes } = footer
  if (![1, 2, 4, 8, 16, 32].some((size) => blockBytes === size * 1024)) {
    return `it has blocks of ${blockBytes} bytes`
  }
  if (indexLevels > maxIndexLevels) return `it has ${indexLevels} levels of index`
  for (const handle of [footer.root, footer.filter, footer.tombstones, footer.properties]) {
    if (handle.bytes !== 0 && !isWithin(handle, contentBytes)) return 'a block lies outside of it'
  }
  const { root, blockCount, properties } = footer
  if (properties.bytes === 0) return 'it has no properties'
  if ((root.bytes === 0) !== (blockCount === 0)) return 'it has no root, or a root without blocks'
  if (blockCount * (blockHeaderBytes + packedHeaderBytes) > contentBytes) {
    return `it cannot have ${blockCount} blocks`
  }
  if (root.bytes !== 0 && (root.block !== blockCount - 1 || indexLevels >= blockCount)) {
    return 'its root is not the last block'
  }
  return undefined
}

/** True where the block has a header and lies before the footer. */
export function isWithin(handle: BlockHandle, contentBytes: number): boolean {
  const end = handle.units * blockAlignment + handle.bytes
  return handle.bytes >= blockHeaderBytes && end <= contentBytes
}

function badFooter(path: string, offset: number, reason: string): KintsugiError {
  return new KintsugiError(
    'KINTSUGI_CORRUPTION',
    `the table ${path} cannot be used: ${reason}; the rest keeps working, ` +
      'run a verification and restore or repair what it names',
    { path, offset }
  )
}
