import type {
  Backend,
  BackendContext,
  BackendKind,
  Finding,
  Progress,
  VerifyLevel
} from '../../backend/backend.js'
import { rebuildStore, salvageStore } from './check/salvage-store.js'
import { checkTableFiles } from './check/table-inspection.js'
import { LsmBackend } from './lsm-backend.js'
import { Manifest } from './manifest/manifest.js'
import { settleTableFiles } from './manifest/table-files.js'
import { readFooter } from './table/table-check.js'

/** The LSM backend as the registry knows it. */
export const lsmKind: BackendKind = {
  name: 'lsm',
  formatOptions: ['blockBytes'],
  create: createLsm,
  open: openLsm,
  inspect: inspectLsm,
  salvage: salvageStore,
  rebuildManifest: rebuildStore
}

async function createLsm(context: BackendContext): Promise<Backend> {
  const manifest = await Manifest.create(context)
  const { nextTable } = manifest.version
  return new LsmBackend(context, manifest, { damaged: [], findings: [], nextTable })
}

/** The manifest says what there is; files that it does not name are dealt with before all else. */
async function openLsm(context: BackendContext): Promise<Backend> {
  const { vfs, storeId, checksum } = context
  const manifest = await Manifest.open(context)
  try {
    const files = await settleTableFiles(context, manifest, (path) =>
      readFooter(vfs, path, { storeId, checksum })
    )
    return new LsmBackend(context, manifest, files)
  } catch (error) {
    await manifest.close(false)
    throw error
  }
}

async function inspectLsm(
  context: BackendContext,
  level: VerifyLevel,
  progress: Progress
): Promise<Finding[]> {
  const { tables, findings } = await checkTableFiles(context, level, progress)
  return [...findings, ...tables.flatMap((table) => table.findings)]
}
