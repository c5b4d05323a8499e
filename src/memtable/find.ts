import { noSeq } from './entry.js'
import type { KeyHash } from './key-hash.js'
import { Found, type Lookup } from './lookup.js'
import type { Memtable } from './memtable.js'

/**
 * Looks for a key, whose hash `hash` holds, in memtables from new to old: `present` with the version
 * in `lookup`, `absent` where it was removed, `notResident` where none of them knows of it.
 */
export function findInMemtables(
  memtables: readonly Memtable[],
  key: Uint8Array,
  hash: KeyHash,
  maxSeq: number,
  lookup: Lookup
): number {
  for (let i = 0; i < memtables.length; i++) {
    const memtable = memtables[i]
    if (memtable.isEmpty) continue
    const { tombstones } = memtable
    const removedSeq = tombstones.isEmpty
      ? noSeq
      : tombstones.coveringSeq(key, 0, key.length, maxSeq)
    if (memtable.find(key, hash, maxSeq, lookup) === Found.present) {
      return lookup.isDelete || removedSeq > lookup.seq ? Found.absent : Found.present
    }
    if (removedSeq > noSeq) return Found.absent
  }
  return Found.notResident
}
