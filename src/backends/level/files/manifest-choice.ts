import type { Vfs } from '../../../vfs/vfs.js'
import type { SyncedFile } from './synced-file.js'
import { flawOf, readCurrent } from './current-manifest.js'
import { hasFiles, withoutLostTables } from './manifest-files.js'
import { isManifest, numberOf } from './file-names.js'
import type { LiveTable } from './version-edit.js'
import { type LevelState, type ManifestReading, readManifest } from './manifest-state.js'

/** What is in a LevelDB directory, for whoever saves it. */
export interface ManifestChoice {
  /** Undefined: no manifest can be believed. */
  readonly state: LevelState | undefined
  /** Why not. */
  readonly reason: string
  /** Numbers of the tables that any manifest says were removed: they never come back. */
  readonly deleted: ReadonlySet<number>
  /** Tables that some manifest has in use. */
  readonly known: readonly LiveTable[]
}

interface Candidate {
  readonly name: string
  readonly reading: ManifestReading
}

/**
 * Chooses the manifest to believe: the one that CURRENT names, unless it is older than one that was
 * synced in use, or lacks files which a newer one does not need. After a power cut both may be there,
 * whole; then they say the same in other words.
 */
export async function chooseManifest(
  vfs: Vfs,
  directory: string,
  names: readonly string[],
  synced: readonly SyncedFile[] | undefined
): Promise<ManifestChoice> {
  const current = await readCurrent(vfs, directory)
  const sizes = new Map(synced?.map(({ name, sizeBytes }) => [name, sizeBytes]))
  const inUse = [...sizes.keys()].filter(isManifest)
  const oldest = Math.max(0, ...inUse.map(numberOf))
  const deleted = new Set<number>()
  const known = new Map<number, LiveTable>()
  const flaws: string[] = []
  const sound: Candidate[] = []
  const candidates = names.filter(isManifest).sort((a, b) => numberOf(b) - numberOf(a))
  for (const name of candidates) {
    const reading = await readManifest(vfs, `${directory}/${name}`)
    if (reading === undefined) continue
    for (const number of reading.deleted) deleted.add(number)
    for (const table of reading.known) known.set(table.number, table)
    const flaw = flawOf(reading, synced && (sizes.get(name) ?? 0))
    // Behind a damaged one, an older one is too old, unless it was in use.
    const mayBeIt = name === current || name === candidates[0] || numberOf(name) === oldest
    if (flaw) flaws.push(`${name} is damaged at byte ${flaw.offset}: ${flaw.reason}`)
    else if (numberOf(name) < oldest || !mayBeIt) flaws.push(`${name} is not the newest`)
    else sound.push({ name, reading })
  }
  const isThere = ({ state }: ManifestReading): boolean =>
    state !== undefined && hasFiles(state, names, synced ?? [])
  const chosen =
    sound.find(({ name, reading }) => name === current && isThere(reading)) ??
    sound.find(({ reading }) => isThere(reading)) ??
    (await shortened(vfs, directory, sound, names, synced)) ??
    sound.find(({ name }) => name === current) ??
    sound[0]
  return {
    state: chosen?.reading.state,
    reason: flaws.length === 0 ? 'there is no manifest' : flaws.join('; '),
    deleted,
    known: [...known.values()].filter(({ number }) => !deleted.has(number))
  }
}

/** The first manifest whose files are all there once records that came too early are left out. */
async function shortened(
  vfs: Vfs,
  directory: string,
  sound: readonly Candidate[],
  names: readonly string[],
  synced: readonly SyncedFile[] | undefined
): Promise<Candidate | undefined> {
  if (synced === undefined) return undefined
  for (const { name, reading } of sound) {
    const shorter = await withoutLostTables(vfs, `${directory}/${name}`, reading, names, synced)
    if (shorter !== undefined) return { name, reading: shorter }
  }
  return undefined
}
