import type { Memtable } from '../../../memtable/memtable.js'
import type { Table } from '../table/table.js'
import { LevelTables } from './level-tables.js'

/**
 * Everything a read looks at, newest first: of any key, a source has no version newer than those in
 * the sources before it. Only tables of level 0 may be out of this order after a rebuild; they come
 * by their highest sequence number, which says when to stop.
 */
export interface Sources {
  /** Rises with every change of the others. */
  readonly stateNumber: number
  /** The active one first. */
  readonly memtables: readonly Memtable[]
  readonly level0: readonly Table[]
  /** Levels 1 and up, those without tables left out. */
  readonly levels: readonly LevelTables[]
  /** What cursors walk over: tables of level 0 one by one, then whole levels. */
  readonly runs: readonly LevelTables[]
  /** All tables that hold removals of ranges. */
  readonly withTombstones: readonly Table[]
}

/** Orders the tables of a version for reading. */
export function tablesOf(levels: readonly (readonly Table[])[]) {
  const [level0 = [], ...others] = levels
  const below = others
    .filter((tables) => tables.length > 0)
    .map((tables) => new LevelTables(tables))
  return {
    level0,
    levels: below,
    runs: [...level0.map((table) => new LevelTables([table], table.meta.maxSeq)), ...below],
    withTombstones: levels.flat().filter(({ meta }) => meta.rangeTombstones > 0)
  }
}

export type TableSources = ReturnType<typeof tablesOf>
