import type { PageSums } from './page-sums.js'
import type { Slab } from './page-memory.js'

/** Where an overflow extent lies and what it must hash to; a leaf entry carries one. */
export interface ExtentRef {
  readonly page: number
  readonly sizeBytes: number
  readonly sumLow: number
  readonly sumHigh: number
}

/** A key between two children; where only its beginning is known, `low` < `high`. */
export interface Separator {
  /** No key of the children behind is below. */
  readonly low: Buffer
  /** All keys of the children before are below; undefined: nothing is known. */
  readonly high: Buffer | undefined
}

/**
 * The bounds a leaf itself claims: from low (inclusive) to high (exclusive). A side without a key is
 * the tree's edge where it is exact, otherwise unknown; an inexact key encloses more than the leaf.
 */
export interface LeafFences {
  readonly low: Buffer | undefined
  readonly high: Buffer | undefined
  readonly lowIsExact: boolean
  readonly highIsExact: boolean
}

/** The part of an entry's key that stands in the page, and where the whole is if that is not all. */
export interface KeyPart {
  readonly inline: Buffer
  readonly whole: ExtentRef | undefined
}

/** Told of a child: its page, the checksum its parent knows, and what separates it from the one before. */
export type ChildVisitor = (
  pageNo: number,
  sumLow: number,
  sumHigh: number,
  separator: Separator | undefined
) => void

/**
 * What the pager needs to know about the inside of tree pages; supplied by the tree. A page is the
 * `pageBytes` at `base` in a slab. All methods but `check` are only called on pages that passed it.
 */
export interface PageContent {
  /**
   * Bounds-checks every field of a page whose checksum is right, so that later use of it cannot
   * go astray whatever it says. Returns what is wrong, or undefined.
   */
  check(slab: Slab, base: number): string | undefined
  /** Brings the entries of a page just read into the order in which they are mostly read. */
  arrange(slab: Slab, base: number): void
  /** Writes into a branch page's entries the checksums of those children that `sums` knows. */
  fillChildSums(slab: Slab, base: number, sums: PageSums): void
  /**
   * Calls back for each child of a branch page, in key order. The separator lies between the child
   * and the one before it; undefined for the first child. For verification and salvage, not for
   * speed: its keys are copies.
   */
  eachChild(slab: Slab, base: number, visit: ChildVisitor): void
  /** Calls back for each overflow extent a page refers to, in leaves and in branches. */
  eachExtent(slab: Slab, base: number, visit: (ref: ExtentRef) => void): void
  /**
   * What a comprehensive verification wants to know of one page: keys in order and between the
   * bounds that its ancestors give it, fences equal to them. Returns what is wrong, or undefined.
   */
  checkDeep(
    slab: Slab,
    base: number,
    lowKey: Buffer | undefined,
    highKey: Buffer | undefined
  ): string | undefined
  fences(slab: Slab, base: number): LeafFences
  /** The key of a leaf's entry. */
  keyPart(slab: Slab, base: number, index: number): KeyPart
  /** Entries in a leaf page. */
  entryCount(slab: Slab, base: number): number
}
