import type { Vfs } from '../../../vfs/vfs.js'
import type { SyncedFile } from './synced-file.js'
import { parseFileName } from './file-names.js'
import { isLiveLog, type LevelState, type ManifestReading, readManifest } from './manifest-state.js'

/** Whether the tables of a state, and the synced logs that it needs, are in the directory. */
export function hasFiles(
  state: LevelState,
  names: readonly string[],
  synced: readonly SyncedFile[]
): boolean {
  const there = new Set(names.map(idOf))
  const logs = synced.filter(({ name, sizeBytes }) => {
    const file = parseFileName(name)
    return file?.kind === 'log' && sizeBytes > 0 && isLiveLog(state, file.number)
  })
  return (
    state.tables.every(({ number }) => there.has(`table ${number}`)) &&
    logs.every(({ name }) => there.has(idOf(name)))
  )
}

/**
 * The state before the first record, none of it synced, that names a table which is not there: a
 * power cut may keep the record and lose the name. LevelDB syncs its directory before such a record,
 * and removes what the record replaces after that, so everything from before is still there; where
 * it is not, a table was lost in another way. Undefined: nothing is missing, or that does not help.
 * The reading that is answered has the records left out as its tail.
 */
export async function withoutLostTables(
  vfs: Vfs,
  path: string,
  whole: ManifestReading,
  names: readonly string[],
  synced: readonly SyncedFile[]
): Promise<ManifestReading | undefined> {
  const there = new Set(names.map(idOf))
  const known = synced.find(({ name }) => path.endsWith(`/${name}`))
  const syncedBytes = known?.sizeBytes ?? 0
  let reading = whole
  let lost: number | undefined
  for (;;) {
    const { state, addedAt } = reading
    if (state === undefined) return undefined
    let end = Infinity
    for (const { number } of state.tables) {
      const at = addedAt.get(number)!
      if (there.has(`table ${number}`) || at >= end) continue
      end = at
      lost = number
    }
    if (end === Infinity) break
    // Of a manifest that is not known as synced, LevelDB syncs the first record before all else.
    if (end < syncedBytes || end === 0) return undefined
    const shorter = await readManifest(vfs, path, end)
    if (shorter?.state === undefined || shorter.tail !== undefined) return undefined
    const reason = `this record puts table ${lost} in use, which is not there`
    reading = {
      ...shorter,
      sizeBytes: whole.sizeBytes,
      tail: { offset: end, reason, isTorn: false }
    }
  }
  return reading !== whole && hasFiles(reading.state!, names, synced) ? reading : undefined
}

function idOf(name: string): string {
  const file = parseFileName(name)
  return file !== undefined && 'number' in file ? `${file.kind} ${file.number}` : name
}
