import type {
  Backend,
  BackendContext,
  BackendKind,
  Finding,
  Progress,
  VerifyLevel
} from '../../backend/backend.js'
import { KintsugiError } from '../../errors.js'
import { checkLevelDb } from './files/leveldb-check.js'
import { appliedKey, databaseName } from './format.js'
import { LevelBackend } from './level-backend.js'
import { LevelDb, type LevelOptions } from './level-db.js'
import { appliedValue } from './level-persist.js'
import { realPathOf } from './real-path.js'
import { salvageLevel } from './salvage.js'
import { makeShadow, removeShadow } from './shadow.js'
import { settleManifest } from './settle-manifest.js'
import { StateFile } from './state-file.js'
import { StoredValues } from './stored-value.js'
import { valueCacheBytes } from './value-cache.js'
import { LevelFiles } from './sync-files.js'

/** LevelDB as a backend, as the registry knows it. */
export const levelKind: BackendKind = {
  name: 'level',
  formatOptions: [],
  create: createLevel,
  open: openLevel,
  inspect: inspectLevel,
  salvage: salvageLevel
}

const nothing = async (): Promise<void> => {}
const silent: Progress = { report: () => undefined, signal: undefined }

async function createLevel(context: BackendContext): Promise<Backend> {
  const { vfs, directory, storeId, checksum, options } = context
  const path = `${directory}/${databaseName}`
  const realPath = realPathOf(context)
  vfs.mkdirSync(path)
  const values = new StoredValues(storeId, checksum)
  const db = await LevelDb.open(realPath, path, optionsOf(options), true)
  let state: StateFile | undefined
  try {
    await db.write([{ type: 'put', key: appliedKey, value: appliedValue(values, 0) }], true)
    const files = new LevelFiles(vfs, path)
    const first = { durableSeq: 0, files: await files.sync() }
    state = await StateFile.create(vfs, directory, storeId, checksum, first)
    await vfs.syncDirectory(directory)
    return new LevelBackend(context, {
      db,
      state,
      files,
      values,
      cleanUp: nothing,
      warnings: []
    })
  } catch (error) {
    await state?.close()
    await db.close()
    throw error
  }
}

/** Nothing is believed that has not been checked: neither the state nor LevelDB's files. */
async function openLevel(context: BackendContext): Promise<Backend> {
  const { vfs, directory, storeId, checksum, readOnly } = context
  const path = `${directory}/${databaseName}`
  const realPath = realPathOf(context)
  const state = await StateFile.open(vfs, directory, storeId, checksum, readOnly)
  try {
    await checkFiles(context, path, state)
    const { files } = state.state
    if (!readOnly) {
      const warnings = await settleManifest(context, path, files)
      return await openAt(context, realPath, path, state, nothing, warnings)
    }
    // LevelDB writes when it opens: logs become tables.
    const shadow = await makeShadow(vfs, path, realPath, files)
    const cleanUp = (): Promise<void> => removeShadow(vfs, shadow)
    try {
      return await openAt(context, shadow, path, state, cleanUp)
    } catch (error) {
      await cleanUp()
      throw error
    }
  } catch (error) {
    await state.close()
    throw error
  }
}

/** What keeps LevelDB's files from being opened, all of it. */
async function inspectLevel(
  { vfs, directory, storeId, checksum }: BackendContext,
  level: VerifyLevel,
  progress: Progress
): Promise<Finding[]> {
  const state = await StateFile.open(vfs, directory, storeId, checksum, true)
  try {
    const path = `${directory}/${databaseName}`
    const values = new StoredValues(storeId, checksum)
    const { files } = state.state
    const found = await checkLevelDb(vfs, path, files, level, progress, (key, value) =>
      values.proves(value, key)
    )
    return [...state.findings, ...found]
  } finally {
    await state.close()
  }
}

async function openAt(
  context: BackendContext,
  realPath: string,
  path: string,
  state: StateFile,
  cleanUp: () => Promise<void>,
  warnings: readonly string[] = []
): Promise<Backend> {
  const { vfs, storeId, checksum, options, readOnly } = context
  const values = new StoredValues(storeId, checksum)
  const db = await LevelDb.open(realPath, path, optionsOf(options), false)
  try {
    const { durableSeq } = state.state
    checkApplied(db, values, durableSeq)
    const files = new LevelFiles(vfs, path)
    // What was read may be in memory only, and opening has made files (rule F4).
    if (!readOnly) await state.publish({ files: await files.sync() })
    return new LevelBackend(context, { db, state, files, values, cleanUp, warnings })
  } catch (error) {
    await db.close()
    throw error
  }
}

async function checkFiles({ vfs }: BackendContext, path: string, state: StateFile): Promise<void> {
  const findings = await checkLevelDb(vfs, path, state.state.files, 'standard', silent)
  const damage = findings.find(({ severity }) => severity === 'error')
  if (damage === undefined) return
  const { message, offset, lowKey, highKey } = damage
  const others = findings.filter(({ severity }) => severity === 'error').length - 1
  const more = others === 0 ? '' : ` (and ${others} more like this)`
  throw new KintsugiError('KINTSUGI_CORRUPTION', `${message}${more}`, {
    path: damage.path,
    ...(offset !== undefined && { offset }),
    ...(lowKey && { lowKey }),
    ...(highKey && { highKey })
  })
}

/** LevelDB never has less than the state says, unless it lost something. */
function checkApplied(db: LevelDb, values: StoredValues, durableSeq: number): void {
  const stored = db.getSync(appliedKey)
  const appliedSeq = stored && values.proves(stored, appliedKey) ? values.seqOf(stored) : undefined
  if (appliedSeq !== undefined && appliedSeq >= durableSeq) return
  const has = appliedSeq === undefined ? 'does not say how far it is' : `is at commit ${appliedSeq}`
  throw new KintsugiError(
    'KINTSUGI_CORRUPTION',
    `LevelDB in ${db.path} ${has} and should be at ${durableSeq}: it has lost writes that were ` +
      'synced; run `kintsugi repair`',
    { path: db.path, firstSeq: (appliedSeq ?? 0) + 1, lastSeq: durableSeq }
  )
}

/** LevelDB's part of the memory for caches. */
function optionsOf(options: LevelOptions): LevelOptions {
  const { cacheBytes } = options
  return { ...options, cacheBytes: cacheBytes - valueCacheBytes(cacheBytes) }
}
