import { KintsugiError } from '../../../errors.js'
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

/** Makes a directory and those above it that are missing, each durable in its parent. */
async function makeDirectory(vfs: Vfs, path: string): Promise<void> {
  if (vfs.statSync(path) !== undefined) return
  const slash = path.lastIndexOf('/')
  const parent = slash < 0 ? '.' : slash === 0 ? '/' : path.slice(0, slash)
  if (parent !== path) await makeDirectory(vfs, parent)
  try {
    vfs.mkdirSync(path)
  } catch (error) {
    if (!(error instanceof KintsugiError && error.code === 'KINTSUGI_FILE_EXISTS')) throw error
  }
  await vfs.syncDirectory(parent)
}
