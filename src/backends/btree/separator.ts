import { entryWord, writePadded } from '../../page/edit.js'
import { entryHeaderBytes, referenceBytes } from '../../page/format.js'
import type { PageBytes } from '../../page/format.js'
import {
  entryAt,
  hasLongKey,
  inlineKeyBytes,
  keyReferenceAt,
  valueOffset
} from '../../page/read.js'
import type { KeyTails } from './key-tails.js'
import { childBytes, readExtentRef, writeExtentRef } from './node.js'
import type { NodeLayout } from './node.js'
import type { Overflow } from './overflow.js'

/** The shortest key above `low` and not above `high`, where `low` < `high`. */
export function separatorAfter(low: Uint8Array, high: Uint8Array): Buffer {
  const length = Math.min(low.length, high.length)
  let common = 0
  while (common < length && low[common] === high[common]) common++
  return Buffer.from(high.subarray(0, common + 1))
}

/** Makes the keys that stand between two pages. */
export class Separators {
  readonly #layout: NodeLayout
  readonly #tails: KeyTails
  readonly #overflow: Overflow
  readonly #built: { readonly slab: PageBytes; readonly at: number }

  constructor(layout: NodeLayout, tails: KeyTails, overflow: Overflow) {
    this.#layout = layout
    this.#tails = tails
    this.#overflow = overflow
    const bytes = new ArrayBuffer(layout.maxEntryBytes)
    this.#built = { slab: { u8: Buffer.from(bytes), u32: new Uint32Array(bytes) }, at: 0 }
  }

  /** The whole key of a page's entry: valid for this turn, not to be changed. */
  keyAt(page: PageBytes, region: number, index: number): Uint8Array {
    const entry = entryAt(page, region, index)
    const word = page.u32[entry >>> 2]
    if (hasLongKey(word)) return this.#tails.bytes(readExtentRef(page, keyReferenceAt(entry, word)))
    const start = entry + entryHeaderBytes
    return page.u8.subarray(start, start + inlineKeyBytes(word))
  }

  /** What separates the entries before `index` from the others. */
  between(page: PageBytes, region: number, index: number): Buffer {
    return separatorAfter(this.keyAt(page, region, index - 1), this.keyAt(page, region, index))
  }

  /** A branch's entry with the separator as its key, valid until the next call. */
  entry(separator: Buffer): { readonly slab: PageBytes; readonly at: number } {
    const { slab, at } = this.#built
    const { maxInlineKeyBytes, longKeyInlineBytes } = this.#layout
    const isLong = separator.length > maxInlineKeyBytes
    const keyBytes = isLong ? longKeyInlineBytes : separator.length
    const word = entryWord(keyBytes, isLong, childBytes, false)
    slab.u32[at >>> 2] = word
    writePadded(slab, at + entryHeaderBytes, separator, 0, keyBytes)
    const value = at + valueOffset(word)
    if (isLong) writeExtentRef(slab, value - referenceBytes, this.#overflow.write(separator))
    return this.#built
  }
}
