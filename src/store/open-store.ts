import type { Backend, BackendContext, BackendKind, Finding } from '../backend/backend.js'
import type { Clock } from '../base/clock.js'
import type { Random } from '../base/random.js'
import { Checksum } from '../codec/checksum.js'
import { KintsugiError } from '../errors.js'
import { invalidOption, type ResolvedOptions } from '../options.js'
import { Telemetry, type RecoverySummary } from '../telemetry/telemetry.js'
import type { Vfs, VfsLock } from '../vfs/vfs.js'
import { inspectLog } from '../wal/inspect.js'
import { Log } from '../wal/log.js'
import { recoverLog } from '../wal/recovery.js'
import type { RecoveryReport } from '../wal/witness.js'
import { CommitQueue } from './commit-queue.js'
import { ConflictWindow } from './conflict-window.js'
import { IdentityFile, loadIdentity, type Identity } from './identity.js'
import { Persister } from './persister.js'
import { Store } from './store.js'
import {
  beginCreation,
  dataName,
  endCreation,
  inspectDirectory,
  lockName,
  makeDirectory,
  refuseDirectory,
  walName
} from './store-directory.js'

/** What opening needs from outside; `open` has the real ones, tests their own. */
export interface OpenRequest {
  readonly path: string
  readonly options: ResolvedOptions
  /** Names of options that the caller gave; those that fix a format must agree with the store. */
  readonly given: readonly string[]
  /** Undefined: what the store has, `btree` for a new one. */
  readonly backend: string | undefined
  readonly loadBackend: (name: string) => Promise<BackendKind>
  readonly vfs: Vfs
  readonly clock: Clock
  readonly random: Random
}

const defaultBackend = 'btree'

/** Opens or creates the store of a directory; see `open` for the errors. */
export async function openStore(request: OpenRequest): Promise<Store> {
  const { vfs, path, options, clock } = request
  const startedMs = clock.now()
  admit(request)
  if (!options.readOnly) await makeDirectory(vfs, path)
  const lock = vfs.lockSync(`${path}/${lockName}`, {
    exclusive: !options.readOnly,
    now: startedMs
  })
  try {
    const checksum = await Checksum.create()
    // Once more under the lock: another process may have created the store meanwhile.
    const opening = { ...request, checksum, lock, startedMs }
    return admit(request) === 'store' ? await openExisting(opening) : await createStore(opening)
  } catch (error) {
    lock.release()
    throw error
  }
}

interface Opening extends OpenRequest {
  readonly checksum: Checksum
  readonly lock: VfsLock
  readonly startedMs: number
}

/** Whether there is a store to open or one may be created; anything else is an error. */
function admit({ vfs, path, options }: OpenRequest): 'store' | 'new' {
  const state = inspectDirectory(vfs, path)
  if (state === 'headless' || state === 'foreign') throw refuseDirectory(path, state)
  if (state === 'store') {
    if (!options.errorIfExists) return 'store'
    throw new KintsugiError(
      'KINTSUGI_STORE_EXISTS',
      `there is a store in ${path} already, and errorIfExists is true`,
      { path }
    )
  }
  if (options.createIfMissing && !options.readOnly) return 'new'
  const why = options.readOnly ? 'a read-only opening creates none' : 'createIfMissing is false'
  throw new KintsugiError('KINTSUGI_STORE_MISSING', `there is no store in ${path}, and ${why}`, {
    path
  })
}

/** Creates all files; the identity slots come last, and with them the store exists (rule S3). */
async function createStore(opening: Opening): Promise<Store> {
  const { vfs, path, options, checksum, random, clock } = opening
  const kind = await opening.loadBackend(opening.backend ?? defaultBackend)
  const storeId = random.fill(Buffer.alloc(16)) as Buffer
  const format = Object.fromEntries(kind.formatOptions.map((name) => [name, options[name]]))
  await beginCreation(vfs, path)
  const directory = `${path}/${dataName(kind.name, 1)}`
  vfs.mkdirSync(directory)
  vfs.mkdirSync(`${path}/${walName}`)
  const epoch = 1
  const backend = await kind.create(contextOf(opening, directory, storeId, epoch))
  const log = await Log.create({ ...logParts(opening, storeId), epoch })
  await vfs.syncDirectory(path)
  const identity: Identity = {
    generation: 0,
    storeId: storeId.toString('hex'),
    backend: kind.name,
    format,
    dataGeneration: 1,
    epoch,
    syncedSeq: 0,
    log: log.identity(),
    features: 0
  }
  const identityFile = await IdentityFile.create(vfs, path, checksum, identity)
  await endCreation(vfs, path)
  const recovery = { ...emptySummary, created: true, durationMs: clock.now() - opening.startedMs }
  return assemble(opening, identityFile, backend, log, recovery)
}

/** Opens the backend where it is durable and replays the log from there: one path for all. */
async function openExisting(opening: Opening): Promise<Store> {
  const { vfs, path, options, checksum, clock } = opening
  const loaded = loadIdentity(vfs, path, checksum)
  if (loaded === undefined) throw refuseDirectory(path, 'headless')
  checkFormat(opening, loaded.identity)
  const identityFile = new IdentityFile(vfs, path, checksum, loaded)
  if (!options.readOnly) {
    await identityFile.confirm()
    await endCreation(vfs, path)
  }
  const recovered = await recover(opening, identityFile)
  const { backend, log, report } = recovered
  const recovery: RecoverySummary = {
    created: false,
    clean: report.clean,
    replayedCommits: report.commitsReplayed,
    replayedBytes: report.bytesRead,
    seq: backend.appliedSeq,
    droppedBytes: report.dropped.reduce((sum, loss) => sum + loss.bytes, 0),
    droppedFirstSeq: report.dropped[0]?.firstSeq,
    warnings: [...loaded.warnings, ...warningsOf(report)],
    epoch: identityFile.current.epoch,
    durationMs: clock.now() - opening.startedMs
  }
  return assemble(opening, identityFile, backend, log, recovery)
}

export interface Recovered {
  readonly backend: Backend
  /** Undefined where the store is read-only. */
  readonly log: Log | undefined
  readonly report: RecoveryReport
}

/** Backend and log in agreement, all of it durable and stated in the identity (rules F4, S2). */
export async function recover(
  opening: Opening,
  identityFile: IdentityFile
): Promise<Recovered> {
  const { vfs, path, options } = opening
  const { current: identity } = identityFile
  const kind = await opening.loadBackend(identity.backend)
  const storeId = Buffer.from(identity.storeId, 'hex')
  const logContext = logContextOf(opening, storeId, identityFile)
  // Above every epoch that anything on disk was written in.
  const epoch = Math.max(identity.epoch, await highestLogEpoch(logContext)) + 1
  const directory = dataDirectory(path, identity)
  if (vfs.statSync(directory) === undefined) throw missingData(directory)
  const backend = await kind.open(contextOf(opening, directory, storeId, epoch))
  try {
    const witness = {
      ...identity.log,
      epoch: identity.epoch,
      syncedSeq: identity.syncedSeq,
      durableSeq: backend.durableSeq
    }
    const apply = replayInto(backend)
    const { log, report } = await recoverLog(logContext, {
      witness,
      epoch,
      mode: options.walRecoveryMode,
      readOnly: options.readOnly,
      apply
    })
    if (log !== undefined) {
      await identityFile.update({ epoch, syncedSeq: log.syncedSeq, log: log.identity() })
    }
    return { backend, log, report }
  } catch (error) {
    await backend.close()
    throw error
  }
}
