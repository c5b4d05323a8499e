import type { Vfs } from '../../vfs/vfs.js'
import { readCurrentManifest } from './files/current-manifest.js'
import { parseFileName } from './files/file-names.js'
import { findManifestFlaws, settleCopiedManifest } from './settle-manifest.js'
import type { SyncedFile } from './files/synced-file.js'

/**
 * A place where LevelDB can open a database without changing it: live tables as links, all else as
 * copies. What a dead process left of a table has a name that LevelDB gives out again, and it would
 * write through a link. Whoever asks for the place gives it back with `removeShadow`.
 */
export async function makeShadow(
  vfs: Vfs,
  path: string,
  realPath: string,
  synced: readonly SyncedFile[] = []
): Promise<string> {
  const { state } = await readCurrentManifest(vfs, path, await vfs.readdir(path), synced)
  const live = new Set(state?.tables.map(({ number }) => number))
  const flaws = await findManifestFlaws(vfs, path, synced)
  const shadow = await vfs.shadow(realPath, (name) => {
    const file = parseFileName(name)
    return file !== undefined && !(file.kind === 'table' && live.has(file.number))
  })
  try {
    if (flaws !== undefined) await settleCopiedManifest(vfs, shadow, flaws)
    return shadow
  } catch (error) {
    await removeShadow(vfs, shadow)
    throw error
  }
}

export async function removeShadow(vfs: Vfs, shadow: string): Promise<void> {
  for (const name of await vfs.readdir(shadow)) await vfs.unlink(`${shadow}/${name}`)
  vfs.rmdirSync(shadow)
}
