import { assert } from '../base/assert.js'
import {
  entryHeaderBytes,
  fenceHeaderBytes,
  floorFlag,
  highUnknownFlag,
  inexactFenceFlag,
  keyBytesMask,
  longKeyFlag,
  longValueFlag,
  lowUnknownFlag,
  maxRegionBytes,
  minRegionBytes,
  regionHeaderBytes,
  slotBytes,
  valueBytesShift
} from './format.js'
import type { PageBytes } from './format.js'
import { entryAt, entryBytes, freeBytes, headOf } from './read.js'

/** Longer runs of bytes are copied by a call, which costs an object each. */
const maxLoopBytes = 512

/** A fence key; cut ones are inexact, and one cut to nothing says nothing. */
export interface Fence {
  readonly key: Uint8Array
  readonly inexact: boolean
}

/** The side ends somewhere, but the page does not say where. */
export const unknownFence: Fence = { key: Buffer.alloc(0), inexact: true }

/**
 * Changes pages in place. All pages of one editor have regions of the same size. Whoever calls has
 * checked what it passes: indexes, and space by the return value of `reserve`.
 */
export class PageEditor {
  readonly sizeBytes: number
  /** Room for pages being rebuilt: `stagePage(slot, ...)` copies one to `slot * sizeBytes`. */
  readonly stage: PageBytes

  constructor(sizeBytes: number, stageSlots = 4) {
    assert(
      sizeBytes >= minRegionBytes && sizeBytes <= maxRegionBytes && sizeBytes % 4 === 0,
      `page regions of ${sizeBytes} bytes`
    )
    this.sizeBytes = sizeBytes
    const bytes = new ArrayBuffer(sizeBytes * stageSlots)
    this.stage = { u8: Buffer.from(bytes), u32: new Uint32Array(bytes) }
  }

  /** Makes the region an empty page. */
  clear(memory: PageBytes, base: number, flags: number): void {
    const word = base >>> 2
    memory.u32[word] = 0
    memory.u32[word + 1] = this.sizeBytes
    memory.u32[word + 2] = 0
    memory.u32[word + 3] = flags
  }

  /**
   * Replaces one fence; undefined leaves the side open. Where there is no room for the new one, the
   * side becomes unknown.
   */
  setFence(memory: PageBytes, base: number, high: boolean, fence: Fence | undefined): void {
    const word = base >>> 2
    const u32 = memory.u32
    const shift = high ? 16 : 0
    // Removing the old fence may move the new one's bytes when they are a view of this page.
    const copy = fence && { key: Buffer.from(fence.key), inexact: fence.inexact }
    const old = fenceAt(memory, base, high)
    u32[word + 1] += fenceBytes(old) << 16
    u32[word + 2] &= ~(0xffff << shift)
    const unknownFlag = high ? highUnknownFlag : lowUnknownFlag
    u32[word + 3] &= ~unknownFlag
    if (copy === undefined) return
    if (isUnknown(copy) || fenceBytes(copy) > freeBytes(memory, base)) {
      u32[word + 3] |= unknownFlag
      return
    }
    const slotsEnd = regionHeaderBytes + (u32[word] & 0xffff) * slotBytes
    if ((u32[word + 1] & 0xffff) - slotsEnd < fenceBytes(copy)) this.compact(memory, base)
    u32[word + 2] |= this.#writeFence(memory, base, copy) << shift
  }

  /**
   * Makes room for an entry of `bytes` (a multiple of 4) at `index` and returns where it goes, or
   * -1 when the page has no room. The caller writes the entry there, then calls `finishInsert`.
   */
  reserve(memory: PageBytes, base: number, index: number, bytes: number): number {
    const u32 = memory.u32
    const word = base >>> 2
    const count = u32[word] & 0xffff
    const slotsEnd = regionHeaderBytes + count * slotBytes
    const heap = u32[word + 1]
    let heapStart = heap & 0xffff
    if (heapStart - slotsEnd < bytes + slotBytes) {
      if (heapStart + (heap >>> 16) - slotsEnd < bytes + slotBytes) return -1
      this.compact(memory, base)
      heapStart = u32[word + 1] & 0xffff
    }
    heapStart -= bytes
    u32[word + 1] = heapStart | (u32[word + 1] & 0xffff_0000)
    const slots = word + (regionHeaderBytes >>> 2)
    shiftUp(u32, slots + 2 * index, slots + 2 * count)
    u32[slots + 2 * index + 1] = heapStart
    u32[word]++
    return base + heapStart
  }

  /** Sets the head of an entry just written, adapting the page's prefix where the key needs it. */
  finishInsert(memory: PageBytes, base: number, index: number): void {
    const u32 = memory.u32
    const word = base >>> 2
    const count = u32[word] & 0xffff
    const prefix = u32[word] >>> 16
    const first = u32[word + 3] & floorFlag
    const entry = entryAt(memory, base, index)
    if (index < first) {
      u32[(base + regionHeaderBytes) >>> 2] = 0
      return
    }
    if (index === first || index === count - 1) {
      const other = index === first ? count - 1 : first
      const common = commonPrefix(memory, entry, entryAt(memory, base, other))
      if (count - first === 1 || common < prefix) {
        this.#setPrefix(memory, base, common)
        return
      }
    }
    // Between two keys that share the prefix a key does so too, but less of a long one stands here.
    if ((u32[entry >>> 2] & longKeyFlag) !== 0 && prefixLimit(memory, entry) < prefix) {
      this.#setPrefix(memory, base, prefixLimit(memory, entry))
      return
    }
    const end = entry + entryHeaderBytes + (u32[entry >>> 2] & keyBytesMask)
    u32[((base + regionHeaderBytes) >>> 2) + 2 * index] = headOf(
      memory.u8,
      entry + entryHeaderBytes + prefix,
      end
    )
  }

  /** Inserts a copy of another page's entry, for which there is room, and returns where it is. */
  insertCopy(
    memory: PageBytes,
    base: number,
    index: number,
    source: PageBytes,
    sourceEntry: number
  ): number {
    const bytes = entryBytes(source, sourceEntry)
    const entry = this.reserve(memory, base, index, bytes)
    assert(entry >= 0, 'an entry is copied into a page without room for it')
    copyWords(memory.u32, entry >>> 2, source.u32, sourceEntry >>> 2, bytes >>> 2)
    this.finishInsert(memory, base, index)
    return entry
  }

  /** Removes the entries `from` to `to` - 1. Their bytes become holes. */
  remove(memory: PageBytes, base: number, from: number, to: number): void {
    const u32 = memory.u32
    const word = base >>> 2
    const count = u32[word] & 0xffff
    let heapStart = u32[word + 1] & 0xffff
    let holes = u32[word + 1] >>> 16
    for (let i = from; i < to; i++) {
      const entry = entryAt(memory, base, i)
      const bytes = entryBytes(memory, entry)
      if (entry - base === heapStart) heapStart += bytes
      else holes += bytes
    }
    if (holes === this.sizeBytes - heapStart) {
      heapStart = this.sizeBytes
      holes = 0
    }
    const slots = word + (regionHeaderBytes >>> 2)
    u32.copyWithin(slots + 2 * from, slots + 2 * to, slots + 2 * count)
    const left = count - (to - from)
    const prefix = left > (u32[word + 3] & floorFlag) ? u32[word] & 0xffff_0000 : 0
    u32[word] = left | prefix
    u32[word + 1] = heapStart | (holes << 16)
  }

  /**
   * Gives the entry at `index` room for a value of `valueBytes` where its present room suffices.
   * Returns the position of the entry, or -1: then `remove` and `reserve`.
   */
  resizeValue(memory: PageBytes, base: number, index: number, valueBytes: number): number {
    const u32 = memory.u32
    const entry = entryAt(memory, base, index)
    const word = u32[entry >>> 2]
    const before = (((word >>> valueBytesShift) & keyBytesMask) + 3) & ~3
    const after = (valueBytes + 3) & ~3
    if (after > before) return -1
    u32[entry >>> 2] = (word & (keyBytesMask | longKeyFlag)) | (valueBytes << valueBytesShift)
    u32[(base + 4) >>> 2] += (before - after) << 16
    return entry
  }

  /** Lays the entries in key order, one beside the other, unless they lie in order. */
  arrange(memory: PageBytes, base: number): void {
    const u32 = memory.u32
    const count = u32[base >>> 2] & 0xffff
    const slots = (base + regionHeaderBytes) >>> 2
    for (let i = 1; i < count; i++) {
      if (u32[slots + 2 * i + 1] < u32[slots + 2 * i - 1]) continue
      this.compact(memory, base)
      return
    }
  }

  /** Moves the entries together, so that all free bytes lie between slots and heap. */
  compact(memory: PageBytes, base: number): void {
    const stage = this.stagePage(0, memory, base)
    const word = base >>> 2
    const counts = memory.u32[word]
    const flags = memory.u32[word + 3]
    this.clear(memory, base, flags)
    this.copyFences(memory, base, this.stage, stage)
    this.append(memory, base, this.stage, stage, 0, counts & 0xffff)
    memory.u32[word] = counts
  }

  /** Copies a page to a place of the stage and returns its base there. */
  stagePage(slot: number, memory: PageBytes, base: number): number {
    const target = slot * this.sizeBytes
    copyWords(this.stage.u32, target >>> 2, memory.u32, base >>> 2, this.sizeBytes >>> 2)
    return target
  }

  copyFences(memory: PageBytes, base: number, source: PageBytes, sourceBase: number): void {
    const fences = source.u32[(sourceBase + 8) >>> 2]
    const low = this.#copyFence(memory, base, source, sourceBase, fences & 0xffff)
    const high = this.#copyFence(memory, base, source, sourceBase, fences >>> 16)
    memory.u32[(base + 8) >>> 2] = low | (high << 16)
  }

  /**
   * Copies the entries `from` to `to` - 1 of another page behind the last entry; they fit, and heads
   * are copied as they are. `finishAppend` follows unless prefix and heads are right already.
   */
  append(
    memory: PageBytes,
    base: number,
    source: PageBytes,
    sourceBase: number,
    from: number,
    to: number
  ): void {
    const target32 = memory.u32
    const source32 = source.u32
    const word = base >>> 2
    const count = target32[word] & 0xffff
    let heapStart = target32[word + 1] & 0xffff
    let slot = word + (regionHeaderBytes >>> 2) + 2 * count
    let sourceSlot = ((sourceBase + regionHeaderBytes) >>> 2) + 2 * from
    for (let i = from; i < to; i++) {
      const entry = sourceBase + source32[sourceSlot + 1]
      const bytes = entryBytes(source, entry)
      heapStart -= bytes
      target32[slot] = source32[sourceSlot]
      target32[slot + 1] = heapStart
      copyWords(target32, (base + heapStart) >>> 2, source32, entry >>> 2, bytes >>> 2)
      slot += 2
      sourceSlot += 2
    }
    target32[word] += to - from
    target32[word + 1] = heapStart | (target32[word + 1] & 0xffff_0000)
  }

  /** Computes prefix and heads anew. */
  finishAppend(memory: PageBytes, base: number): void {
    const count = memory.u32[base >>> 2] & 0xffff
    const first = memory.u32[(base + 12) >>> 2] & floorFlag
    if (first === 1 && count > 0) memory.u32[(base + regionHeaderBytes) >>> 2] = 0
    if (count <= first) {
      memory.u32[base >>> 2] = count
      return
    }
    const low = entryAt(memory, base, first)
    let prefix = commonPrefix(memory, low, entryAt(memory, base, count - 1))
    for (let i = first; i < count; i++) {
      prefix = Math.min(prefix, prefixLimit(memory, entryAt(memory, base, i)))
    }
    this.#setPrefix(memory, base, prefix)
  }

  #setPrefix(memory: PageBytes, base: number, prefix: number): void {
    const u32 = memory.u32
    const word = base >>> 2
    const count = u32[word] & 0xffff
    u32[word] = count | (prefix << 16)
    const slots = word + (regionHeaderBytes >>> 2)
    for (let i = u32[word + 3] & floorFlag; i < count; i++) {
      const entry = base + u32[slots + 2 * i + 1]
      const end = entry + entryHeaderBytes + (u32[entry >>> 2] & keyBytesMask)
      u32[slots + 2 * i] = headOf(memory.u8, entry + entryHeaderBytes + prefix, end)
    }
  }

  #writeFence(memory: PageBytes, base: number, fence: Fence): number {
    const { key, inexact } = fence
    const word = (base + 4) >>> 2
    const bytes = fenceHeaderBytes + ((key.length + 3) & ~3)
    const heapStart = (memory.u32[word] & 0xffff) - bytes
    memory.u32[word] = heapStart | (memory.u32[word] & 0xffff_0000)
    memory.u32[(base + heapStart + bytes - 4) >>> 2] = 0
    memory.u32[(base + heapStart) >>> 2] = key.length | (inexact ? inexactFenceFlag : 0)
    memory.u8.set(key, base + heapStart + fenceHeaderBytes)
    return heapStart
  }

  #copyFence(
    memory: PageBytes,
    base: number,
    source: PageBytes,
    sourceBase: number,
    offset: number
  ): number {
    if (offset === 0) return 0
    const word = (base + 4) >>> 2
    const from = (sourceBase + offset) >>> 2
    const bytes = fenceHeaderBytes + (((source.u32[from] & keyBytesMask) + 3) & ~3)
    const heapStart = (memory.u32[word] & 0xffff) - bytes
    memory.u32[word] = heapStart | (memory.u32[word] & 0xffff_0000)
    copyWords(memory.u32, (base + heapStart) >>> 2, source.u32, from, bytes >>> 2)
    return heapStart
  }
}

/** The fence at one side of a page, its key a view of the page; undefined where the side is open. */
export function fenceAt(memory: PageBytes, base: number, high: boolean): Fence | undefined {
  const fences = memory.u32[(base + 8) >>> 2]
  const offset = high ? fences >>> 16 : fences & 0xffff
  if (offset === 0) {
    const unknownFlag = high ? highUnknownFlag : lowUnknownFlag
    return memory.u32[(base + 12) >>> 2] & unknownFlag ? unknownFence : undefined
  }
  const word = memory.u32[(base + offset) >>> 2]
  const start = base + offset + fenceHeaderBytes
  return {
    key: memory.u8.subarray(start, start + (word & keyBytesMask)),
    inexact: (word & inexactFenceFlag) !== 0
  }
}

/** Room that a fence takes up. */
export function fenceBytes(fence: Fence | undefined): number {
  if (fence === undefined || isUnknown(fence)) return 0
  return fenceHeaderBytes + ((fence.key.length + 3) & ~3)
}

/** Whether the side ends at a key of which nothing is known. */
export function isUnknown({ key, inexact }: Fence): boolean {
  return inexact && key.length === 0
}

/** Size of an entry whose key and value both stand in the page. */
export function plainEntryBytes(keyBytes: number, valueBytes: number): number {
  return entryHeaderBytes + ((keyBytes + 3) & ~3) + ((valueBytes + 3) & ~3)
}

/** Writes an entry whose key and value both stand in the page. */
export function writePlainEntry(
  memory: PageBytes,
  entry: number,
  source: Uint8Array,
  keyStart: number,
  keyEnd: number,
  valueEnd: number
): void {
  const keyBytes = keyEnd - keyStart
  memory.u32[entry >>> 2] = keyBytes | ((valueEnd - keyEnd) << valueBytesShift)
  const at = entry + entryHeaderBytes
  const padded = (keyBytes + 3) & ~3
  if (padded === keyBytes) {
    writePadded(memory, at, source, keyStart, valueEnd)
    return
  }
  writePadded(memory, at, source, keyStart, keyEnd)
  writePadded(memory, at + padded, source, keyEnd, valueEnd)
}

/** Copies `source[start, end)` to the aligned position `at`, padding the last word with zeros. */
export function writePadded(
  memory: PageBytes,
  at: number,
  source: Uint8Array,
  start: number,
  end: number
): void {
  const length = end - start
  if (length > maxLoopBytes) {
    memory.u32[(at + length - 1) >>> 2] = 0
    memory.u8.set(source.subarray(start, end), at)
    return
  }
  const u32 = memory.u32
  let word = at >>> 2
  let i = start
  for (; i + 4 <= end; i += 4) {
    u32[word++] = source[i] | (source[i + 1] << 8) | (source[i + 2] << 16) | (source[i + 3] << 24)
  }
  if (i === end) return
  let last = source[i]
  if (i + 1 < end) last |= source[i + 1] << 8
  if (i + 2 < end) last |= source[i + 2] << 16
  u32[word] = last
}

/** The first word of an entry. */
export function entryWord(
  keyBytes: number,
  longKey: boolean,
  valueBytes: number,
  longValue: boolean
): number {
  return (
    (keyBytes |
      (longKey ? longKeyFlag : 0) |
      (valueBytes << valueBytesShift) |
      (longValue ? longValueFlag : 0)) >>>
    0
  )
}

/** Bytes that the keys of two entries share, as far as `prefix` may count them. */
function commonPrefix(memory: PageBytes, a: number, b: number): number {
  const limit = Math.min(prefixLimit(memory, a), prefixLimit(memory, b))
  const u8 = memory.u8
  let length = 0
  const atA = a + entryHeaderBytes
  const atB = b + entryHeaderBytes
  while (length < limit && u8[atA + length] === u8[atB + length]) length++
  return length
}

/** How many bytes of an entry's key a page's prefix may cover. */
export function prefixLimit(memory: PageBytes, entry: number): number {
  const word = memory.u32[entry >>> 2]
  const here = word & keyBytesMask
  return (word & longKeyFlag) === 0 ? here : Math.max(0, here - 4)
}

/** Short runs are faster word by word than through the call that copies. */
function copyWords(
  target: Uint32Array,
  at: number,
  source: Uint32Array,
  from: number,
  count: number
): void {
  if (count <= 96) for (let i = 0; i < count; i++) target[at + i] = source[from + i]
  else target.set(source.subarray(from, from + count), at)
}

/** Moves the words `[from, to)` up by one slot. */
function shiftUp(u32: Uint32Array, from: number, to: number): void {
  if (to - from <= 48) for (let i = to - 1; i >= from; i--) u32[i + 2] = u32[i]
  else u32.copyWithin(from + 2, from, to)
}
