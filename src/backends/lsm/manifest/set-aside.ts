import { makeDirectory } from '../../../vfs/make-directory.js'
import type { Vfs } from '../../../vfs/vfs.js'

/** Moves files of a directory to another one, made when needed; durable when it resolves. */
export async function setAside(
  vfs: Vfs,
  directory: string,
  names: readonly string[],
  quarantine: string
): Promise<void> {
  if (names.length === 0) return
  await makeDirectory(vfs, quarantine)
  for (const name of names)
    await vfs.rename(`${directory}/${name}`, freePath(vfs, quarantine, name))
  await vfs.syncDirectory(quarantine)
  await vfs.syncDirectory(directory)
}

/** Nothing that was set aside before is replaced. */
function freePath(vfs: Vfs, directory: string, name: string): string {
  let path = `${directory}/${name}`
  for (let copy = 1; vfs.statSync(path) !== undefined; copy++) path = `${directory}/${name}.${copy}`
  return path
}
