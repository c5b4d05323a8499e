import type { Checksum } from '../codec/checksum.js'
import { isCorruption, KintsugiError } from '../errors.js'
import { loadIdentity } from '../store/identity.js'
import { copyMarkerName, inspectDirectory, removeStore } from '../store/store-directory.js'
import type { Vfs } from '../vfs/vfs.js'
import type { CopyState } from './copy-marker.js'
import { clearPart, partPath } from './level-db-part.js'

/**
 * Throws where something lies in a destination that the copy of its marker, if it has one, did not
 * make: a marker that came there by accident, or data put over an unfinished copy. Such a directory
 * is neither written to nor cleared. Changes nothing.
 */
export function checkOwn(
  vfs: Vfs,
  path: string,
  found: CopyState | undefined,
  checksum: Checksum
): void {
  const state = inspectDirectory(vfs, path, true)
  if (state === 'headless') throw notOwn(path, found, 'data of a store without its identity slots')
  // While a copy that is whole is put into its place, this is where it lies.
  if (state === 'leveldb' && found?.phase !== 'publishing') {
    throw notOwn(path, found, 'a LevelDB database')
  }
  if (state !== 'store') return
  const storeId = storeIdIn(vfs, path, found, checksum)
  if (found?.destination === 'store' && storeId === found.id) return
  throw notOwn(path, found, `the store ${storeId}`)
}

/** Removes what the copy of a marker has made, and nothing else; `checkOwn` comes before. */
export async function clearOwn(vfs: Vfs, path: string, found: CopyState): Promise<void> {
  if (found.destination === 'store') await removeStore(vfs, path)
  else await clearPart(vfs, path, found.id)
}

function storeIdIn(
  vfs: Vfs,
  path: string,
  found: CopyState | undefined,
  checksum: Checksum
): string | undefined {
  try {
    return loadIdentity(vfs, path, checksum)?.identity.storeId
  } catch (error) {
    if (!isCorruption(error)) throw error
    throw notOwn(path, found, 'a store that does not say which one it is', error)
  }
}

function notOwn(
  path: string,
  found: CopyState | undefined,
  what: string,
  cause?: unknown
): KintsugiError {
  const marks = [copyMarkerName]
  if (found?.destination === 'leveldb') marks.push(partPath('', found.id).slice(1))
  return new KintsugiError(
    'KINTSUGI_FOREIGN_DIRECTORY',
    `${path} holds ${what}, which is not of the unfinished copy that ${copyMarkerName} there marks; ` +
      `nothing was changed. To keep it, delete ${marks.join(' and ')} in that directory and copy ` +
      'into another one; to be rid of it, delete the directory and run the same command again',
    { path },
    cause
  )
}
