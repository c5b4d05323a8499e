import type { BackendContext } from '../../backend/backend.js'
import { makeDirectory } from '../../vfs/make-directory.js'
import type { Vfs } from '../../vfs/vfs.js'
import { readCurrentManifest } from './files/current-manifest.js'
import type { ManifestTail } from './files/manifest-state.js'
import { readFully } from './files/read-fully.js'
import type { SyncedFile } from './state.js'

/** A manifest without its tail until it takes the name; one that a crash left is made anew. */
const temporaryName = 'MANIFEST.cut'
const pieceBytes = 256 * 1024

/** A manifest behind whose last record there is something that is none. */
export interface TailedManifest {
  readonly name: string
  readonly tail: ManifestTail
}

/** Of the manifest in use, what follows its records, none of it synced; undefined: nothing does. */
export async function findManifestTail(
  vfs: Vfs,
  path: string,
  synced: readonly SyncedFile[]
): Promise<TailedManifest | undefined> {
  const names = await vfs.readdir(path)
  const { name, reading, state } = await readCurrentManifest(vfs, path, names, synced)
  const tail = state && reading?.tail
  return name === undefined || tail === undefined ? undefined : { name, tail }
}

/**
 * LevelDB does not open with garbage behind the last record of its manifest, which a power cut may
 * leave where the file had grown already. It gets the records alone, in a new file under the same
 * name; the old one is kept. Nothing is lost: LevelDB removes what an edit replaces when the edit is
 * synced, and the tables of the records that are left were all found to be there before. Resolves
 * with a warning, if there is something to tell.
 */
export async function cutManifest(
  { vfs, directory, quarantine }: BackendContext,
  path: string,
  synced: readonly SyncedFile[]
): Promise<string | undefined> {
  const found = await findManifestTail(vfs, path, synced)
  if (found === undefined) return undefined
  const { name, tail } = found
  const manifest = `${path}/${name}`
  await makeDirectory(vfs, quarantine)
  const kept = freePath(vfs, quarantine, name)
  await copyBeginning(vfs, manifest, kept, vfs.statSync(manifest)!.sizeBytes)
  await vfs.syncDirectory(quarantine)
  const temporary = `${directory}/${temporaryName}`
  if (vfs.statSync(temporary) !== undefined) await vfs.unlink(temporary)
  await copyBeginning(vfs, manifest, temporary, tail.offset)
  await vfs.rename(temporary, manifest)
  await vfs.syncDirectory(path)
  await vfs.syncDirectory(directory)
  return (
    `${manifest} at byte ${tail.offset}: ${tail.reason}; nothing that was synced is concerned, so ` +
    `LevelDB goes on without it, and the file as it was is kept in ${kept}`
  )
}

/** The same for a copy that nobody else uses and that nobody keeps. */
export async function cutCopiedManifest(
  vfs: Vfs,
  directory: string,
  { name, tail }: TailedManifest
): Promise<void> {
  const file = await vfs.open(`${directory}/${name}`, 'readwrite')
  try {
    await file.truncate(tail.offset)
  } finally {
    await file.close()
  }
}

/** Durable, apart from its name. */
async function copyBeginning(vfs: Vfs, from: string, to: string, sizeBytes: number): Promise<void> {
  const source = await vfs.open(from, 'read')
  try {
    const target = await vfs.open(to, 'create')
    try {
      const piece = Buffer.allocUnsafe(Math.min(pieceBytes, sizeBytes))
      for (let at = 0; at < sizeBytes;) {
        const wanted = piece.subarray(0, Math.min(piece.length, sizeBytes - at))
        const count = await readFully(source, wanted, at)
        if (count === 0) break
        await target.write(wanted.subarray(0, count), at)
        at += count
      }
      await target.datasync()
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}

/** Nothing that was kept before is replaced. */
function freePath(vfs: Vfs, directory: string, name: string): string {
  let path = `${directory}/${name}`
  for (let copy = 1; vfs.statSync(path) !== undefined; copy++) path = `${directory}/${name}.${copy}`
  return path
}
