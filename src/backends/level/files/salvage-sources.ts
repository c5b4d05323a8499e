import type { Vfs } from '../../../vfs/vfs.js'
import type { SyncedFile } from './synced-file.js'
import { type LogSalvage, salvageLogs } from './log-salvage.js'
import { chooseManifest } from './manifest-choice.js'
import { namesIfThere } from './read-fully.js'
import type { SalvageTable } from './table-cursor.js'
import { findTable, probeTables } from './table-lookup.js'

/** Where the entries of a LevelDB directory are. */
export interface SalvageSources {
  readonly tables: readonly SalvageTable[]
  readonly logs: LogSalvage
  /** Why it is not known which tables are in use; undefined: it is known. */
  readonly unknown: string | undefined
}

/**
 * Finds the tables and logs that hold the state of a directory, or, where no manifest tells, all that
 * might. Undefined where there is no directory. `synced` undefined: nothing tells what was synced.
 */
export async function findSources(
  vfs: Vfs,
  directory: string,
  synced: readonly SyncedFile[] | undefined
): Promise<SalvageSources | undefined> {
  const names = await namesIfThere(vfs, directory)
  if (names === undefined) return undefined
  const { state, reason, deleted, known } = await chooseManifest(vfs, directory, names, synced)
  const logs = await salvageLogs(vfs, directory, names, state, synced)
  const probes = await probeTables(vfs, directory, names)
  if (state !== undefined) {
    const tables = state.tables.map((table) => {
      const path = findTable(table, probes)?.path
      const name = `table ${table.number} in ${directory}`
      const isThere = probes.some(({ number }) => number === table.number)
      return { ...table, path, reason: `${name} is ${isThere ? 'another one' : 'missing'}` }
    })
    return { tables, logs, unknown: undefined }
  }
  const missing = known.filter(({ number }) => probes.every((probe) => probe.number !== number))
  const tables: SalvageTable[] = [
    ...probes
      .filter(({ number }) => !deleted.has(number))
      .map((probe) => ({ ...probe, level: 0, reason })),
    ...missing.map((table) => {
      const why = `table ${table.number} in ${directory} is missing, or no longer in use`
      return { ...table, level: 0, path: undefined, reason: why }
    })
  ]
  return { tables, logs, unknown: reason }
}
