/** Whole numbers up to 2^53 as two little-endian words, the lower first. */

const wordRange = 0x1_0000_0000

export function writeLong(target: Buffer, offset: number, value: number): void {
  target.writeUInt32LE(value % wordRange, offset)
  target.writeUInt32LE(Math.floor(value / wordRange), offset + 4)
}

/** Larger than `Number.MAX_SAFE_INTEGER` only where the bytes are not ours; the caller checks. */
export function readLong(source: Buffer, offset: number): number {
  return source.readUInt32LE(offset) + source.readUInt32LE(offset + 4) * wordRange
}
