import { entryWord, writePadded } from '../../../page/edit.js'
import {
  entryHeaderBytes,
  referenceBytes,
  regionHeaderBytes,
  slotBytes
} from '../../../page/format.js'
import type { PageBytes } from '../../../page/format.js'
import { headOf } from '../../../page/read.js'
import { EntryKind } from '../../../memtable/entry.js'
import type { BlockDecoder } from './block-decoder.js'
import {
  listedVersionBytes,
  maxInlineKeyBytes,
  severalVersions,
  tagBytes,
  tagSeqShift
} from './format.js'

/** Makes the sorted page of a packed block, checking everything on the way. */
export class BlockUnpacker {
  readonly decoder: BlockDecoder
  /** Of the last page: every entry is one version with its value in the page. */
  isPlain = true
  /** The keys that do not stand in the page as a whole, by the index in their references. */
  longKeys: Buffer[] | undefined

  readonly #blockBytes: number
  readonly #inlineKeyBytes: number
  /** Where the current entry's value goes on, and where the page ends. */
  #at = 0
  #end = 0

  constructor(decoder: BlockDecoder, blockBytes: number) {
    this.decoder = decoder
    this.#blockBytes = blockBytes
    this.#inlineKeyBytes = maxInlineKeyBytes(blockBytes)
  }

  /**
   * Fills the region at `base`, of the size of a block, with the page. Long keys are referred to by
   * `owner` and their index. Returns what is wrong, or undefined.
   */
  unpack(packed: Buffer, memory: PageBytes, base: number, owner: number): string | undefined {
    const { decoder } = this
    this.isPlain = true
    this.longKeys = undefined
    if (!decoder.begin(packed)) return decoder.problem
    const { count, prefix } = decoder
    const heapStart = regionHeaderBytes + count * slotBytes
    if (heapStart > this.#blockBytes) return 'it has more entries than a page'
    const { u32 } = memory
    const word = base >>> 2
    u32[word] = count | (prefix << 16)
    u32[word + 1] = heapStart
    u32[word + 2] = 0
    u32[word + 3] = 0
    this.#at = base + heapStart
    this.#end = base + this.#blockBytes
    let slot = word + (regionHeaderBytes >>> 2)
    for (let i = 0; decoder.nextKey(); i++) {
      if (i > 0 && decoder.sharedBytes < prefix) return 'a key does not share the prefix'
      const entry = this.#at
      if (!this.#entry(memory, owner)) return decoder.problem ?? 'it is larger than a page'
      const { keyBytes } = decoder
      const isLong = keyBytes > this.#inlineKeyBytes
      const inline = isLong ? this.#inlineKeyBytes : keyBytes
      if (prefix > (isLong ? inline - 4 : inline)) return 'a key is shorter than the prefix'
      u32[slot] = headOf(decoder.key, prefix, inline)
      u32[slot + 1] = entry - base
      slot += 2
    }
    return decoder.problem
  }

  /** Writes the entry of the current key with all of its versions. */
  #entry(memory: PageBytes, owner: number): boolean {
    const { decoder } = this
    const { u32 } = memory
    const { keyBytes } = decoder
    const isLong = keyBytes > this.#inlineKeyBytes
    const inline = isLong ? this.#inlineKeyBytes : keyBytes
    const entry = this.#at
    const reference = entry + entryHeaderBytes + ((inline + 3) & ~3)
    const value = reference + (isLong ? referenceBytes : 0)
    if (value > this.#end) return false
    writePadded(memory, entry + entryHeaderBytes, decoder.key, 0, inline)
    if (isLong) {
      this.longKeys ??= []
      const at = reference >>> 2
      u32[at] = owner
      u32[at + 1] = this.longKeys.length
      u32[at + 2] = u32[at + 3] = 0
      this.longKeys.push(Buffer.from(decoder.key.subarray(0, keyBytes)))
    }
    this.#at = value
    const written = decoder.hasOlder ? this.#versions(memory) : this.#version(memory)
    if (!written) return false
    u32[entry >>> 2] = entryWord(inline, isLong, written, false)
    return true
  }

  /** Writes a value of one version; its size, 0 where there is no room. */
  #version(memory: PageBytes): number {
    const { kind, seq, minSeq, bytes, start, end } = this.decoder
    const length = tagBytes + end - start
    const at = this.#at
    if (at + ((length + 3) & ~3) > this.#end) return 0
    if (kind !== EntryKind.put) this.isPlain = false
    const number = kind === severalVersions ? 0 : seq - minSeq
    memory.u32[at >>> 2] = kind | (number << tagSeqShift)
    writePadded(memory, at + tagBytes, bytes, start, end)
    this.#at = at + ((length + 3) & ~3)
    return length
  }

  /** Writes a list of versions; its size, 0 where there is no room or something is wrong. */
  #versions(memory: PageBytes): number {
    const { decoder } = this
    const { u32 } = memory
    const first = this.#at
    this.isPlain = false
    let at = first + tagBytes
    let versions = 0
    do {
      const { kind, seq, minSeq, bytes, start, end } = decoder
      const next = at + listedVersionBytes + ((end - start + 3) & ~3)
      if (next > this.#end) return 0
      u32[at >>> 2] = kind | ((seq - minSeq) << tagSeqShift)
      u32[(at >>> 2) + 1] = end - start
      writePadded(memory, at + listedVersionBytes, bytes, start, end)
      at = next
      versions++
    } while (decoder.nextVersion())
    if (decoder.problem !== undefined) return 0
    u32[first >>> 2] = severalVersions | (versions << tagSeqShift)
    this.#at = at
    return at - first
  }
}
