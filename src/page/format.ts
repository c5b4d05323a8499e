/** Constants of the sorted page; see format.md beside this file. */

/** The views of one stretch of memory that holds pages; both cover the same bytes from 0. */
export interface PageBytes {
  readonly u8: Buffer
  readonly u32: Uint32Array
}

export const regionHeaderBytes = 16
export const slotBytes = 8
export const entryHeaderBytes = 4
export const fenceHeaderBytes = 4
/** A reference to bytes kept elsewhere; its contents are the owner's. */
export const referenceBytes = 16

export const minRegionBytes = 256
export const maxRegionBytes = 65_528

/** Flags of a page. */
export const floorFlag = 1
export const lowUnknownFlag = 2
export const highUnknownFlag = 4

/** In an entry's first word. */
export const keyBytesMask = 0x7fff
export const longKeyFlag = 0x8000
export const valueBytesShift = 16
export const longValueFlag = 0x8000_0000

/** In a fence's first word. */
export const inexactFenceFlag = 0x8000

/** Reads the whole keys behind `longKey` entries. */
export interface LongKeys {
  /**
   * Compares the key `key[start, end)` with the whole key that the reference at byte `reference` of
   * `memory` names; the two are known to agree in their first `equalBytes`.
   */
  compare(
    memory: PageBytes,
    reference: number,
    key: Uint8Array,
    start: number,
    end: number,
    equalBytes: number
  ): number
}
