import { compareBytes, formatKey } from '../../base/bytes.js'
import { limits } from '../../options.js'
import { PageEditor, fenceAt, isUnknown } from '../../page/edit.js'
import { entryHeaderBytes } from '../../page/format.js'
import type { PageBytes } from '../../page/format.js'
import {
  entryAt,
  entryCount,
  firstKeyIndex,
  hasLongKey,
  hasLongValue,
  inlineKeyBytes,
  inlineValueBytes,
  keyReferenceAt,
  valueOffset
} from '../../page/read.js'
import { validatePage } from '../../page/validate.js'
import { PageHeader, PageKind, firstDataPage, pageHeaderBytes } from './format.js'
import { childAt, childBytes, readExtentRef } from './node.js'
import type {
  ChildVisitor,
  ExtentRef,
  KeyPart,
  LeafFences,
  PageContent,
  Separator
} from './page-content.js'
import type { PageSums } from './page-sums.js'
import type { Slab } from './page-memory.js'

/** What the pager asks about tree pages. */
export class NodeContent implements PageContent {
  /** Set for good when a long key is met: until then nobody has to look for them. */
  longKeysSeen = false

  #regionBytes = 0
  #editor: PageEditor | undefined

  /** The file says its page size when it is opened; nothing is checked before. */
  setPageBytes(pageBytes: number): void {
    this.#regionBytes = pageBytes - pageHeaderBytes
    this.#editor = new PageEditor(this.#regionBytes, 1)
  }

  check(slab: Slab, base: number): string | undefined {
    const region = base + pageHeaderBytes
    const wrong = validatePage(slab, region, this.#regionBytes)
    if (wrong !== undefined) return wrong
    const kind = slab.u8[base + PageHeader.kind]
    const level = slab.u8[base + PageHeader.level]
    const isBranch = kind === PageKind.branch
    if (isBranch !== level > 0) return `a page of kind ${kind} on level ${level}`
    if (firstKeyIndex(slab, region) !== (isBranch ? 1 : 0)) return 'floor flag and level disagree'
    const count = entryCount(slab, region)
    if (isBranch && count === 0) return 'a branch without children'
    for (let i = 0; i < count; i++) {
      const entry = entryAt(slab, region, i)
      const error = isBranch ? checkChild(slab, entry) : checkValue(slab, entry)
      if (error !== undefined) return `entry ${i} ${error}`
      if (hasLongKey(slab.u32[entry >>> 2])) this.longKeysSeen = true
    }
    return undefined
  }

  arrange(slab: Slab, base: number): void {
    this.#editor!.arrange(slab, base + pageHeaderBytes)
  }

  fillChildSums(slab: Slab, base: number, sums: PageSums): void {
    const region = base + pageHeaderBytes
    const count = entryCount(slab, region)
    for (let i = 0; i < count; i++) {
      const word = childAt(slab, entryAt(slab, region, i)) >>> 2
      const pageNo = slab.u32[word]
      if (!sums.knows(pageNo)) continue
      slab.u32[word + 1] = sums.low(pageNo)
      slab.u32[word + 2] = sums.high(pageNo)
    }
  }

  eachChild(slab: Slab, base: number, visit: ChildVisitor): void {
    const region = base + pageHeaderBytes
    const count = entryCount(slab, region)
    for (let i = 0; i < count; i++) {
      const entry = entryAt(slab, region, i)
      const word = childAt(slab, entry) >>> 2
      const separator = i === 0 ? undefined : separatorOf(slab, entry)
      visit(slab.u32[word], slab.u32[word + 1], slab.u32[word + 2], separator)
    }
  }

  /** The same without keys, for those in a hurry. */
  eachChildPage(
    slab: Slab,
    base: number,
    visit: (pageNo: number, sumLow: number, sumHigh: number) => void
  ): void {
    const region = base + pageHeaderBytes
    const count = entryCount(slab, region)
    for (let i = 0; i < count; i++) {
      const word = childAt(slab, entryAt(slab, region, i)) >>> 2
      visit(slab.u32[word], slab.u32[word + 1], slab.u32[word + 2])
    }
  }

  eachExtent(slab: Slab, base: number, visit: (ref: ExtentRef) => void): void {
    eachExtentBetween(slab, base + pageHeaderBytes, 0, 0xffff, visit)
  }

  fences(slab: Slab, base: number): LeafFences {
    const low = fenceAt(slab, base + pageHeaderBytes, false)
    const high = fenceAt(slab, base + pageHeaderBytes, true)
    return {
      low: low && !isUnknown(low) ? Buffer.from(low.key) : undefined,
      high: high && !isUnknown(high) ? Buffer.from(high.key) : undefined,
      lowIsExact: !low?.inexact,
      highIsExact: !high?.inexact
    }
  }

  keyPart(slab: Slab, base: number, index: number): KeyPart {
    const entry = entryAt(slab, base + pageHeaderBytes, index)
    const word = slab.u32[entry >>> 2]
    const whole = hasLongKey(word) ? readExtentRef(slab, keyReferenceAt(entry, word)) : undefined
    return { inline: separatorOf(slab, entry).low, whole }
  }

  entryCount(slab: Slab, base: number): number {
    return entryCount(slab, base + pageHeaderBytes)
  }

  /** Keys in order is part of `check`; what is left are the bounds. */
  checkDeep(
    slab: Slab,
    base: number,
    lowKey: Buffer | undefined,
    highKey: Buffer | undefined
  ): string | undefined {
    const region = base + pageHeaderBytes
    const first = firstKeyIndex(slab, region)
    const count = entryCount(slab, region)
    if (count > first) {
      const lowest = separatorOf(slab, entryAt(slab, region, first))
      const highest = separatorOf(slab, entryAt(slab, region, count - 1))
      if (lowKey && lowest.high && compareBytes(lowest.high, lowKey) < 0) {
        return `its first key ${formatKey(lowest.low)} is below ${formatKey(lowKey)}`
      }
      if (highKey && compareBytes(highest.low, highKey) >= 0) {
        return `its last key ${formatKey(highest.low)} is not below ${formatKey(highKey)}`
      }
    }
    return first === 0 ? checkFences(this.fences(slab, base), lowKey, highKey) : undefined
  }
}

/** Exact fences are what the leaf's ancestors say; cut ones enclose that. */
function checkFences(
  { low, high, lowIsExact, highIsExact }: LeafFences,
  lowKey: Buffer | undefined,
  highKey: Buffer | undefined
): string | undefined {
  // A key of a branch is known whole wherever a fence made of it is exact.
  if (lowIsExact && !areEqual(low, lowKey)) return `its low fence is ${wrongFence(low, lowKey)}`
  if (highIsExact && !areEqual(high, highKey)) {
    return `its high fence is ${wrongFence(high, highKey)}`
  }
  if (low && (!lowKey || compareBytes(low, lowKey) > 0)) return 'its low fence is too high'
  if (high && highKey && compareBytes(high, highKey) < 0) return 'its high fence is too low'
  return undefined
}

function areEqual(a: Buffer | undefined, b: Buffer | undefined): boolean {
  return a === undefined || b === undefined ? a === b : a.equals(b)
}

function wrongFence(fence: Buffer | undefined, bound: Buffer | undefined): string {
  const said = fence === undefined ? 'missing' : formatKey(fence)
  return `${said} where the branches say ${bound === undefined ? 'the edge' : formatKey(bound)}`
}

/** An entry's key; of a long one, the keys that enclose all that begin like it. */
function separatorOf(page: PageBytes, entry: number): Separator {
  const word = page.u32[entry >>> 2]
  const start = entry + entryHeaderBytes
  const low = Buffer.from(page.u8.subarray(start, start + inlineKeyBytes(word)))
  if (!hasLongKey(word)) return { low, high: low }
  let length = low.length
  while (length > 0 && low[length - 1] === 0xff) length--
  if (length === 0) return { low, high: undefined }
  const high = Buffer.from(low.subarray(0, length))
  high[length - 1]++
  return { low, high }
}

/** Calls back for the extents that the entries `from` to `to` - 1 of a page refer to. */
export function eachExtentBetween(
  page: PageBytes,
  region: number,
  from: number,
  to: number,
  visit: (ref: ExtentRef) => void
): void {
  const end = Math.min(to, entryCount(page, region))
  for (let i = from; i < end; i++) {
    const entry = entryAt(page, region, i)
    const word = page.u32[entry >>> 2]
    if (hasLongKey(word)) visit(readExtentRef(page, keyReferenceAt(entry, word)))
    if (hasLongValue(word)) visit(readExtentRef(page, entry + valueOffset(word)))
  }
}

function checkChild(page: PageBytes, entry: number): string | undefined {
  const word = page.u32[entry >>> 2]
  if (hasLongValue(word) || inlineValueBytes(word) !== childBytes) return 'is no child reference'
  if (page.u32[childAt(page, entry) >>> 2] < firstDataPage) return 'refers to a meta page'
  return checkLongKey(page, entry, word)
}

function checkValue(page: PageBytes, entry: number): string | undefined {
  const word = page.u32[entry >>> 2]
  if (hasLongValue(word)) {
    const wrong = checkRef(page, entry + valueOffset(word), 0, limits.valueBytes)
    if (wrong !== undefined) return wrong
  }
  return checkLongKey(page, entry, word)
}

function checkLongKey(page: PageBytes, entry: number, word: number): string | undefined {
  if (!hasLongKey(word)) return undefined
  return checkRef(page, keyReferenceAt(entry, word), inlineKeyBytes(word) + 1, limits.keyBytes)
}

function checkRef(page: PageBytes, at: number, minBytes: number, maxBytes: number) {
  const first = page.u32[at >>> 2]
  const sizeBytes = page.u32[(at + 4) >>> 2]
  if (first < firstDataPage) return 'refers to an extent in a meta page'
  if (sizeBytes < minBytes || sizeBytes > maxBytes) {
    return `refers to an extent of ${sizeBytes} bytes`
  }
  return undefined
}
