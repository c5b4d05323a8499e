import type { PageBytes } from '../../../page/format.js'
import { inlineValueBytes, valueOffset } from '../../../page/read.js'
import { EntryKind } from '../../../memtable/entry.js'
import { Found } from '../../../memtable/lookup.js'
import type { Lookup } from '../../../memtable/lookup.js'
import {
  listedVersionBytes,
  severalVersions,
  tagBytes,
  tagKindMask,
  tagSeqShift
} from './format.js'

/** The versions of the key stand in a block of their own, to which the lookup has the handle. */
export const foundElsewhere = 2

/**
 * Puts the newest version up to `maxSeq` of a page's entry into the lookup. What `largePut` and
 * `foundElsewhere` leave there is a handle.
 */
export function pickVersion(
  memory: PageBytes,
  entry: number,
  minSeq: number,
  maxSeq: number,
  lookup: Lookup
): number {
  const { u32 } = memory
  const word = u32[entry >>> 2]
  const at = entry + valueOffset(word)
  const tag = u32[at >>> 2]
  const kind = tag & tagKindMask
  if (kind === severalVersions) return pickListed(memory, at, minSeq, maxSeq, lookup)
  const seq = minSeq + (tag >>> tagSeqShift)
  if (seq > maxSeq) return Found.absent
  lookup.seq = seq
  lookup.kind = kind as EntryKind
  lookup.memory = memory
  lookup.start = at + tagBytes
  lookup.end = at + inlineValueBytes(word)
  return Found.present
}

function pickListed(
  memory: PageBytes,
  list: number,
  minSeq: number,
  maxSeq: number,
  lookup: Lookup
): number {
  const { u32 } = memory
  const count = u32[list >>> 2] >>> tagSeqShift
  let at = list + tagBytes
  lookup.memory = memory
  if (count === 0) {
    lookup.start = at
    return foundElsewhere
  }
  for (let i = 0; i < count; i++) {
    const tag = u32[at >>> 2]
    const length = u32[(at >>> 2) + 1]
    const seq = minSeq + (tag >>> tagSeqShift)
    at += listedVersionBytes
    if (seq <= maxSeq) {
      lookup.seq = seq
      lookup.kind = (tag & tagKindMask) as EntryKind
      lookup.start = at
      lookup.end = at + length
      return Found.present
    }
    at += (length + 3) & ~3
  }
  return Found.absent
}
