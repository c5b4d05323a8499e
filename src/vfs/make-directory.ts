import { KintsugiError } from '../errors.js'
import type { Vfs } from './vfs.js'

/** Creates a directory and those above it that are missing, each durable in its parent. */
export async function makeDirectory(vfs: Vfs, path: string): Promise<void> {
  if (vfs.statSync(path) !== undefined) return
  const parent = parentOf(path)
  if (parent !== path) await makeDirectory(vfs, parent)
  try {
    vfs.mkdirSync(path)
  } catch (error) {
    const raced = error instanceof KintsugiError && error.code === 'KINTSUGI_FILE_EXISTS'
    if (!raced) throw error
  }
  await vfs.syncDirectory(parent)
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf('/')
  if (slash < 0) return '.'
  return slash === 0 ? '/' : path.slice(0, slash)
}
