import type { ByteRange } from '../../batch/batch.js'
import { entryAt, entryCount, searchPage } from '../../page/read.js'
import { pageHeaderBytes } from './format.js'
import { childAt } from './node.js'
import type { Tree } from './tree.js'

/** Which part of the tree lies in the range, from 0 to 1, judged by the pages in memory. */
export function estimateShare(tree: Tree, range: ByteRange): number {
  const low = range.gte ?? range.gt
  const high = range.lt ?? range.lte
  const from = low === undefined ? 0 : position(tree, low)
  const to = high === undefined ? 1 : position(tree, high)
  return Math.max(0, to - from)
}

/** Where a key stands among all, as if every child of a page held the same. */
function position(tree: Tree, key: Uint8Array): number {
  const { memory, reader } = tree
  const { tails } = reader
  let pageNo = tree.root
  let at = 0
  let share = 1
  tails.mayWait = false
  try {
    for (let level = tree.height - 1; level >= 0; level--) {
      const frame = memory.pageTable[pageNo]
      if (!(frame >= 0)) return at + share / 2
      const slab = memory.slabOf(frame)
      const region = memory.baseOf(frame) + pageHeaderBytes
      const count = entryCount(slab, region)
      if (count === 0) return at
      const found = searchPage(slab, region, key, 0, key.length, tails)
      const index = found >= 0 ? found : level > 0 ? ~found - 1 : ~found
      share /= count
      at += share * index
      if (level > 0) pageNo = slab.u32[childAt(slab, entryAt(slab, region, index)) >>> 2]
    }
    return at
  } catch (error) {
    if (error !== tails.notResident) throw error
    return at + share / 2
  } finally {
    tails.mayWait = true
  }
}
