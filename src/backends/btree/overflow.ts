import type { ExtentRef } from './page-content.js'

/**
 * Values and keys too big for a page, each in an extent of contiguous pages. An extent never
 * changes; its reference is complete as soon as it is written.
 */
export interface Overflow {
  /** Copies the bytes into a new dirty extent. */
  write(bytes: Uint8Array): ExtentRef
  /** The current tree no longer refers to the extent. Views and metas may; it waits for them. */
  free(page: number, sizeBytes: number): void
  /** A copy, the caller's own; waits for the disk, verifies, throws CORRUPTION. */
  readSync(page: number, sizeBytes: number, sumLow: number, sumHigh: number): Buffer
  /** A copy, the caller's own, or null when it is not in memory. */
  tryRead(page: number, sizeBytes: number): Buffer | null
  /** Makes resident what `tryRead` answered null for. */
  load(page: number, sizeBytes: number, sumLow: number, sumHigh: number): Promise<void>
  /** The bytes in place, not to be changed or kept beyond this turn; null when not in memory. */
  peek(page: number, sizeBytes: number): Buffer | null
  /** The same bytes in a new extent at the lowest place; the old one is freed. Reads the disk. */
  move(ref: ExtentRef): Promise<ExtentRef>
}
