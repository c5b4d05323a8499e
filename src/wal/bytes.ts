import { twoTo32 } from './format.js'

/** Sequence numbers, epochs and times are whole JS numbers below 2^53; on disk they are u64 LE. */
export function writeU64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value >>> 0, true)
  view.setUint32(offset + 4, (value / twoTo32) >>> 0, true)
}

/** The number, or more than `Number.MAX_SAFE_INTEGER` where it does not fit (never valid). */
export function readU64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * twoTo32
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
