import { spansOverlap, type KeySpan } from '../../../memtable/key-span.js'
import { Lookup } from '../../../memtable/lookup.js'
import type { RangeTombstones } from '../../../memtable/range-tombstones.js'
import type { Table } from '../table/table.js'
import { LevelSource } from './level-source.js'
import { addMemtables, orderMemtables } from '../../../merging/memtable-sources.js'
import type { CursorSources } from '../../../merging/merging-cursor.js'
import type { SourceCursor } from '../../../merging/source-cursor.js'
import type { Sources } from './sources.js'

/**
 * Cursors over everything that a span touches; null where something has to be done first that takes
 * long, and it must not. Sources in `closed` are used again.
 */
export function openSources(
  sources: Sources,
  closed: LevelSource[],
  span: KeySpan,
  wait: boolean
): CursorSources | null {
  const cursors: SourceCursor[] = []
  const tombstones: RangeTombstones[] = []
  if (!addMemtables(sources.memtables, wait, cursors, tombstones)) return null
  if (sources.withTombstones.length > 0) {
    const missing = new Lookup()
    for (const table of tombstoneTables(sources, span)) {
      if (!table.open(missing, wait)) return null
      tombstones.push(table.tombstones)
    }
  }
  const { runs } = sources
  for (let i = 0; i < runs.length; i++) {
    const source = closed.pop() ?? new LevelSource(closed)
    if (source.begin(runs[i], span)) cursors.push(source)
    else closed.push(source)
  }
  return { cursors, tombstones }
}

/**
 * Does what `openSources` answered null for, in slices. Ends early when the sources are no longer
 * current: tables may then be closed, and the memory of memtables belongs to others.
 */
export async function loadSources(
  sources: Sources,
  span: KeySpan,
  isCurrent: () => boolean
): Promise<void> {
  if (!(await orderMemtables(sources.memtables, isCurrent))) return
  const missing = new Lookup()
  for (const table of tombstoneTables(sources, span)) {
    if (table.open(missing, false)) continue
    await table.load(missing)
    if (!isCurrent()) return
  }
}

function tombstoneTables(sources: Sources, span: KeySpan): Table[] {
  return sources.withTombstones.filter(({ meta }) => spansOverlap(meta, span))
}
