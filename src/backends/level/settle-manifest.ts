import type { BackendContext } from '../../backend/backend.js'
import { copyFile } from '../../vfs/copy-file.js'
import { makeDirectory } from '../../vfs/make-directory.js'
import type { Vfs } from '../../vfs/vfs.js'
import { readCurrentManifest } from './files/current-manifest.js'
import { currentName } from './files/file-names.js'
import type { ManifestTail } from './files/manifest-state.js'
import type { SyncedFile } from './files/synced-file.js'

/** A new file until it takes its name; one that a crash left is made anew. */
const temporaryName = 'SETTLED'

/** What LevelDB could not open a directory with, or would open wrongly. */
export interface ManifestFlaws {
  /** The manifest in use. */
  readonly name: string
  /** What follows the records of it that count, none of it synced. */
  readonly tail: ManifestTail | undefined
  /** CURRENT names an older one. */
  readonly isUnnamed: boolean
}

/** What is to be made good before LevelDB opens a directory; undefined: nothing is. */
export async function findManifestFlaws(
  vfs: Vfs,
  path: string,
  synced: readonly SyncedFile[]
): Promise<ManifestFlaws | undefined> {
  const names = await vfs.readdir(path)
  const found = await readCurrentManifest(vfs, path, names, synced)
  const { name, reading, state, isUnnamed = false } = found
  const tail = state && reading?.tail
  if (name === undefined || (tail === undefined && !isUnnamed)) return undefined
  return { name, tail, isUnnamed }
}

/**
 * Makes good what a power cut may leave of the manifest in use, and tells of it. LevelDB does not
 * open with garbage behind the last record, which may be there where the file had grown already, nor
 * with a record that names a table which lost its name; it gets the records before, in a new file
 * under the same name. And it would go by a CURRENT whose renaming was lost. The files as they were
 * are kept. Nothing is lost: LevelDB removes what an edit replaces when the edit is synced, and the
 * files that the records left need were all found to be there before.
 */
export async function settleManifest(
  context: BackendContext,
  path: string,
  synced: readonly SyncedFile[]
): Promise<string[]> {
  const flaws = await findManifestFlaws(context.vfs, path, synced)
  if (flaws === undefined) return []
  const { name, tail, isUnnamed } = flaws
  const warnings: string[] = []
  if (tail !== undefined) {
    const kept = await replace(context, path, name, (temporary) =>
      copyFile(context.vfs, `${path}/${name}`, temporary, { maxBytes: tail.offset })
    )
    warnings.push(
      `${path}/${name} at byte ${tail.offset}: ${tail.reason}; nothing that was synced is ` +
        `concerned, so LevelDB goes on without it, and the file as it was is kept in ${kept}`
    )
  }
  if (isUnnamed) {
    const kept = await replace(context, path, currentName, (temporary) =>
      writeCurrent(context.vfs, temporary, name)
    )
    warnings.push(
      `${path}/${currentName} named a manifest of which files were gone; it names ${name} now, ` +
        `which has all of its own, and the file as it was is kept in ${kept}`
    )
  }
  return warnings
}

/** The same for copies that nobody else uses and that nobody keeps. */
export async function settleCopiedManifest(
  vfs: Vfs,
  directory: string,
  { name, tail, isUnnamed }: ManifestFlaws
): Promise<void> {
  if (isUnnamed) {
    await vfs.unlink(`${directory}/${currentName}`)
    await writeCurrent(vfs, `${directory}/${currentName}`, name)
  }
  if (tail === undefined) return
  const file = await vfs.open(`${directory}/${name}`, 'readwrite')
  try {
    await file.truncate(tail.offset)
  } finally {
    await file.close()
  }
}

/** Puts a new file in the place of one, which is kept; answers where. */
async function replace(
  { vfs, directory, quarantine }: BackendContext,
  path: string,
  name: string,
  write: (temporary: string) => Promise<void>
): Promise<string> {
  const file = `${path}/${name}`
  await makeDirectory(vfs, quarantine)
  const kept = freePath(vfs, quarantine, name)
  await copyFile(vfs, file, kept)
  await vfs.syncDirectory(quarantine)
  const temporary = `${directory}/${temporaryName}`
  if (vfs.statSync(temporary) !== undefined) await vfs.unlink(temporary)
  await write(temporary)
  await vfs.rename(temporary, file)
  await vfs.syncDirectory(path)
  await vfs.syncDirectory(directory)
  return kept
}

async function writeCurrent(vfs: Vfs, path: string, manifest: string): Promise<void> {
  const file = await vfs.open(path, 'create')
  try {
    await file.writeAndDatasync(Buffer.from(`${manifest}\n`), 0)
  } finally {
    await file.close()
  }
}

/** Nothing that was kept before is replaced. */
function freePath(vfs: Vfs, directory: string, name: string): string {
  let path = `${directory}/${name}`
  for (let copy = 1; vfs.statSync(path) !== undefined; copy++) path = `${directory}/${name}.${copy}`
  return path
}
