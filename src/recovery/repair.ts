import type {
  Backend,
  BackendKind,
  DamagedRange,
  Finding,
  Progress,
  SalvageReport
} from '../backend/backend.js'
import { formatKey } from '../base/bytes.js'
import { isCorruption, KintsugiError } from '../errors.js'
import { IdentityFile, loadIdentity, type Identity } from '../store/identity.js'
import {
  admit,
  contextOf,
  recover,
  withLock,
  type Opening,
  type OpenRequest,
  type Recovered
} from '../store/open-store.js'
import {
  dataDirectory,
  dataName,
  quarantineDirectory,
  refuseDirectory,
  removeTree,
  timeStamp
} from '../store/store-directory.js'
import { makeDirectory } from '../vfs/make-directory.js'
import type { Log } from '../wal/log.js'
import type { LogLoss } from '../wal/witness.js'

/** Read between two reports. */
const entriesPerChunk = 1000

/** What a repair did, or with `dryRun` would do. Also kept in the store as `recovery/…json`. */
export interface RepairReport {
  /** Directory of the store. */
  readonly path: string
  /** Nothing was changed. */
  readonly dryRun: boolean
  /** What was wrong; without errors the data is left as it is. */
  readonly findings: readonly Finding[]
  /** The data was rebuilt from what could be read of it. */
  readonly rebuilt: boolean
  /** Entries in the store afterwards. */
  readonly entries: number
  /** Ranges that could not be read: keys in them are gone, apart from what the log still had. */
  readonly lost: readonly DamagedRange[]
  /** Ranges where an older value or a removed key may have come back. */
  readonly possiblyStale: readonly DamagedRange[]
  /** Commits that could not be read from the log. */
  readonly lostCommits: readonly LogLoss[]
  /** Where the damaged data was moved; nothing is deleted. */
  readonly quarantine: string | undefined
}

/** How a repair goes about it. */
export interface RepairPlan {
  /** Find out what it would save and lose, and change nothing. */
  readonly dryRun: boolean
  /** Believe the tables and not the manifest, damaged or not. */
  readonly rebuildManifest: boolean
}

/**
 * Offline repair. Reads what proves itself of a damaged store into a new data directory, replays
 * the log over it, checks the result, and only then lets the identity slots name it (rule S4). The
 * old data goes to `quarantine/`. A dry run builds the same in a directory that it removes again.
 */
export async function repairStore(
  request: OpenRequest,
  plan: RepairPlan,
  progress: Progress
): Promise<RepairReport> {
  // Before the lock, which would create a directory where there is none.
  admit(request)
  return withLock(request, async (opening) => {
    try {
      return await new Repair(opening, plan, progress).run()
    } finally {
      opening.lock.release()
    }
  })
}

class Repair {
  readonly #opening: Opening
  readonly #identityFile: IdentityFile
  readonly #identity: Identity
  /** The new data directory is being built, and nothing names it yet. */
  #targetIsScratch = false

  constructor(
    opening: Opening,
    private readonly plan: RepairPlan,
    private readonly progress: Progress
  ) {
    const { vfs, path, checksum } = opening
    const loaded = loadIdentity(vfs, path, checksum)
    if (loaded === undefined) throw refuseDirectory(path, 'headless')
    this.#identity = loaded.identity
    this.#identityFile = new IdentityFile(vfs, path, checksum, loaded)
    const options = {
      ...opening.options,
      readOnly: plan.dryRun,
      walRecoveryMode: 'skip-any' as const
    }
    this.#opening = { ...opening, options }
  }

  async run(): Promise<RepairReport> {
    try {
      return await this.#run()
    } catch (error) {
      this.#discardTarget()
      throw error
    }
  }

  async #run(): Promise<RepairReport> {
    const { path } = this.#opening
    const { dryRun, rebuildManifest } = this.plan
    const kind = await this.#opening.loadBackend(this.#identity.backend)
    if (rebuildManifest && kind.rebuildManifest === undefined) throw noManifest(path, kind)
    const source = dataDirectory(path, this.#identity)
    const findings = await this.#examine(kind, source)
    const rebuilt = rebuildManifest || findings.some(({ severity }) => severity === 'error')
    if (!dryRun) await this.#identityFile.confirm()
    const salvage = rebuilt ? await this.#salvage(kind, source) : undefined
    const recovered = await recover(
      this.#opening,
      this.#identityFile,
      rebuilt ? this.#target : source
    )
    const entries = await this.#count(recovered)
    const quarantine = await this.#conclude(recovered, rebuilt ? source : undefined)
    const report: RepairReport = {
      path,
      dryRun,
      findings: [...findings, ...(salvage?.findings ?? [])],
      rebuilt,
      entries,
      lost: salvage?.lost ?? [],
      possiblyStale: salvage?.possiblyStale ?? [],
      lostCommits: recovered.report.dropped,
      quarantine
    }
    if (!dryRun) await this.#keepReport(report)
    return report
  }

  /** Damage of the data as findings, a backend that does not even open included. */
  async #examine(kind: BackendKind, source: string): Promise<Finding[]> {
    const { vfs } = this.#opening
    if (vfs.statSync(source) === undefined) {
      return [finding(`${source} is missing`, source)]
    }
    const options = { ...this.#opening.options, readOnly: true }
    const opening = { ...this.#opening, options }
    try {
      const backend = await kind.open(
        contextOf(opening, source, this.#storeId, this.#identity.epoch, this.#identity.format)
      )
      try {
        return await backend.verify('comprehensive', this.progress)
      } finally {
        await backend.close()
      }
    } catch (error) {
      if (!isCorruption(error)) throw error
      return [finding(error.message, error.facts.path ?? source)]
    }
  }

  /** Keys in the store; a backend may know versions only. */
  async #count({ backend, log }: Recovered): Promise<number> {
    try {
      return await countKeys(backend, this.progress)
    } catch (error) {
      await Promise.allSettled([log?.close({ clean: false }), backend.close()])
      throw error
    }
  }

  /** Builds the new data; what an interrupted repair left there is made again. */
  async #salvage(kind: BackendKind, source: string): Promise<SalvageReport> {
    const { vfs } = this.#opening
    if (vfs.statSync(this.#target) !== undefined) removeTree(vfs, this.#target)
    this.#targetIsScratch = true
    await makeDirectory(vfs, this.#target)
    const { epoch, format } = this.#identity
    const opening = { ...this.#opening, options: { ...this.#opening.options, readOnly: false } }
    const made = contextOf(opening, this.#target, this.#storeId, epoch + 1, format)
    const context = { ...made, logFirstSeq: this.#identity.log.floor.seq }
    return this.plan.rebuildManifest && kind.rebuildManifest !== undefined
      ? kind.rebuildManifest(source, context, this.progress)
      : kind.salvage(source, context, this.progress)
  }

  /** Removes what a repair that failed has built: nothing names it. */
  #discardTarget(): void {
    const { vfs } = this.#opening
    if (!this.#targetIsScratch || vfs.statSync(this.#target) === undefined) return
    try {
      removeTree(vfs, this.#target)
    } catch (error) {
      // The error that ended the repair says more, and the next repair removes the rest.
      if (!(error instanceof KintsugiError)) throw error
    }
  }

  /**
   * The rebuilt data becomes the store's own once it is durable and sound; only then is the old
   * moved away. Returns where to.
   */
  async #conclude(recovered: Recovered, replaced: string | undefined): Promise<string | undefined> {
    const { backend, log, statement } = recovered
    const { vfs } = this.#opening
    if (log === undefined) {
      await backend.close()
      if (replaced !== undefined) removeTree(vfs, this.#target)
      return undefined
    }
    const remaining = await this.#persistAndVerify(backend, log)
    // What the log begins with now: a missing first segment is not asked for again.
    const floor = log.floorFor(backend.retirableSeq)
    const cleanMark = await log.close({ clean: true })
    const damaged = remaining.find(({ severity }) => severity === 'error')
    if (damaged !== undefined) {
      throw new KintsugiError(
        'KINTSUGI_CORRUPTION',
        `the repaired data does not verify: ${damaged.message}; the store was left as it was`,
        { path: damaged.path }
      )
    }
    // From here on a slot may name the new data, whatever fails.
    this.#targetIsScratch = false
    const generation = this.#identity.dataGeneration + (replaced === undefined ? 0 : 1)
    const witness = { ...(statement.log ?? this.#identity.log), floor, cleanMark }
    const change = { ...statement, log: witness, dataGeneration: generation }
    // In both slots: the other one names data that is moved away, and log that may be missing.
    await this.#identityFile.update(change)
    await this.#identityFile.update(change)
    return replaced === undefined ? undefined : this.#quarantine(replaced)
  }

  /** Closes the backend, and where it fails the log as well: the lock goes next. */
  async #persistAndVerify(backend: Backend, log: Log): Promise<Finding[]> {
    const synced = (): Promise<void> => Promise.resolve() // recovery has synced the log already
    try {
      await backend.persist(synced)
      await backend.persist(synced)
      return await backend.verify('comprehensive', this.progress)
    } catch (error) {
      await log.close({ clean: false })
      throw error
    } finally {
      await backend.close()
    }
  }

  async #quarantine(replaced: string): Promise<string | undefined> {
    const { vfs, path } = this.#opening
    if (vfs.statSync(replaced) === undefined) return undefined
    const place = quarantineDirectory(path, this.#opening.startedMs)
    await makeDirectory(vfs, place)
    const destination = `${place}/${dataName(this.#identity.backend, this.#identity.dataGeneration)}`
    await vfs.rename(replaced, destination)
    await vfs.syncDirectory(place)
    await vfs.syncDirectory(path)
    return destination
  }

  async #keepReport(report: RepairReport): Promise<void> {
    const { vfs, path } = this.#opening
    await makeDirectory(vfs, `${path}/recovery`)
    const file = await vfs.open(
      `${path}/recovery/repair-${timeStamp(this.#opening.startedMs)}.json`,
      'create'
    )
    const text = JSON.stringify(report, (_, value: unknown) => readable(value), 2)
    try {
      await file.writeAndDatasync(Buffer.from(`${text}\n`), 0)
    } finally {
      await file.close()
    }
    await vfs.syncDirectory(`${path}/recovery`)
  }

  get #target(): string {
    const { backend, dataGeneration } = this.#identity
    return `${this.#opening.path}/${dataName(backend, dataGeneration + 1)}`
  }

  get #storeId(): Buffer {
    return Buffer.from(this.#identity.storeId, 'hex')
  }
}

async function countKeys(backend: Backend, progress: Progress): Promise<number> {
  const view = backend.readView()
  const cursor = view.cursor({ range: {}, reverse: false, keys: true, values: false })
  let count = 0
  try {
    for (;;) {
      const chunk = cursor.tryNextChunk(entriesPerChunk)
      if (chunk === undefined) break
      if (chunk === null) await cursor.load()
      else {
        count += chunk.count
        progress.report(count, 0, 'entries')
        // Or nobody could end it.
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    // Also the last chance to end it, in a dry run.
    progress.report(count, count, 'entries')
    return count
  } finally {
    cursor.close()
    view.close()
  }
}

function noManifest(path: string, { name }: BackendKind): KintsugiError {
  return new KintsugiError(
    'KINTSUGI_BACKEND_MISMATCH',
    `the store in ${path} has backend '${name}', which keeps no manifest; repair it instead`,
    { path }
  )
}

function finding(message: string, path: string): Finding {
  return { severity: 'error', kind: 'unreadable', message, path }
}

/** Keys in a report are written the way messages show them. */
function readable(value: unknown): unknown {
  return value instanceof Uint8Array ? formatKey(value) : value
}
