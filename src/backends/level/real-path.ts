import type { BackendContext } from '../../backend/backend.js'
import { KintsugiError } from '../../errors.js'
import { databaseName } from './format.js'

/** Where LevelDB finds its directory. */
export function realPathOf({ vfs, directory }: BackendContext): string {
  const realPath = vfs.realPath(`${directory}/${databaseName}`)
  if (realPath !== undefined) return realPath
  throw new KintsugiError(
    'KINTSUGI_NOT_SUPPORTED',
    "the backend 'level' needs files that LevelDB can open: on this file system there are none"
  )
}
