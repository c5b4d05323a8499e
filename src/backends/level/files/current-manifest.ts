import type { Finding } from '../../../backend/backend.js'
import type { Vfs } from '../../../vfs/vfs.js'
import { currentName, isManifest, numberOf } from './file-names.js'
import { fileFinding } from './finding.js'
import { hasFiles, withoutLostTables } from './manifest-files.js'
import {
  type LevelState,
  type ManifestReading,
  type ManifestTail,
  readManifest
} from './manifest-state.js'
import { openIfThere, readFully } from './read-fully.js'
import type { SyncedFile } from './synced-file.js'

/** The manifest in use, as far as it can be used, and what is wrong with it and CURRENT. */
export interface CurrentManifest {
  readonly name: string | undefined
  /** CURRENT names an older one, of which LevelDB had removed files already. */
  readonly isUnnamed?: boolean
  readonly reading: ManifestReading | undefined
  readonly state: LevelState | undefined
  readonly findings: Finding[]
}

const longestCurrentBytes = 64

/** The name in CURRENT; undefined where there is none, or something else. */
export async function readCurrent(vfs: Vfs, directory: string): Promise<string | undefined> {
  const file = await openIfThere(vfs, `${directory}/${currentName}`)
  if (file === undefined) return undefined
  try {
    const bytes = Buffer.alloc(longestCurrentBytes)
    const text = bytes.toString('latin1', 0, await readFully(file, bytes, 0))
    const name = text.endsWith('\n') ? text.slice(0, -1) : ''
    return isManifest(name) ? name : undefined
  } finally {
    await file.close()
  }
}

/**
 * The manifest to go by: what CURRENT leads to, unless a power cut has kept later names and lost
 * earlier ones, on a file system that does not keep their order. Then it is a newer one
 * whose files are all there, or this one without records that came too early.
 */
export async function readCurrentManifest(
  vfs: Vfs,
  directory: string,
  names: readonly string[],
  synced: readonly SyncedFile[]
): Promise<CurrentManifest> {
  const current = await readNamedManifest(vfs, directory, names, synced)
  const { name, reading, state } = current
  // Where nobody knows how much of a manifest was synced, nothing may be left out.
  if (name === undefined || newestManifest(synced) === undefined) return current
  if (state !== undefined && hasFiles(state, names, synced)) return current
  const newer = await readUnnamedManifest(vfs, directory, names, synced, name)
  if (newer !== undefined) return newer
  const path = `${directory}/${name}`
  const shorter = state && reading && (await withoutLostTables(vfs, path, reading, names, synced))
  if (shorter === undefined) return current
  const findings = [...current.findings, tailFinding(path, shorter.tail!)]
  return { name, reading: shorter, state: shorter.state, findings }
}

/** A newer manifest than CURRENT names, made by an opening whose renaming of CURRENT was lost. */
async function readUnnamedManifest(
  vfs: Vfs,
  directory: string,
  names: readonly string[],
  synced: readonly SyncedFile[],
  current: string
): Promise<CurrentManifest | undefined> {
  const newer = names
    .filter((name) => isManifest(name) && numberOf(name) > numberOf(current))
    .sort((a, b) => numberOf(b) - numberOf(a))
  for (const name of newer) {
    const reading = await readManifest(vfs, `${directory}/${name}`)
    const state = reading && flawOf(reading, 0) === undefined ? reading.state : undefined
    if (state === undefined || !hasFiles(state, names, synced)) continue
    const path = `${directory}/${currentName}`
    const message =
      `${path} names ${current}, of which files are gone, and ${name} has all of its own; opening ` +
      'the store for writing makes it good'
    const findings: Finding[] = [{ severity: 'warning', kind: 'stale-current', message, path }]
    return { name, isUnnamed: true, reading, state, findings }
  }
  return undefined
}

/**
 * Reads what CURRENT leads to. LevelDB may have moved on to a newer manifest than the synced one; an
 * older one means that CURRENT came back from before.
 */
export async function readNamedManifest(
  vfs: Vfs,
  directory: string,
  names: readonly string[],
  synced: readonly SyncedFile[]
): Promise<CurrentManifest> {
  const findings: Finding[] = []
  const currentPath = `${directory}/${currentName}`
  const name = await readCurrent(vfs, directory)
  if (name === undefined) {
    const what = names.includes(currentName) ? 'it names no manifest' : 'it is missing'
    findings.push(fileFinding('damaged-current', currentPath, what))
    return { name, reading: undefined, state: undefined, findings }
  }
  const known = newestManifest(synced)
  if (known !== undefined && numberOf(name) < numberOf(known.name)) {
    const what = `it names ${name} although ${known.name} was in use before`
    findings.push(fileFinding('stale-current', currentPath, what))
  }
  const path = `${directory}/${name}`
  const reading = await readManifest(vfs, path)
  if (reading === undefined) {
    findings.push(fileFinding('missing-file', path, 'it is missing although CURRENT names it'))
    return { name, reading, state: undefined, findings }
  }
  // A newer one than the known is synced as far as LevelDB needs it before CURRENT names it.
  const syncedBytes = known?.name === name ? known.sizeBytes : known && 0
  const flaw = flawOf(reading, syncedBytes)
  if (flaw) findings.push(fileFinding('damaged-manifest', path, flaw.reason, flaw))
  else if (reading.tail?.isTorn === false) findings.push(tailFinding(path, reading.tail))
  return { name, reading, state: flaw ? undefined : reading.state, findings }
}

/** The manifest in use when the sync was made; undefined: nothing tells. */
function newestManifest(synced: readonly SyncedFile[]): SyncedFile | undefined {
  const manifests = synced.filter(({ name }) => isManifest(name))
  return manifests.sort((a, b) => numberOf(a.name) - numberOf(b.name)).at(-1)
}

/**
 * What makes a manifest unfit, given that `syncedBytes` of it were synced. Behind them a power cut may
 * have left anything: an edit that was never synced is not needed, because only then LevelDB removes
 * what it replaces. Undefined: nobody knows how many; then garbage may have been a synced edit.
 */
export function flawOf(
  reading: ManifestReading,
  syncedBytes: number | undefined
): { readonly offset: number; readonly reason: string } | undefined {
  const { problem, tail, sizeBytes } = reading
  if (problem) return problem
  if (syncedBytes === undefined) return tail?.isTorn === false ? tail : undefined
  if (tail && tail.offset < syncedBytes) return tail
  if (sizeBytes >= syncedBytes) return undefined
  return { offset: sizeBytes, reason: `it ends here although ${syncedBytes} bytes were synced` }
}

function tailFinding(path: string, { offset, reason }: ManifestTail): Finding {
  const message =
    `${path} at byte ${offset}: ${reason}; nothing that was synced is concerned, and opening the ` +
    'store for writing makes it good'
  return { severity: 'warning', kind: 'manifest-tail', message, path, offset }
}
