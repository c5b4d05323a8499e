import { compareBytes, formatKey } from '../../base/bytes.js'
import { fenceAt, isUnknown } from '../../page/edit.js'
import type { Fence } from '../../page/edit.js'
import { entryAt, entryCount, firstKeyIndex, hasLongKey, keyReferenceAt } from '../../page/read.js'
import { inlineKeyBytes } from '../../page/read.js'
import { entryHeaderBytes } from '../../page/format.js'
import { pageHeaderBytes } from './format.js'
import { childAt, readExtentRef } from './node.js'
import type { ExtentRef } from './page-content.js'
import type { Slab } from './page-memory.js'
import type { TreeState } from './tree-state.js'
import type { Tree } from './tree.js'

/** What a walk over the whole tree found. */
export interface TreeCheck {
  readonly problems: string[]
  readonly pages: number[]
  readonly extents: ExtentRef[]
  entries: number
}

/**
 * Walks a whole state of the tree: every key lies between the separators above it, in order, every
 * fence is where its page ends, and the number of entries is what the state says. Loads what it needs,
 * so a damaged page is the pager's error.
 */
export function checkTree(tree: Tree, state: TreeState): TreeCheck {
  const result: TreeCheck = { problems: [], pages: [], extents: [], entries: 0 }
  if (state.height > 0) {
    const top = state.height - 1
    checkPage(tree, result, state.rootPage, top, undefined, 0, undefined, undefined)
  }
  if (result.entries !== state.entries) {
    result.problems.push(`${result.entries} entries where ${state.entries} are counted`)
  }
  return result
}

function checkPage(
  tree: Tree,
  result: TreeCheck,
  pageNo: number,
  level: number,
  parent: Slab | undefined,
  sums: number,
  low: Buffer | undefined,
  high: Buffer | undefined
): void {
  tree.frameOf(pageNo, level, parent, sums)
  result.pages.push(pageNo)
  const slab = tree.slabOf(pageNo)
  const base = tree.regionOf(pageNo) - pageHeaderBytes
  const wrong = tree.content.check(slab, base)
  if (wrong !== undefined) result.problems.push(`page ${pageNo}: ${wrong}`)
  tree.content.eachExtent(slab, base, (ref) => result.extents.push(ref))
  const keys = keysOf(tree, pageNo)
  checkOrder(result, pageNo, keys, low, high)
  if (level === 0) {
    result.entries += keys.length
    checkFences(tree, result, pageNo, keys, low, high)
    return
  }
  const region = base + pageHeaderBytes
  const bounds = [low, ...keys, high]
  for (let i = 0; i <= keys.length; i++) {
    // A load may evict this page: it is looked up again for every child.
    tree.frameOf(pageNo, level, parent, sums)
    const here = tree.slabOf(pageNo)
    const child = childAt(here, entryAt(here, tree.regionOf(pageNo), i)) >>> 2
    checkPage(tree, result, here.u32[child], level - 1, here, child + 1, bounds[i], bounds[i + 1])
  }
  if (entryCount(slab, region) < 1) result.problems.push(`page ${pageNo} has no children`)
}

function checkOrder(
  result: TreeCheck,
  pageNo: number,
  keys: readonly Buffer[],
  low: Buffer | undefined,
  high: Buffer | undefined
): void {
  for (let i = 1; i < keys.length; i++) {
    if (compareBytes(keys[i - 1], keys[i]) >= 0) {
      result.problems.push(`page ${pageNo}: ${formatKey(keys[i])} is out of order`)
    }
  }
  const first = keys[0]
  const last = keys[keys.length - 1]
  if (first && low && compareBytes(first, low) < 0) {
    result.problems.push(`page ${pageNo}: ${formatKey(first)} is below ${formatKey(low)}`)
  }
  if (last && high && compareBytes(last, high) >= 0) {
    result.problems.push(`page ${pageNo}: ${formatKey(last)} is not below ${formatKey(high)}`)
  }
}

/** An exact fence is what the branches say, a cut one encloses that. */
function checkFences(
  tree: Tree,
  result: TreeCheck,
  pageNo: number,
  keys: readonly Buffer[],
  low: Buffer | undefined,
  high: Buffer | undefined
): void {
  const slab = tree.slabOf(pageNo)
  const region = tree.regionOf(pageNo)
  checkFence(result, pageNo, 'low', fenceAt(slab, region, false), low)
  checkFence(result, pageNo, 'high', fenceAt(slab, region, true), high)
  const lowFence = known(fenceAt(slab, region, false))
  const highFence = known(fenceAt(slab, region, true))
  if (lowFence && keys[0] && compareBytes(keys[0], lowFence.key) < 0) {
    result.problems.push(`page ${pageNo}: a key below the low fence`)
  }
  const last = keys[keys.length - 1]
  if (highFence && last && compareBytes(last, highFence.key) >= 0) {
    result.problems.push(`page ${pageNo}: a key at or above the high fence`)
  }
}

function checkFence(
  result: TreeCheck,
  pageNo: number,
  side: 'low' | 'high',
  fence: Fence | undefined,
  bound: Buffer | undefined
): void {
  let wrong: string | undefined
  if (fence === undefined) wrong = bound && 'missing'
  else if (bound === undefined) wrong = 'at the edge of the tree'
  else if (!isUnknown(fence)) {
    const order = compareBytes(fence.key, bound)
    if (!fence.inexact && order !== 0) wrong = 'not where the branches say'
    else if (side === 'low' ? order > 0 : order < 0) wrong = "inside the page's range"
  }
  if (wrong) result.problems.push(`page ${pageNo}: the ${side} fence is ${wrong}`)
}

function known(fence: Fence | undefined): Fence | undefined {
  return fence && !isUnknown(fence) ? fence : undefined
}

/** Copies of a page's keys, without the floor. */
function keysOf(tree: Tree, pageNo: number): Buffer[] {
  const slab = tree.slabOf(pageNo)
  const region = tree.regionOf(pageNo)
  const keys: Buffer[] = []
  for (let i = firstKeyIndex(slab, region); i < entryCount(slab, region); i++) {
    const entry = entryAt(slab, region, i)
    const word = slab.u32[entry >>> 2]
    if (hasLongKey(word)) {
      const ref = readExtentRef(slab, keyReferenceAt(entry, word))
      keys.push(Buffer.from(tree.reader.tails.bytes(ref)))
    } else {
      const start = entry + entryHeaderBytes
      keys.push(Buffer.from(slab.u8.subarray(start, start + inlineKeyBytes(word))))
    }
  }
  return keys
}
