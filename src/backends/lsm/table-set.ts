import type { BackendContext } from '../../backend/backend.js'
import type { Version } from './manifest/version.js'
import { tablesOf, type TableSources } from './read/sources.js'
import { tableName, type TableMeta } from './table-meta.js'
import { TableEnv } from './table/table-env.js'
import { Table } from './table/table.js'

/** The tables of the current version as objects that can be read, one for each number. */
export class TableSet {
  readonly env: TableEnv
  readonly #directory: string
  readonly #tables = new Map<number, Table>()
  /** Dropped from the version, and perhaps still read. */
  readonly #leaving = new Map<number, Table>()

  constructor({ vfs, directory, storeId, checksum, options }: BackendContext) {
    const { blockBytes, cacheBytes } = options
    const slabBytes = Math.min(maxSlabBytes, cacheBytes)
    this.env = new TableEnv({ vfs, storeId, checksum, blockBytes, cacheBytes, slabBytes })
    this.#directory = directory
  }

  /** What a read looks at in this version; tables that it does not name are dropped. */
  adopt(version: Version): TableSources {
    const named = new Set<number>()
    const levels = version.levels.map((metas) =>
      metas.map((meta) => {
        named.add(meta.number)
        return this.#tableOf(meta)
      })
    )
    for (const [number, table] of this.#tables) {
      if (named.has(number)) continue
      this.#tables.delete(number)
      this.#leaving.set(number, table)
      table.drop()
    }
    return tablesOf(levels)
  }

  /** Whether something still reads a table that the version no longer has. */
  isInUse(number: number): boolean {
    const table = this.#leaving.get(number)
    if (table === undefined) return this.#tables.has(number)
    if (!table.isClosed) return true
    this.#leaving.delete(number)
    return false
  }

  /** No reads begin after this; those under way are waited for. */
  async close(): Promise<void> {
    for (const table of [...this.#tables.values(), ...this.#leaving.values()]) {
      await table.settle()
      table.drop()
    }
    this.env.files.closeIdle(Number.MAX_SAFE_INTEGER)
  }

  #tableOf(meta: TableMeta): Table {
    const known = this.#tables.get(meta.number)
    // A trivial move changes the level alone, which no read asks for.
    if (known !== undefined) return known
    const table = new Table(this.env, `${this.#directory}/${tableName(meta.number)}`, meta)
    this.#tables.set(meta.number, table)
    return table
  }
}

/** Memory of the cache is taken in blocks of this size. */
const maxSlabBytes = 4 * 2 ** 20
