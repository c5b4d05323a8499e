import { entryHeaderBytes, fenceHeaderBytes, referenceBytes, slotBytes } from '../../page/format.js'
import { regionHeaderBytes } from '../../page/format.js'
import { unknownFence } from '../../page/edit.js'
import type { Fence } from '../../page/edit.js'
import type { PageBytes } from '../../page/format.js'
import { valueOffset } from '../../page/read.js'
import { pageHeaderBytes } from './format.js'
import type { ExtentRef } from './page-content.js'

/*
 * Leaves and branches are sorted pages behind the page header. A leaf's entries are the store's, a
 * branch's are children: the key is the lowest one a child may hold, the value is
 *
 *     page u32 | sumLow u32 | sumHigh u32
 *
 * A branch's entry 0 is the floor. Leaves carry fences; they say between which keys the page stood
 * when its branches are lost. A cut fence is wider than the truth, never narrower; an open side is
 * the tree's edge; where a fence had no room, the page says that it does not know.
 */

export const childBytes = 12

/** Limits that follow from the page size. */
export class NodeLayout {
  /** Size of the sorted page. */
  readonly regionBytes: number
  /** Largest entry, slot excluded: four fit in any page. */
  readonly maxEntryBytes: number
  /** Longer keys stand in an extent. */
  readonly maxInlineKeyBytes: number
  /** How much of a long key stands in the page all the same. */
  readonly longKeyInlineBytes: number
  readonly maxFenceKeyBytes: number

  constructor(pageBytes: number) {
    this.regionBytes = pageBytes - pageHeaderBytes
    this.maxFenceKeyBytes = Math.min(64, (this.regionBytes >> 4) & ~3)
    const fences = 2 * (fenceHeaderBytes + this.maxFenceKeyBytes)
    const room = this.regionBytes - regionHeaderBytes - fences
    this.maxEntryBytes = (room / 4 - slotBytes) & ~3
    this.maxInlineKeyBytes = (this.maxEntryBytes >> 1) & ~3
    this.longKeyInlineBytes = Math.min(64, (this.maxInlineKeyBytes - referenceBytes) & ~3)
  }

  /**
   * A separator as a fence, cut where it is too long: a low one falls, a high one rises. `isCut`
   * says that the key given is only the beginning of the separator.
   */
  fence(key: Uint8Array, high: boolean, isCut = false): Fence {
    if (key.length <= this.maxFenceKeyBytes && !isCut) return { key, inexact: false }
    if (!high) return { key: key.subarray(0, this.maxFenceKeyBytes), inexact: true }
    // The shortest key above everything that begins like this one.
    let length = Math.min(key.length, this.maxFenceKeyBytes)
    while (length > 0 && key[length - 1] === 0xff) length--
    if (length === 0) return unknownFence
    const raised = Buffer.from(key.subarray(0, length))
    raised[length - 1]++
    return { key: raised, inexact: true }
  }
}

/** Position of the child reference of a branch's entry. */
export function childAt(page: PageBytes, entry: number): number {
  return entry + valueOffset(page.u32[entry >>> 2])
}

/** Size of a branch's entry, slot excluded. */
export function branchEntryBytes(layout: NodeLayout, separatorBytes: number): number {
  const key =
    separatorBytes <= layout.maxInlineKeyBytes
      ? (separatorBytes + 3) & ~3
      : layout.longKeyInlineBytes + referenceBytes
  return entryHeaderBytes + key + childBytes
}

export function readExtentRef(page: PageBytes, at: number): ExtentRef {
  const word = at >>> 2
  const u32 = page.u32
  return {
    page: u32[word],
    sizeBytes: u32[word + 1],
    sumLow: u32[word + 2],
    sumHigh: u32[word + 3]
  }
}

export function writeExtentRef(page: PageBytes, at: number, ref: ExtentRef): void {
  const word = at >>> 2
  page.u32[word] = ref.page
  page.u32[word + 1] = ref.sizeBytes
  page.u32[word + 2] = ref.sumLow
  page.u32[word + 3] = ref.sumHigh
}
