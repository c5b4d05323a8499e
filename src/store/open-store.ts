import type { Backend, BackendContext, BackendEvent, BackendKind } from '../backend/backend.js'
import type { Clock } from '../base/clock.js'
import type { Random } from '../base/random.js'
import { Checksum } from '../codec/checksum.js'
import { KintsugiError } from '../errors.js'
import type { ResolvedOptions } from '../options.js'
import { Telemetry, type RecoverySummary } from '../telemetry/telemetry.js'
import { makeDirectory } from '../vfs/make-directory.js'
import type { Vfs, VfsLock } from '../vfs/vfs.js'
import type { Log } from '../wal/log.js'
import {
  defaultMaxUnsyncedBytes,
  defaultWatermarkDelayMs,
  type LogContext,
  type SegmentOpened
} from '../wal/log-context.js'
import { createLog, recoverLog } from '../wal/recovery.js'
import type { CleanMark, RecoveryReport } from '../wal/witness.js'
import { CommitQueue } from './commit-queue.js'
import { ConflictWindow } from './conflict-window.js'
import { IdentityFile, loadIdentity, type Identity } from './identity.js'
import { Persister } from './persister.js'
import { Replay } from './replay.js'
import { Store } from './store.js'
import { verifyShared } from './verify-shared.js'
import {
  beginCreation,
  dataDirectory,
  dataName,
  endCreation,
  inspectDirectory,
  isRefused,
  lockName,
  quarantineDirectory,
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
  /** A lock of the store that the caller has and keeps; undefined: the opening takes it. */
  readonly heldLock?: VfsLock
  /** The caller is the copy whose marker lies in the directory; a store it creates has this id. */
  readonly copyId?: string
}

const defaultBackend = 'btree'

/** Opens or creates the store of a directory; see `open` for the errors. */
export async function openStore(request: OpenRequest): Promise<Store> {
  admit(request)
  return withLock(request, (opening) =>
    // Once more under the lock: another process may have created the store meanwhile.
    admit(request) === 'store' ? openExisting(opening) : createStore(opening)
  )
}

/** Runs `work` under the store's lock, which a failure gives up and success keeps. */
export async function withLock<T>(
  request: OpenRequest,
  work: (opening: Opening) => Promise<T>
): Promise<T> {
  const { vfs, path, options, clock } = request
  const startedMs = clock.now()
  if (!options.readOnly) await makeDirectory(vfs, path)
  const lock =
    request.heldLock === undefined
      ? vfs.lockSync(`${path}/${lockName}`, { exclusive: !options.readOnly, now: startedMs })
      : keptLock(request.heldLock)
  try {
    const checksum = await Checksum.create()
    const telemetry = new Telemetry(path)
    return await work({ ...request, checksum, lock, startedMs, telemetry })
  } catch (error) {
    lock.release()
    throw error
  }
}

/** For whoever gives up a lock that somebody else goes on holding. */
function keptLock({ exclusive, previousOwner }: VfsLock): VfsLock {
  return { exclusive, previousOwner, release: () => undefined }
}

export interface Opening extends OpenRequest {
  readonly checksum: Checksum
  readonly lock: VfsLock
  readonly startedMs: number
  readonly telemetry: Telemetry
}

/** Whether there is a store to open or one may be created; anything else is an error. */
export function admit({ vfs, path, options, copyId }: OpenRequest): 'store' | 'new' {
  const state = inspectDirectory(vfs, path, copyId !== undefined)
  if (isRefused(state)) throw refuseDirectory(path, state)
  if (state === 'store') {
    if (!options.errorIfExists) return 'store'
    throw new KintsugiError(
      'KINTSUGI_STORE_EXISTS',
      `there is a store in ${path} already, and it was to be a new one`,
      { path, option: 'errorIfExists' }
    )
  }
  if (options.createIfMissing && !options.readOnly) return 'new'
  throw new KintsugiError(
    'KINTSUGI_STORE_MISSING',
    `there is no store in ${path}, and none was to be created`,
    { path, option: options.readOnly ? 'readOnly' : 'createIfMissing' }
  )
}

/** Creates all files; the identity slots come last, and with them the store exists (rule S3). */
async function createStore(opening: Opening): Promise<Store> {
  const { vfs, path, options, checksum, clock } = opening
  const kind = await opening.loadBackend(opening.backend ?? defaultBackend)
  const storeId = storeIdOf(opening)
  const format = Object.fromEntries(kind.formatOptions.map((name) => [name, options[name]]))
  await beginCreation(vfs, path)
  const directory = `${path}/${dataName(kind.name, 1)}`
  vfs.mkdirSync(directory)
  vfs.mkdirSync(`${path}/${walName}`)
  const backend = await kind.create(contextOf(opening, directory, storeId, 1))
  const named: { file: IdentityFile | undefined } = { file: undefined }
  let log: Log | undefined
  try {
    log = await createLog(logContextOf(opening, storeId, named))
    await vfs.syncDirectory(path)
    const floor = log.floorFor(0)
    const identityFile = await IdentityFile.create(vfs, path, checksum, {
      generation: 0,
      storeId: storeId.toString('hex'),
      backend: kind.name,
      format,
      dataGeneration: 1,
      epoch: 1,
      syncedSeq: 0,
      log: { floor, activeSegment: floor.segment, cleanMark: undefined },
      features: 0
    })
    named.file = identityFile
    await endCreation(vfs, path)
    const recovery = { ...newStore, durationMs: clock.now() - opening.startedMs }
    return assemble(opening, identityFile, backend, log, recovery)
  } catch (error) {
    await abandon(backend, log)
    throw error
  }
}

function storeIdOf({ copyId, random }: Opening): Buffer {
  if (copyId !== undefined) return Buffer.from(copyId, 'hex')
  return random.fill(Buffer.alloc(16)) as Buffer
}

const newStore: Omit<RecoverySummary, 'durationMs'> = {
  created: true,
  clean: true,
  replayedCommits: 0,
  replayedBytes: 0,
  seq: 0,
  droppedBytes: 0,
  droppedFirstSeq: undefined,
  warnings: [],
  epoch: 1
}

/** Opens the backend where it is durable and replays the log from there: one path for all. */
async function openExisting(opening: Opening): Promise<Store> {
  const { vfs, path, options, checksum, clock } = opening
  const loaded = loadIdentity(vfs, path, checksum)
  if (loaded === undefined) throw refuseDirectory(path, 'headless')
  checkFormat(opening, loaded.identity)
  // A backend this version does not have is refused before anything is written or missed.
  await opening.loadBackend(loaded.identity.backend)
  const identityFile = new IdentityFile(vfs, path, checksum, loaded)
  if (!options.readOnly) {
    await identityFile.confirm()
    await endCreation(vfs, path)
  }
  const directory = dataDirectory(path, loaded.identity)
  if (vfs.statSync(directory) === undefined) throw missingData(directory)
  const { backend, log, report, statement } = await recover(opening, identityFile, directory)
  try {
    if (log !== undefined) await identityFile.update(statement)
  } catch (error) {
    await abandon(backend, log)
    throw error
  }
  const recovery: RecoverySummary = {
    created: false,
    clean: report.clean,
    replayedCommits: report.commitsReplayed,
    replayedBytes: report.bytesRead,
    seq: backend.appliedSeq,
    droppedBytes: report.dropped.reduce((sum, loss) => sum + loss.bytes, 0),
    droppedFirstSeq: report.dropped[0]?.firstSeq,
    warnings: [...loaded.warnings, ...warningsOf(report), ...warningsOfBackend(backend)],
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
  /** What the identity has to state before the first acknowledgement (rule S2). */
  readonly statement: Partial<Identity>
}

/** Brings the backend in a directory and the log into agreement, durably (rule F4). */
export async function recover(
  opening: Opening,
  identityFile: IdentityFile,
  directory: string
): Promise<Recovered> {
  const { options } = opening
  const { current: identity } = identityFile
  const kind = await opening.loadBackend(identity.backend)
  const storeId = Buffer.from(identity.storeId, 'hex')
  // Nothing is written in this epoch before the identity states it.
  const epoch = identity.epoch + 1
  const context = contextOf(opening, directory, storeId, epoch, identity.format)
  const backend = await kind.open({ ...context, logFirstSeq: identity.log.floor.seq })
  const replay = new Replay(backend)
  try {
    const { log, report, opened } = await recoverLog(
      logContextOf(opening, storeId, { file: identityFile }),
      {
        witness: {
          ...identity.log,
          epoch: identity.epoch,
          syncedSeq: identity.syncedSeq,
          durableSeq: backend.durableSeq
        },
        mode: options.walRecoveryMode,
        readOnly: options.readOnly,
        sink: (bytes, start, end, seq) => replay.add(bytes, start, end, seq),
        ended: () => replay.finish()
      }
    )
    const statement = {
      epoch: Math.max(epoch, opened.epoch),
      syncedSeq: opened.syncedSeq,
      log: { ...identity.log, activeSegment: opened.segment, cleanMark: opened.cleanMark }
    }
    return { backend, log, report, statement }
  } catch (error) {
    await backend.close()
    throw error
  }
}

function checkFormat(opening: Opening, identity: Identity): void {
  const { path, backend, given, options } = opening
  if (backend !== undefined && backend !== identity.backend) {
    throw new KintsugiError(
      'KINTSUGI_BACKEND_MISMATCH',
      `the store in ${path} was created with backend '${identity.backend}' and cannot be opened ` +
        `with '${backend}'; leave the option out, or \`kintsugi migrate\` it into a new store`,
      { path, option: 'backend' }
    )
  }
  for (const [name, value] of Object.entries(identity.format)) {
    const wanted = options[name as keyof ResolvedOptions]
    if (!given.includes(name) || wanted === value) continue
    throw new KintsugiError(
      'KINTSUGI_BACKEND_MISMATCH',
      `the store in ${path} was created with ${name} ${value}, which cannot be changed to ` +
        `${String(wanted)}; leave the option out`,
      { path, option: name }
    )
  }
}

function missingData(directory: string): KintsugiError {
  return new KintsugiError(
    'KINTSUGI_CORRUPTION',
    `${directory} is missing although the store names it as its data; put it back from a backup, ` +
      'nothing was changed',
    { path: directory }
  )
}

export function contextOf(
  opening: Opening,
  directory: string,
  storeId: Uint8Array,
  epoch: number,
  format: Identity['format'] = {}
): BackendContext {
  const { vfs, path, checksum, clock, random, options, startedMs, telemetry } = opening
  return {
    vfs,
    directory,
    quarantine: quarantineDirectory(path, startedMs),
    storeId,
    checksum,
    clock,
    random,
    options: { ...options, ...format },
    readOnly: options.readOnly,
    epoch,
    notify: ({ name, detail }: BackendEvent) => telemetry.emit(name, detail as never)
  }
}

/** `named.file` is where a switch to a new segment after a failure is stated (rule S2). */
function logContextOf(
  opening: Opening,
  storeId: Uint8Array,
  named: { readonly file: IdentityFile | undefined }
): LogContext {
  const { vfs, path, checksum, clock, random, options } = opening
  const change = (identity: Identity, opened: SegmentOpened): Partial<Identity> => ({
    epoch: Math.max(identity.epoch, opened.epoch),
    syncedSeq: opened.syncedSeq,
    log: { ...identity.log, activeSegment: opened.segment }
  })
  return {
    vfs,
    directory: `${path}/${walName}`,
    storeId,
    checksum,
    clock,
    random,
    options: {
      segmentBytes: options.walSegmentBytes,
      maxUnsyncedBytes: defaultMaxUnsyncedBytes,
      watermarkDelayMs: defaultWatermarkDelayMs
    },
    segmentOpened: {
      async: async (opened) => named.file?.update((identity) => change(identity, opened)),
      sync: (opened) => named.file?.updateSync(change(named.file.current, opened))
    }
  }
}

function warningsOf(report: RecoveryReport): string[] {
  const range = (item: { firstSeq: number; lastSeq: number }) =>
    `commits ${item.firstSeq} to ${item.lastSeq}`
  return [
    ...report.dropped.map(
      (loss) => `${loss.path} at ${loss.offset}: ${loss.reason}, ${range(loss)} are not there`
    ),
    ...report.findings.map(
      (finding) => `${finding.path} at ${finding.offset}: ${finding.kind}, ${range(finding)}`
    )
  ]
}

function warningsOfBackend(backend: Backend): string[] {
  const damage = backend.damagedRanges().map(({ reason }) => `${reason}; run a repair`)
  return [...(backend.openingWarnings ?? []), ...damage]
}

/** The store as an object, around parts that are ready. */
function assemble(
  opening: Opening,
  identityFile: IdentityFile,
  backend: Backend,
  log: Log | undefined,
  recovery: RecoverySummary
): Store {
  const { path, options, clock, vfs, checksum, lock, telemetry } = opening
  const window = new ConflictWindow()
  let writer
  if (log !== undefined) {
    const lastSeq = log.committedSeq
    const queue = new CommitQueue({
      log,
      backend,
      window,
      clock,
      telemetry,
      options,
      lastSeq,
      onApplied: () => persister.check()
    })
    const parts = { backend, log, queue, identityFile, clock, telemetry, options }
    const persister = new Persister(parts)
    writer = { log, queue, persister }
  }
  const store = new Store({
    path,
    options,
    backendName: identityFile.current.backend,
    backend,
    writer,
    window,
    telemetry,
    recovery,
    verifyShared: () => {
      const { current } = identityFile
      const settledSeq = log?.syncedSeq ?? Number.MAX_SAFE_INTEGER
      return verifyShared(vfs, path, checksum, current, backend.durableSeq, settledSeq)
    },
    shutDown: (clean) => shutDown(identityFile, backend, log, lock, clean)
  })
  // Listeners can only be there once the caller has the store.
  setImmediate(() => telemetry.emit('recovery', recovery))
  return store
}

/** Gives back the files of an opening that failed; its error says more than one of closing them. */
async function abandon(backend: Backend, log: Log | undefined): Promise<void> {
  await Promise.allSettled([log?.close({ clean: false }), backend.close()])
}

/** Ends log, backend and lock, in this order; the first failure is reported after all of it. */
async function shutDown(
  identityFile: IdentityFile,
  backend: Backend,
  log: Log | undefined,
  lock: VfsLock,
  clean: boolean
): Promise<void> {
  try {
    const stated = async (cleanMark: CleanMark): Promise<void> => {
      const { log: witness } = identityFile.current
      const change = { log: { ...witness, cleanMark }, syncedSeq: cleanMark.seq }
      // In both slots: the log is cut to what the mark says, so losing one must not lose the mark.
      await identityFile.update(change)
      await identityFile.update(change)
    }
    await log?.close({ clean, stated })
  } finally {
    try {
      await backend.close()
    } finally {
      lock.release()
    }
  }
}
