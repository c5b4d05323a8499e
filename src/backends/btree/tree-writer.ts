import { BatchReader, ClearFlags, OperationKind } from '../../batch/batch.js'
import { entryWord, plainEntryBytes, writePadded, writePlainEntry } from '../../page/edit.js'
import { entryHeaderBytes, referenceBytes } from '../../page/format.js'
import {
  entryAt,
  entryBytes,
  freeBytes,
  hasLongKey,
  hasLongValue,
  valueOffset
} from '../../page/read.js'
import { Balancer } from './balancer.js'
import { PageKind } from './format.js'
import { eachExtentBetween } from './node-content.js'
import { writeExtentRef } from './node.js'
import type { ExtentRef } from './page-content.js'
import type { PageEditor } from '../../page/edit.js'
import type { PageBytes } from '../../page/format.js'
import { RangeCut } from './range-cut.js'
import type { Reclaimer } from './reclaimer.js'
import { Separators } from './separator.js'
import type { Tree } from './tree.js'

/**
 * Changes the tree. Each operation goes down to a leaf; when a page has to be split first, that is
 * done as one whole step and the operation starts again from the root. Whatever may fail comes
 * before the first change of a step, so an operation that throws has not happened.
 */
export class TreeWriter {
  readonly separators: Separators
  readonly balancer: Balancer
  readonly #tree: Tree
  readonly #editor: PageEditor
  readonly #rangeCut: RangeCut
  readonly #freeExtent: (ref: ExtentRef) => void
  /** The key and value being put where they are too big for a page. */
  #longKey: ExtentRef | undefined
  #longValue: ExtentRef | undefined

  constructor(tree: Tree, reclaimer: Reclaimer) {
    this.#tree = tree
    this.#editor = tree.editor
    this.separators = new Separators(tree.layout, tree.reader.tails, tree.pager.overflow)
    this.balancer = new Balancer(tree, this.separators)
    this.#rangeCut = new RangeCut(tree, this.balancer, reclaimer)
    this.#freeExtent = (ref) => tree.pager.overflow.free(ref.page, ref.sizeBytes)
  }

  /** What was done since the last operation may have changed branches, or evicted them. */
  begin(): void {
    this.#tree.range.forget()
  }

  /** Applies the operation that the reader stands at. */
  apply(reader: BatchReader): void {
    const { bytes, keyStart, keyEnd, valueEnd } = reader
    if (reader.kind === OperationKind.put) this.put(bytes, keyStart, keyEnd, valueEnd)
    else if (reader.kind === OperationKind.delete) this.delete(bytes, keyStart, keyEnd)
    else {
      const upper = reader.flags & ClearFlags.noUpper ? undefined : bytes.subarray(keyEnd, valueEnd)
      this.#tree.hints.forget()
      this.#rangeCut.clear(
        bytes.subarray(keyStart, keyEnd),
        (reader.flags & ClearFlags.lowerExcluded) !== 0,
        upper,
        (reader.flags & ClearFlags.upperIncluded) !== 0
      )
      this.balancer.relieveAt(bytes, keyStart, keyEnd)
      this.#tree.range.forget()
    }
  }

  /** Sets the key `bytes[keyStart, keyEnd)` to the value that follows it up to `valueEnd`. */
  put(bytes: Buffer, keyStart: number, keyEnd: number, valueEnd: number): void {
    const tree = this.#tree
    const { maxInlineKeyBytes, maxEntryBytes } = tree.layout
    const keyBytes = keyEnd - keyStart
    const plainBytes = plainEntryBytes(keyBytes, valueEnd - keyEnd)
    if (tree.height === 0) this.#plantRoot()
    if (keyBytes <= maxInlineKeyBytes && plainBytes <= maxEntryBytes) {
      this.#putEntry(bytes, keyStart, keyEnd, valueEnd, plainBytes)
      return
    }
    this.#putLong(bytes, keyStart, keyEnd, valueEnd)
  }

  delete(bytes: Buffer, keyStart: number, keyEnd: number): void {
    const tree = this.#tree
    if (tree.height === 0) return
    const found = tree.find(bytes, keyStart, keyEnd)
    if (found < 0) return
    tree.makeWritable(0)
    const leaf = tree.pathPage[0]
    const slab = tree.slabOf(leaf)
    const region = tree.regionOf(leaf)
    eachExtentBetween(slab, region, found, found + 1, this.#freeExtent)
    this.#editor.remove(slab, region, found, found + 1)
    tree.entries--
    if (freeBytes(slab, region) <= this.balancer.sparseFreeBytes) return
    tree.completePath(bytes, keyStart, keyEnd)
    this.balancer.relieve(0)
    tree.range.forget()
  }

  #plantRoot(): void {
    const tree = this.#tree
    tree.root = tree.pager.allocate(PageKind.leaf, 0)
    tree.height = 1
    tree.range.forget()
    this.#editor.clear(tree.slabOf(tree.root), tree.regionOf(tree.root), 0)
  }

  /** A put whose key or value goes to an extent. */
  #putLong(bytes: Buffer, keyStart: number, keyEnd: number, valueEnd: number): void {
    const tree = this.#tree
    const { overflow } = tree.pager
    const { maxInlineKeyBytes, maxEntryBytes, longKeyInlineBytes } = tree.layout
    const keyBytes = keyEnd - keyStart
    // What may fail on the way down must not leave extents behind.
    const found = tree.descend(bytes, keyStart, keyEnd)
    let keyPart = keyBytes
    if (keyBytes > maxInlineKeyBytes) {
      keyPart = longKeyInlineBytes + referenceBytes
      this.#longKey = found < 0 ? overflow.write(bytes.subarray(keyStart, keyEnd)) : undefined
      tree.content.longKeysSeen = true
    }
    let size = plainEntryBytes(keyPart, valueEnd - keyEnd)
    if (size > maxEntryBytes) {
      size = plainEntryBytes(keyPart, referenceBytes)
      this.#longValue = overflow.write(bytes.subarray(keyEnd, valueEnd))
    }
    try {
      this.#putEntry(bytes, keyStart, keyEnd, valueEnd, size)
    } catch (error) {
      if (this.#longKey !== undefined) this.#freeExtent(this.#longKey)
      if (this.#longValue !== undefined) this.#freeExtent(this.#longValue)
      throw error
    } finally {
      this.#longKey = undefined
      this.#longValue = undefined
    }
  }

  /** Inserts or replaces an entry of `size` bytes. */
  #putEntry(bytes: Buffer, keyStart: number, keyEnd: number, valueEnd: number, size: number): void {
    const tree = this.#tree
    const { balancer } = this
    for (let isFirst = true; ; isFirst = false) {
      const found = tree.find(bytes, keyStart, keyEnd)
      if (found >= 0) {
        if (this.#replace(bytes, keyStart, keyEnd, valueEnd, size, found)) return
      } else {
        tree.makeWritable(0)
        const leaf = tree.pathPage[0]
        const slab = tree.slabOf(leaf)
        const region = tree.regionOf(leaf)
        const at = this.#editor.reserve(slab, region, ~found, size)
        if (at >= 0) {
          this.#write(slab, at, bytes, keyStart, keyEnd, valueEnd)
          this.#editor.finishInsert(slab, region, ~found)
          tree.entries++
          balancer.noteInsert(leaf, ~found)
          return
        }
      }
      tree.completePath(bytes, keyStart, keyEnd)
      balancer.makeRoom(bytes, keyStart, keyEnd, isFirst)
      tree.range.forget()
    }
  }

  /** Puts a new value under the key that stands at `index`; false when the leaf has no room. */
  #replace(
    bytes: Buffer,
    keyStart: number,
    keyEnd: number,
    valueEnd: number,
    size: number,
    index: number
  ): boolean {
    const tree = this.#tree
    const editor = this.#editor
    const seen = tree.slabOf(tree.pathPage[0])
    const seenRegion = tree.regionOf(tree.pathPage[0])
    const seenBytes = entryBytes(seen, entryAt(seen, seenRegion, index))
    if (freeBytes(seen, seenRegion) + seenBytes < size) return false
    tree.makeWritable(0)
    const slab = tree.slabOf(tree.pathPage[0])
    const region = tree.regionOf(tree.pathPage[0])
    const before = slab.u32[entryAt(slab, region, index) >>> 2]
    if (!hasLongKey(before) && !hasLongValue(before) && this.#longValue === undefined) {
      const at = editor.resizeValue(slab, region, index, valueEnd - keyEnd)
      if (at >= 0) {
        writePadded(slab, at + valueOffset(slab.u32[at >>> 2]), bytes, keyEnd, valueEnd)
        return true
      }
    }
    if (hasLongKey(before) && this.#longKey === undefined) {
      this.#longKey = tree.pager.overflow.write(bytes.subarray(keyStart, keyEnd))
    }
    eachExtentBetween(slab, region, index, index + 1, this.#freeExtent)
    editor.remove(slab, region, index, index + 1)
    const at = editor.reserve(slab, region, index, size)
    this.#write(slab, at, bytes, keyStart, keyEnd, valueEnd)
    editor.finishInsert(slab, region, index)
    return true
  }

  #write(
    page: PageBytes,
    entry: number,
    bytes: Buffer,
    keyStart: number,
    keyEnd: number,
    valueEnd: number
  ): void {
    const longKey = this.#longKey
    const longValue = this.#longValue
    if (longKey === undefined && longValue === undefined) {
      writePlainEntry(page, entry, bytes, keyStart, keyEnd, valueEnd)
      return
    }
    const keyBytes = longKey ? this.#tree.layout.longKeyInlineBytes : keyEnd - keyStart
    const valueBytes = longValue ? referenceBytes : valueEnd - keyEnd
    const word = entryWord(keyBytes, longKey !== undefined, valueBytes, longValue !== undefined)
    page.u32[entry >>> 2] = word
    writePadded(page, entry + entryHeaderBytes, bytes, keyStart, keyStart + keyBytes)
    const value = entry + valueOffset(word)
    if (longKey) writeExtentRef(page, value - referenceBytes, longKey)
    if (longValue) writeExtentRef(page, value, longValue)
    else writePadded(page, value, bytes, keyEnd, valueEnd)
  }
}
