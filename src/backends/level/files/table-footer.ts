import type { VfsFile } from '../../../vfs/vfs.js'
import { ByteReader, malformed } from './byte-reader.js'
import { blockTrailerBytes, footerBytes, handlesBytes, magicHigh, magicLow } from './format.js'
import { readFully } from './read-fully.js'

/** Where a block lies, its trailer not counted. */
export interface BlockHandle {
  readonly offset: number
  readonly sizeBytes: number
}

export interface TableFooter {
  readonly metaindex: BlockHandle
  readonly index: BlockHandle
}

/** Throws CORRUPTION where the file does not end as a table does. */
export async function readTableFooter(file: VfsFile, sizeBytes: number): Promise<TableFooter> {
  if (sizeBytes < footerBytes) throw malformed('it is too short for a table')
  const bytes = Buffer.alloc(footerBytes)
  const start = sizeBytes - footerBytes
  if ((await readFully(file, bytes, start)) < footerBytes) throw malformed('it became shorter')
  if (
    bytes.readUInt32LE(handlesBytes) !== magicLow ||
    bytes.readUInt32LE(handlesBytes + 4) !== magicHigh
  ) {
    throw malformed('its footer lacks the magic number of tables')
  }
  const reader = new ByteReader(bytes.subarray(0, handlesBytes))
  const metaindex = readHandle(reader, start)
  return { metaindex, index: readHandle(reader, start) }
}

/** A block with its trailer has to end at or before `limit`. */
export function readHandle(reader: ByteReader, limit: number): BlockHandle {
  const offset = reader.varint()
  const sizeBytes = reader.varint()
  if (offset + sizeBytes + blockTrailerBytes > limit) {
    throw malformed('a block handle points behind the end of the table')
  }
  return { offset, sizeBytes }
}
