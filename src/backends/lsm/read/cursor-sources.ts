import { spansOverlap, type KeySpan } from '../key-span.js'
import { Lookup } from '../lookup.js'
import type { RangeTombstones } from '../range-tombstones.js'
import type { Table } from '../table/table.js'
import { LevelSource } from './level-source.js'
import { MemtableSource } from './memtable-source.js'
import type { CursorSources } from './merging-cursor.js'
import type { SourceCursor } from './source-cursor.js'
import type { Sources } from './sources.js'

/** Keys put in order before the event loop goes on; more are a step of `loadSources`. */
const orderedPerTurn = 4096

/**
 * Cursors over everything that a span touches; null where something has to be done first that takes
 * long, and it must not.
 */
export function openSources(sources: Sources, span: KeySpan, wait: boolean): CursorSources | null {
  const cursors: SourceCursor[] = []
  const missing = new Lookup()
  const tombstones: RangeTombstones[] = []
  for (const memtable of sources.memtables) {
    if (memtable.isEmpty) continue
    if (!wait && memtable.unorderedKeys > orderedPerTurn) return null
    cursors.push(new MemtableSource(memtable))
    if (!memtable.tombstones.isEmpty) tombstones.push(memtable.tombstones)
  }
  for (const table of tombstoneTables(sources, span)) {
    if (!table.open(missing, wait)) return null
    tombstones.push(table.tombstones)
  }
  for (const table of sources.level0) {
    if (spansOverlap(table.meta, span)) cursors.push(new LevelSource([table]))
  }
  for (const { tables } of sources.levels) {
    const touched = tables.filter(({ meta }) => spansOverlap(meta, span))
    if (touched.length > 0) cursors.push(new LevelSource(touched))
  }
  return { cursors, tombstones }
}

/** Does what `openSources` answered null for, in slices. */
export async function loadSources(sources: Sources, span: KeySpan): Promise<void> {
  for (const memtable of sources.memtables) {
    while (memtable.unorderedKeys > orderedPerTurn && !memtable.order(orderedPerTurn)) await turn()
  }
  const missing = new Lookup()
  for (const table of tombstoneTables(sources, span)) {
    if (!table.open(missing, false)) await table.load(missing)
  }
}

function tombstoneTables(sources: Sources, span: KeySpan): Table[] {
  return sources.withTombstones.filter(({ meta }) => spansOverlap(meta, span))
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
