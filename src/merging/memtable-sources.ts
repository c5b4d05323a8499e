import { turn } from '../base/turn.js'
import type { Memtable } from '../memtable/memtable.js'
import type { RangeTombstones } from '../memtable/range-tombstones.js'
import { MemtableSource } from './memtable-source.js'
import type { SourceCursor } from './source-cursor.js'

/** Keys put in order before the event loop goes on; more are a step of `orderMemtables`. */
const orderedPerTurn = 4096

/**
 * Adds cursors over memtables, and their range tombstones; false where keys have to be brought into
 * order first, which takes long, and it must not.
 */
export function addMemtables(
  memtables: readonly Memtable[],
  wait: boolean,
  cursors: SourceCursor[],
  tombstones: RangeTombstones[]
): boolean {
  for (const memtable of memtables) {
    if (memtable.isEmpty) continue
    if (!wait && memtable.unorderedKeys > orderedPerTurn) return false
    cursors.push(new MemtableSource(memtable))
    if (!memtable.tombstones.isEmpty) tombstones.push(memtable.tombstones)
  }
  return true
}

/**
 * Does what `addMemtables` answered false for, in slices; false when it ended early, because the
 * memory of the memtables may belong to others by now.
 */
export async function orderMemtables(
  memtables: readonly Memtable[],
  isCurrent: () => boolean
): Promise<boolean> {
  for (const memtable of memtables) {
    while (memtable.unorderedKeys > orderedPerTurn && !memtable.order(orderedPerTurn)) {
      await turn()
      if (!isCurrent()) return false
    }
  }
  return true
}
