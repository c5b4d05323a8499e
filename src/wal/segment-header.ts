import type { Checksum } from '../codec/checksum.js'
import { KintsugiError } from '../errors.js'
import { readU64, viewOf, writeU64 } from './bytes.js'
import {
  formatVersion,
  maxSegmentBytes,
  minSegmentBytes,
  SegmentField as Field,
  segmentHeaderBytes,
  SegmentLink,
  segmentMagic
} from './format.js'

/** What a segment says about itself. */
export interface SegmentHeader {
  readonly number: number
  readonly epoch: number
  readonly saltLow: number
  readonly saltHigh: number
  readonly sizeBytes: number
  readonly link: SegmentLink
  /** Where the log continues from; zeros for the first segment of a store. */
  readonly prevNumber: number
  readonly prevCut: number
  readonly prevChainLow: number
  readonly prevChainHigh: number
  /** Last complete commit before this segment. */
  readonly baseSeq: number
  /** Highest sequence number known synced when the header was made. */
  readonly syncedSeq: number
  readonly createdMs: number
}

/** A header together with what is derived from it. */
export interface SealedHeader extends SegmentHeader {
  /** The header's checksum: the chain value before the first frame. */
  readonly checksumLow: number
  readonly checksumHigh: number
  /** Seed of the frames' checksums; the frame's offset is mixed into the lower half. */
  readonly seedLow: number
  readonly seedHigh: number
}

export function encodeSegmentHeader(
  header: SegmentHeader,
  storeId: Uint8Array,
  checksum: Checksum
): { readonly bytes: Buffer; readonly header: SealedHeader } {
  const bytes = Buffer.alloc(segmentHeaderBytes)
  const view = viewOf(bytes)
  segmentMagic.copy(bytes, Field.magic)
  view.setUint32(Field.version, formatVersion, true)
  bytes.set(storeId, Field.storeId)
  writeU64(view, Field.number, header.number)
  writeU64(view, Field.epoch, header.epoch)
  view.setUint32(Field.salt, header.saltLow, true)
  view.setUint32(Field.salt + 4, header.saltHigh, true)
  view.setUint32(Field.sizeBytes, header.sizeBytes, true)
  view.setUint32(Field.link, header.link, true)
  writeU64(view, Field.prevNumber, header.prevNumber)
  view.setUint32(Field.prevCut, header.prevCut, true)
  view.setUint32(Field.prevChain, header.prevChainLow, true)
  view.setUint32(Field.prevChain + 4, header.prevChainHigh, true)
  writeU64(view, Field.baseSeq, header.baseSeq)
  writeU64(view, Field.syncedSeq, header.syncedSeq)
  writeU64(view, Field.createdMs, header.createdMs)
  checksum.hash(bytes.subarray(0, Field.checksum), 0, 0)
  view.setUint32(Field.checksum, checksum.low, true)
  view.setUint32(Field.checksum + 4, checksum.high, true)
  return { bytes, header: derive(header, bytes, checksum) }
}

export type DecodedHeader =
  | { readonly state: 'valid'; readonly header: SealedHeader }
  /** A file without a valid header of this store: a spare, unless something names it (rule W4). */
  | { readonly state: 'spare'; readonly reason: string }

/** Reads a header block; a newer version is an error, everything else that is not ours a spare. */
export function decodeSegmentHeader(
  bytes: Buffer,
  path: string,
  storeId: Uint8Array,
  checksum: Checksum
): DecodedHeader {
  if (bytes.length < segmentHeaderBytes) return spare('the file is shorter than a header')
  if (bytes.compare(segmentMagic, 0, 8, 0, 8) !== 0) return spare('no magic')
  const view = viewOf(bytes)
  checksum.hash(bytes.subarray(0, Field.checksum), 0, 0)
  if (
    view.getUint32(Field.checksum, true) !== checksum.low ||
    view.getUint32(Field.checksum + 4, true) !== checksum.high
  ) {
    return spare('checksum mismatch')
  }
  const version = view.getUint32(Field.version, true)
  const features = view.getUint32(Field.features, true)
  if (version !== formatVersion || features !== 0) {
    throw new KintsugiError(
      'KINTSUGI_UNSUPPORTED_VERSION',
      `log segment ${path} has format version ${version} with features ${features}; this release ` +
        `reads version ${formatVersion}: open the store with the release that wrote it`,
      { path }
    )
  }
  if (!bytes.subarray(Field.storeId, Field.storeId + 16).equals(storeId)) {
    return spare('it belongs to another store')
  }
  const header: SegmentHeader = {
    number: readU64(view, Field.number),
    epoch: readU64(view, Field.epoch),
    saltLow: view.getUint32(Field.salt, true),
    saltHigh: view.getUint32(Field.salt + 4, true),
    sizeBytes: view.getUint32(Field.sizeBytes, true),
    link: view.getUint32(Field.link, true) as SegmentLink,
    prevNumber: readU64(view, Field.prevNumber),
    prevCut: view.getUint32(Field.prevCut, true),
    prevChainLow: view.getUint32(Field.prevChain, true),
    prevChainHigh: view.getUint32(Field.prevChain + 4, true),
    baseSeq: readU64(view, Field.baseSeq),
    syncedSeq: readU64(view, Field.syncedSeq),
    createdMs: readU64(view, Field.createdMs)
  }
  const problem = implausible(header)
  return problem ? spare(problem) : { state: 'valid', header: derive(header, bytes, checksum) }
}

function implausible(header: SegmentHeader): string | undefined {
  const numbers = [header.number, header.epoch, header.prevNumber, header.baseSeq, header.syncedSeq]
  if (numbers.some((value) => value > Number.MAX_SAFE_INTEGER)) return 'a number is out of range'
  if (header.sizeBytes < minSegmentBytes || header.sizeBytes > maxSegmentBytes) {
    return `a segment cannot have ${header.sizeBytes} bytes`
  }
  if (header.link < SegmentLink.first || header.link > SegmentLink.voiding) return 'unknown link'
  if (header.link !== SegmentLink.first && header.prevNumber >= header.number) {
    return 'it continues a later segment'
  }
  return undefined
}

/** The seed says store, segment, salt and epoch at once: all of them are in the hashed header. */
function derive(header: SegmentHeader, bytes: Buffer, checksum: Checksum): SealedHeader {
  const view = viewOf(bytes)
  const checksumLow = view.getUint32(Field.checksum, true)
  const checksumHigh = view.getUint32(Field.checksum + 4, true)
  checksum.hash(bytes.subarray(Field.storeId, Field.sizeBytes), 0x6b_77_61_6c, 0)
  return {
    ...header,
    checksumLow,
    checksumHigh,
    seedLow: checksum.low,
    seedHigh: checksum.high
  }
}

function spare(reason: string): DecodedHeader {
  return { state: 'spare', reason }
}
