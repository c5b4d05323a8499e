import type {
  BackendContext,
  BackendKind,
  Finding,
  Progress,
  VerifyLevel
} from '../backend/backend.js'
import { KintsugiError } from '../errors.js'
import { loadIdentity } from '../store/identity.js'
import { admit, contextOf, withLock, type OpenRequest } from '../store/open-store.js'
import { dataDirectory, refuseDirectory } from '../store/store-directory.js'

/** What the backend finds out about the files of a store that does not open. */
export async function inspectStore(
  request: OpenRequest,
  level: VerifyLevel,
  progress: Progress
): Promise<Finding[]> {
  return inspectData(
    request,
    undefined,
    async (context, kind) => (await kind.inspect?.(context, level, progress)) ?? []
  )
}

/**
 * Runs `work` on the files of a store that is not opened, so that damage is no hindrance. The lock
 * is shared meanwhile, and nothing is changed. BACKEND_MISMATCH where it has not the backend asked for.
 */
export async function inspectData<T>(
  request: OpenRequest,
  backend: string | undefined,
  work: (context: BackendContext, kind: BackendKind) => Promise<T>
): Promise<T> {
  admit(request)
  return withLock(request, async (opening) => {
    const { vfs, path, checksum, lock } = opening
    const loaded = loadIdentity(vfs, path, checksum)
    if (loaded === undefined) throw refuseDirectory(path, 'headless')
    const { identity } = loaded
    if (backend !== undefined && identity.backend !== backend) {
      throw new KintsugiError(
        'KINTSUGI_BACKEND_MISMATCH',
        `this is for stores with backend '${backend}', and the one in ${path} has ` +
          `'${identity.backend}'; \`kintsugi validate\` and \`kintsugi stats\` are for every store`,
        { path }
      )
    }
    const directory = dataDirectory(path, identity)
    if (vfs.statSync(directory) === undefined) {
      throw new KintsugiError(
        'KINTSUGI_CORRUPTION',
        `${directory} is missing although the store names it as its data; put it back from a backup`,
        { path: directory }
      )
    }
    const storeId = Buffer.from(identity.storeId, 'hex')
    try {
      const kind = await opening.loadBackend(identity.backend)
      const context = contextOf(opening, directory, storeId, identity.epoch + 1, identity.format)
      return await work(context, kind)
    } finally {
      lock.release()
    }
  })
}
