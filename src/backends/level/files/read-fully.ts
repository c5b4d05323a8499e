import { isFileMissing } from '../../../errors.js'
import type { Vfs, VfsFile } from '../../../vfs/vfs.js'

/** Fills the target as far as the file goes; returns how many bytes there were. */
export async function readFully(
  file: VfsFile,
  target: Uint8Array,
  position: number
): Promise<number> {
  let done = 0
  while (done < target.length) {
    const count = await file.read(target.subarray(done), position + done)
    if (count === 0) break
    done += count
  }
  return done
}

/** Opens a file to read; undefined where there is none, or something that is no file. */
export async function openIfThere(vfs: Vfs, path: string): Promise<VfsFile | undefined> {
  const stat = vfs.statSync(path)
  if (stat === undefined || stat.isDirectory) return undefined
  try {
    return await vfs.open(path, 'read')
  } catch (error) {
    // Removed just now, by LevelDB itself.
    if (isFileMissing(error)) return undefined
    throw error
  }
}

/** The names in a directory; undefined where there is none. */
export async function namesIfThere(vfs: Vfs, directory: string): Promise<string[] | undefined> {
  try {
    return await vfs.readdir(directory)
  } catch (error) {
    if (isFileMissing(error)) return undefined
    throw error
  }
}
