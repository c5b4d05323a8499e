import { crc32c } from '@node-rs/crc32'

/**
 * LevelDB stores its checksums masked, so that a checksum of bytes that hold checksums stays good.
 * True where `bytes[start, end)` have the masked CRC-32C `stored`.
 */
export function matchesCrc(bytes: Buffer, start: number, end: number, stored: number): boolean {
  return maskedCrc(bytes.subarray(start, end)) === stored
}

export function maskedCrc(bytes: Uint8Array): number {
  return mask(crc32c(bytes))
}

export function mask(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}
