import {
  entryHeaderBytes,
  fenceHeaderBytes,
  floorFlag,
  highUnknownFlag,
  inexactFenceFlag,
  keyBytesMask,
  longKeyFlag,
  lowUnknownFlag,
  regionHeaderBytes,
  referenceBytes,
  slotBytes,
  valueBytesShift
} from './format.js'
import type { PageBytes } from './format.js'
import { prefixLimit } from './edit.js'
import { entryBytes, headOf } from './read.js'

/**
 * Checks a page that came from outside for every invariant of format.md, so that afterwards no
 * access to it can leave the region. Returns what is wrong, or undefined.
 *
 * The one thing it cannot see is the order of two long keys that agree in all bytes that stand here.
 */
export function validatePage(
  memory: PageBytes,
  base: number,
  sizeBytes: number
): string | undefined {
  const word = base >>> 2
  const u32 = memory.u32
  const count = u32[word] & 0xffff
  const prefix = u32[word] >>> 16
  const heapStart = u32[word + 1] & 0xffff
  const holes = u32[word + 1] >>> 16
  const flags = u32[word + 3]
  if (flags > (floorFlag | lowUnknownFlag | highUnknownFlag)) return `unknown page flags ${flags}`
  const first = flags & floorFlag
  if (heapStart % 4 !== 0 || heapStart > sizeBytes) return `heap starts at ${heapStart}`
  if (regionHeaderBytes + count * slotBytes > heapStart) return `${count} slots do not fit`
  const low = u32[word + 2] & 0xffff
  const high = u32[word + 2] >>> 16
  const lowBytes = checkFence(memory, base, sizeBytes, heapStart, low)
  const highBytes = checkFence(memory, base, sizeBytes, heapStart, high)
  if (lowBytes < 0 || highBytes < 0 || (low !== 0 && low === high))
    return 'a fence is out of bounds'
  if ((low !== 0 && flags & lowUnknownFlag) || (high !== 0 && flags & highUnknownFlag))
    return 'a fence that is there and unknown'
  let used = lowBytes + highBytes
  const slots = word + (regionHeaderBytes >>> 2)
  for (let i = 0; i < count; i++) {
    const offset = u32[slots + 2 * i + 1]
    const bytes = checkEntry(memory, base, sizeBytes, heapStart, offset)
    if (bytes < 0) return `entry ${i} is out of bounds`
    used += bytes
    if (i < first) {
      if ((u32[(base + offset) >>> 2] & (keyBytesMask | longKeyFlag)) !== 0)
        return 'floor with a key'
      continue
    }
    const wrong = checkKey(memory, base, i, prefix)
    if (wrong !== undefined) return `entry ${i} ${wrong}`
  }
  if (count <= first && prefix !== 0) return 'a prefix without keys'
  if (used + holes !== sizeBytes - heapStart) return `${used} bytes used, ${holes} in holes`
  return undefined
}

/** Size of the fence at `offset`, 0 for none, -1 when it is out of bounds. */
function checkFence(
  memory: PageBytes,
  base: number,
  sizeBytes: number,
  heapStart: number,
  offset: number
): number {
  if (offset === 0) return 0
  if (offset % 4 !== 0 || offset < heapStart || offset + fenceHeaderBytes > sizeBytes) return -1
  const word = memory.u32[(base + offset) >>> 2]
  if (word > (inexactFenceFlag | keyBytesMask)) return -1
  const bytes = fenceHeaderBytes + (((word & keyBytesMask) + 3) & ~3)
  return offset + bytes > sizeBytes ? -1 : bytes
}

/** Size of the entry at `offset`, or -1 when it is out of bounds. */
function checkEntry(
  memory: PageBytes,
  base: number,
  sizeBytes: number,
  heapStart: number,
  offset: number
): number {
  if (offset % 4 !== 0 || offset < heapStart || offset + entryHeaderBytes > sizeBytes) return -1
  const bytes = entryBytes(memory, base + offset)
  if (offset + bytes > sizeBytes) return -1
  const word = memory.u32[(base + offset) >>> 2]
  const valueBytes = (word >>> valueBytesShift) & keyBytesMask
  return word >>> 31 !== 0 && valueBytes !== referenceBytes ? -1 : bytes
}

/** What is wrong with the key of entry `index`, whose bounds and predecessors are right. */
function checkKey(
  memory: PageBytes,
  base: number,
  index: number,
  prefix: number
): string | undefined {
  const u32 = memory.u32
  const u8 = memory.u8
  const slot = ((base + regionHeaderBytes) >>> 2) + 2 * index
  const entry = base + u32[slot + 1]
  const word = u32[entry >>> 2]
  const start = entry + entryHeaderBytes
  const keyBytes = word & keyBytesMask
  if (prefix > prefixLimit(memory, entry)) return 'is shorter than the prefix'
  if (headOf(u8, start + prefix, start + keyBytes) !== u32[slot]) return 'has a wrong head'
  if (index === (u32[(base + 12) >>> 2] & floorFlag)) return undefined
  const before = base + u32[slot - 1]
  const beforeWord = u32[before >>> 2]
  const beforeBytes = beforeWord & keyBytesMask
  const length = Math.min(keyBytes, beforeBytes)
  const at = before + entryHeaderBytes
  for (let i = 0; i < length; i++) {
    const difference = u8[start + i] - u8[at + i]
    if (difference === 0) continue
    if (i < prefix) return 'does not share the prefix'
    return difference > 0 ? undefined : 'is out of order'
  }
  // One is a prefix of the other as far as they stand here.
  if (((word | beforeWord) & longKeyFlag) === 0) {
    return keyBytes > beforeBytes ? undefined : 'is out of order'
  }
  const longer = (beforeWord & longKeyFlag) === 0 || keyBytes > beforeBytes
  return longer || (word & longKeyFlag) !== 0 ? undefined : 'is out of order'
}
