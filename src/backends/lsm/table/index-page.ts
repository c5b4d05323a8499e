import type { PageBytes } from '../../../page/format.js'
import {
  entryAt,
  entryCount,
  hasLongKey,
  inlineKeyBytes,
  inlineValueBytes,
  keyReferenceAt,
  valueOffset
} from '../../../page/read.js'
import { entryHeaderBytes } from '../../../page/format.js'
import { EntryKind } from '../../../memtable/entry.js'
import type { KeySpan } from '../../../memtable/key-span.js'
import type { TableMeta } from '../table-meta.js'
import type { BlockCache, FrameLongKeys, FrameOwner } from './block-cache.js'
import { handleBytes, tagBytes } from './format.js'

/**
 * Checks that all entries of an index page refer to blocks, and notes of each the level it has to be
 * of: so that a block is never taken for what it is not. What is wrong, or undefined.
 */
export function claimChildren(
  memory: PageBytes,
  base: number,
  level: number,
  levelOf: Uint8Array
): string | undefined {
  const { u32 } = memory
  const count = entryCount(memory, base)
  for (let i = 0; i < count; i++) {
    const entry = entryAt(memory, base, i)
    const word = u32[entry >>> 2]
    const at = (entry + valueOffset(word)) >>> 2
    const isHandle = inlineValueBytes(word) === tagBytes + handleBytes && u32[at] === EntryKind.put
    const block = isHandle ? u32[at + 1] : levelOf.length
    if (block >= levelOf.length) return 'it refers to a block that cannot be'
    // A child's level is one less, and what stands here is one more.
    if (levelOf[block] !== 0 && levelOf[block] !== level) return 'it refers to another level'
    levelOf[block] = level
  }
  return undefined
}

/** The key of an entry, copied. */
export function keyOf(memory: PageBytes, entry: number, longKeys: FrameLongKeys): Buffer {
  const word = memory.u32[entry >>> 2]
  if (hasLongKey(word)) return Buffer.from(longKeys.keyAt(memory, keyReferenceAt(entry, word)))
  const start = entry + entryHeaderBytes
  return Buffer.from(memory.u8.subarray(start, start + inlineKeyBytes(word)))
}

/** The keys that a block may hold, as exactly as the index blocks in memory tell. */
export function boundsOf(
  table: FrameOwner & { readonly meta: TableMeta },
  cache: BlockCache,
  block: number,
  levelOf: Uint8Array
): KeySpan {
  const { frameOf, meta } = table
  const span = { low: meta.low, high: meta.high }
  let child = block
  let isHighKnown = false
  for (let level = levelOf[block]; level > 0 && level < levelOf.length; level++) {
    const parent = parentOf(table, cache, child, level, levelOf)
    if (parent === undefined) break
    const frame = frameOf[parent.block]
    const memory = cache.slabs[frame >> cache.slabShift]
    const base = cache.baseOf(frame)
    const { index } = parent
    if (child === block) {
      span.low = keyOf(memory, entryAt(memory, base, index), cache.longKeys)
    }
    if (!isHighKnown && index + 1 < entryCount(memory, base)) {
      span.high = keyOf(memory, entryAt(memory, base, index + 1), cache.longKeys)
      isHighKnown = true
    }
    child = parent.block
  }
  return span
}

/** The index block in memory that refers to a block, and where; `level` is the one it has. */
function parentOf(
  { frameOf }: FrameOwner,
  cache: BlockCache,
  child: number,
  level: number,
  levelOf: Uint8Array
): { block: number; index: number } | undefined {
  for (let block = 0; block < frameOf.length; block++) {
    const frame = frameOf[block]
    if (frame < 0 || levelOf[block] !== level + 1) continue
    const memory = cache.slabs[frame >> cache.slabShift]
    const base = cache.baseOf(frame)
    const count = entryCount(memory, base)
    for (let index = 0; index < count; index++) {
      const entry = entryAt(memory, base, index)
      const at = entry + valueOffset(memory.u32[entry >>> 2]) + tagBytes
      if (memory.u32[at >>> 2] === child) return { block, index }
    }
  }
  return undefined
}
