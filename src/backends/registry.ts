import type { BackendKind } from '../backend/backend.js'
import { KintsugiError } from '../errors.js'

/** The one place that names all backends; each is loaded when a store needs it. */
const loaders = {
  btree: async (): Promise<BackendKind> => (await import('./btree/btree-kind.js')).btreeKind,
  lsm: async (): Promise<BackendKind> => (await import('./lsm/lsm-kind.js')).lsmKind,
  level: async (): Promise<BackendKind> => (await import('./level/level-kind.js')).levelKind
}

export type BackendName = keyof typeof loaders

export const backendNames = Object.keys(loaders) as BackendName[]

/** The backend of that name; a store may name one that only a newer version knows. */
export async function loadBackend(name: string): Promise<BackendKind> {
  if (Object.hasOwn(loaders, name)) return loaders[name as BackendName]()
  throw new KintsugiError(
    'KINTSUGI_UNSUPPORTED_VERSION',
    `the store uses backend '${name}', which this version of kintsugi-db does not have`
  )
}

/** Whether a directory with these names is LevelDB's; names alone, so nothing has to be loaded. */
export { looksLikeLevelDb } from './level/files/file-names.js'

/** What looks at the files of an LSM tree without opening it. */
export async function loadTableInspection() {
  return import('./lsm/check/table-inspection.js')
}
