import { assert } from '../../../base/assert.js'
import type { Clock } from '../../../base/clock.js'
import { KintsugiError } from '../../../errors.js'
import type { Log } from '../../../wal/log.js'
import { createLog, recoverLog } from '../../../wal/recovery.js'
import type { RecoveryReport } from '../../../wal/witness.js'
import { CurrentFile, readCurrent, type Current } from './current-file.js'
import { manifestName } from './format.js'
import { commitEdit, logContextOf, type ManifestContext, naming } from './manifest-log.js'
import { ManifestReplay } from './manifest-replay.js'
import { Version } from './version.js'
import { editOf, encodedEditBytes, type EditRequest, type VersionEdit } from './version-edit.js'

/** A snapshot is written when the edits behind the last one take this many times its bytes. */
const rollFactor = 4

/** Somebody waits for an edit to be synced, or, without one, for doubts to be resolved. */
interface Waiting {
  readonly edit: VersionEdit | undefined
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** An edit in the log that is not synced yet. */
interface Committed {
  readonly number: number
  readonly bytes: number
  /** The version that it makes. */
  readonly version: Version
  /** `durableSeq` of the edits that its frame witnesses as synced (rules W2, B1). */
  readonly witnessedSeq: number
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

interface Parts {
  /** Undefined when opened read-only. */
  readonly log: Log | undefined
  readonly clock: Clock
  readonly current: CurrentFile
  readonly version: Version
  readonly recovery: RecoveryReport | undefined
  readonly segmentBytes: number
  readonly snapshotBytes: number
  readonly bytesSinceSnapshot: number
}

/**
 * The record of which tables make up the store: version edits, each a commit of a log of its own.
 *
 * ```
 * // a flush: outputs renamed into place, directory synced (rule B2), then
 * await manifest.append({ added, durableSeq, nextTable })
 * // a compaction, likewise
 * await manifest.append({ added, removed })
 * // later, and only then unlink them in this order, sync the directory, and forget them
 * await manifest.append({ retired: manifest.version.obsolete.map(({ number }) => number) })
 * manifest.forget(numbers)
 * ```
 *
 * `version` is always what is synced. An `append` that rejects is not part of it, and never will be
 * unless it is appended again, which is allowed after every error. Only a crash may still find such an
 * edit, until another append or `settle` has succeeded: tables that it names must stay until then.
 */
export class Manifest {
  readonly #log: Log | undefined
  readonly #clock: Clock
  readonly #current: CurrentFile
  readonly #segmentBytes: number
  /** How the opening found the log; undefined for a new one. */
  readonly recovery: RecoveryReport | undefined

  #version: Version
  #acknowledgedSeq: number
  #waiting: Waiting[] = []
  #committed: Committed[] = []
  #working: Promise<void> | undefined
  /** What has to be done between two groups of edits; none of it rejects. */
  #pauses: (() => Promise<void>)[] = []
  readonly #forgotten = new Set<number>()
  #isClosed = false

  #snapshotBytes: number
  #bytesSinceSnapshot: number
  /** Rolling is tried when `#bytesSinceSnapshot` reaches this. */
  #rollAtBytes: number
  #rolls = 0
  #rollFailures = 0
  /** Why the last attempt to roll failed; undefined when it succeeded. It is tried again. */
  rollError: unknown

  private constructor(parts: Parts) {
    this.#log = parts.log
    this.#clock = parts.clock
    this.#current = parts.current
    this.recovery = parts.recovery
    this.#segmentBytes = parts.segmentBytes
    this.#version = parts.version
    // CURRENT states what an opening has found; it is a witness as good as a later frame.
    this.#acknowledgedSeq = parts.version.durableSeq
    this.#snapshotBytes = parts.snapshotBytes
    this.#bytesSinceSnapshot = parts.bytesSinceSnapshot
    this.#rollAtBytes = this.#rollBytes
  }

  /** Makes the manifest of an empty store; CURRENT comes last, and with it the manifest exists. */
  static async create(context: ManifestContext): Promise<Manifest> {
    const { vfs, directory } = context
    vfs.mkdirSync(`${directory}/${manifestName}`)
    await vfs.syncDirectory(directory)
    const named: { file: CurrentFile | undefined } = { file: undefined }
    const logContext = logContextOf(context, named)
    const log = await createLog(logContext)
    try {
      const edit = Version.empty.snapshot()
      commitEdit(log, edit, context.clock.now())
      await log.sync()
      log.release(log.syncedSeq)
      const floorSegment = log.floorFor(0).segment
      const current: Current = {
        epoch: log.epoch,
        floorSegment,
        snapshotEdit: 1,
        activeSegment: floorSegment,
        syncedEdit: log.syncedSeq,
        cleanMark: undefined
      }
      named.file = new CurrentFile(context, current)
      await named.file.publish({})
      return new Manifest({
        log,
        clock: context.clock,
        current: named.file,
        version: Version.empty,
        recovery: undefined,
        segmentBytes: logContext.options.segmentBytes,
        snapshotBytes: encodedEditBytes(edit),
        bytesSinceSnapshot: 0
      })
    } catch (error) {
      await log.close({ clean: false })
      throw error
    }
  }

  /**
   * Opens what is there. CORRUPTION names the file where CURRENT or the manifest is missing or
   * damaged, UNSUPPORTED_VERSION where a newer version wrote it; then nothing was changed.
   */
  static async open(context: ManifestContext): Promise<Manifest> {
    const { readOnly } = context
    const current = new CurrentFile(context, readCurrent(context))
    // It was perhaps read from the page cache only, and is about to be acted upon (rule F4).
    if (!readOnly) await current.publish({})
    const { epoch, snapshotEdit, floorSegment, activeSegment, syncedEdit, cleanMark } =
      current.current
    const logContext = logContextOf(context, { file: current })
    const replay = new ManifestReplay(logContext.directory, snapshotEdit)
    const { log, report, opened } = await naming(logContext.directory, () =>
      recoverLog(logContext, {
        witness: {
          floor: { segment: floorSegment, seq: snapshotEdit },
          syncedSeq: syncedEdit,
          // What stands before the snapshot is not needed.
          durableSeq: snapshotEdit - 1,
          epoch: Math.max(epoch, context.epoch - 1),
          activeSegment,
          cleanMark
        },
        mode: 'tolerate-torn-tail',
        readOnly,
        sink: (bytes, start, end, seq) => replay.take(bytes, start, end, seq),
        ended: async () => replay.end()
      })
    )
    if (log) {
      try {
        await current.publish({
          epoch: opened.epoch,
          activeSegment: opened.segment,
          syncedEdit: Math.max(syncedEdit, opened.syncedSeq),
          cleanMark: opened.cleanMark
        })
      } catch (error) {
        await log.close({ clean: false })
        throw error
      }
    }
    return new Manifest({
      log,
      clock: context.clock,
      current,
      version: replay.version,
      recovery: report,
      segmentBytes: logContext.options.segmentBytes,
      snapshotBytes: replay.snapshotBytes,
      bytesSinceSnapshot: replay.bytesSinceSnapshot
    })
  }

  /** What is synced. */
  get version(): Version {
    return this.#version
  }

  /** The write-ahead log is not needed up to here: something later witnesses it (rule B1). */
  get acknowledgedSeq(): number {
    return this.#acknowledgedSeq
  }

  /** A rejected edit may still be found by a crash; see `settle`. */
  get isInDoubt(): boolean {
    return this.#log?.poison !== undefined
  }

  /** Resolves when the edit is synced and part of `version`; edits are applied in order. */
  async append(request: EditRequest): Promise<void> {
    await this.#enqueue(editOf(request))
  }

  /** Raises `acknowledgedSeq` to all that is durable, by an edit that changes nothing. */
  async acknowledge(): Promise<void> {
    if (this.#acknowledgedSeq < this.#version.durableSeq) await this.#enqueue(editOf({}))
  }

  /** Afterwards no crash finds an edit that was rejected, so that tables it names may go. */
  async settle(): Promise<void> {
    await this.#enqueue(undefined)
  }

  /** Does something while no edit is being written and no segment given up. */
  async whilePaused<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#log || this.#isClosed) return work()
    const done = new Promise<T>((resolve, reject) => {
      this.#pauses.push(() => work().then(resolve, reject))
    })
    this.#working ??= this.#work(this.#log)
    return done
  }

  /** Files of retired tables are unlinked, and the directory synced: nothing need be kept of them. */
  forget(numbers: Iterable<number>): void {
    for (const number of numbers) this.#forgotten.add(number)
    this.#applyForgotten()
  }

  stats(): Record<string, number> {
    return {
      manifestEdits: this.#log?.syncedSeq ?? this.recovery?.lastSeq ?? 0,
      manifestSegments: this.#log?.segments().length ?? 0,
      manifestBytesSinceSnapshot: this.#bytesSinceSnapshot,
      manifestSnapshotBytes: this.#snapshotBytes,
      manifestRolls: this.#rolls,
      manifestRollFailures: this.#rollFailures
    }
  }

  /**
   * Ends it after what waits is done. A clean close leaves nothing to recover; where there is no room
   * to state it, the next opening recovers what is synced anyway.
   */
  async close(clean: boolean): Promise<void> {
    this.#isClosed = true
    await this.#working
    try {
      await this.#log?.close({
        clean,
        stated: (cleanMark) => this.#current.publish({ cleanMark, syncedEdit: cleanMark.seq })
      })
    } catch (error) {
      if (!(error instanceof KintsugiError) || error.code === 'KINTSUGI_INTERNAL') throw error
    }
  }

  // --- one group of edits after the other

  #enqueue(edit: VersionEdit | undefined): Promise<void> {
    if (this.#isClosed) throw new KintsugiError('KINTSUGI_NOT_OPEN', 'the manifest is closed')
    if (!this.#log) {
      throw new KintsugiError('KINTSUGI_READ_ONLY', 'the manifest is open read-only')
    }
    const settled = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ edit, resolve, reject })
    })
    this.#working ??= this.#work(this.#log)
    return settled
  }

  /** Never rejects. */
  async #work(log: Log): Promise<void> {
    // What is asked for in the same turn goes in one write.
    await Promise.resolve()
    while (this.#waiting.length + this.#pauses.length > 0) {
      this.#applyForgotten()
      for (const pause of this.#pauses.splice(0)) await pause()
      if (this.#waiting.length === 0) continue
      await this.#writeGroup(log, this.#waiting.splice(0))
      if (this.#bytesSinceSnapshot >= this.#rollAtBytes) await this.#roll(log)
    }
    this.#applyForgotten()
    this.#working = undefined
  }

  async #writeGroup(log: Log, group: readonly Waiting[]): Promise<void> {
    for (const { edit, resolve, reject } of group) {
      if (!edit) continue
      try {
        const why = this.#conflictOf(edit)
        if (why !== undefined) throw refused(why)
        this.#commit(log, edit, resolve, reject)
      } catch (error) {
        reject(error)
      }
    }
    const failure = await this.#sync(log)
    for (const { edit, resolve, reject } of group) {
      if (edit) continue
      if (failure) reject(failure.error)
      else resolve()
    }
  }

  #conflictOf(edit: VersionEdit): string | undefined {
    // The edit that made a table obsolete must be synced before the one that retires it (rule B1).
    const early = edit.retired.find((number) => !this.#version.leftover(number))
    if (early !== undefined) return `table ${early} is retired and not obsolete`
    return this.#newest.conflictOf(edit)
  }

  /** With everything that is on its way. */
  get #newest(): Version {
    return this.#committed.at(-1)?.version ?? this.#version
  }

  /** Puts an edit into the log, in memory, and returns its number. */
  #commit(
    log: Log,
    edit: VersionEdit,
    resolve: () => void,
    reject: (error: unknown) => void
  ): number {
    const version = this.#newest.apply(edit)
    const witnessedSeq = this.#version.durableSeq
    const bytes = commitEdit(log, edit, this.#clock.now())
    const number = log.committedSeq
    this.#committed.push({ number, bytes, version, witnessedSeq, resolve, reject })
    return number
  }

  /** Syncs the log and tells everybody what became of the edits in it. */
  async #sync(log: Log): Promise<{ readonly error: unknown } | undefined> {
    let failure: { readonly error: unknown } | undefined
    try {
      await log.sync()
    } catch (error) {
      failure = { error }
    }
    const { syncedSeq, committedSeq } = log
    log.release(syncedSeq)
    const committed = this.#committed
    this.#committed = []
    for (const edit of committed) {
      if (edit.number <= syncedSeq) {
        this.#version = edit.version
        this.#acknowledgedSeq = Math.max(this.#acknowledgedSeq, edit.witnessedSeq)
        this.#bytesSinceSnapshot += edit.bytes
        edit.resolve()
      } else {
        assert(failure !== undefined, 'a sync that succeeds covers every edit')
        edit.reject(failure.error)
        // Still in the log, the next sync writes it; whoever waited has been told.
        if (edit.number <= committedSeq) this.#committed.push(edit)
      }
    }
    return failure
  }

  #applyForgotten(): void {
    if (this.#forgotten.size === 0 || this.#committed.length > 0) return
    this.#version = this.#version.forget(this.#forgotten)
    this.#forgotten.clear()
  }

  // --- rolling

  get #rollBytes(): number {
    return Math.max(this.#segmentBytes, rollFactor * this.#snapshotBytes)
  }

  /**
   * Writes the whole version, so that what stands before it can go (rule B1): a later frame states
   * that it is synced, then CURRENT that reading starts there, and only then segments are given up.
   * A failure harms nothing and is tried again some edits later.
   */
  async #roll(log: Log): Promise<void> {
    try {
      const edit = this.#newest.snapshot()
      const snapshotEdit = await this.#appendOwn(log, edit)
      await this.#appendOwn(log, editOf({}))
      const floor = log.floorFor(snapshotEdit - 1)
      await this.#current.publish({
        floorSegment: floor.segment,
        snapshotEdit,
        syncedEdit: log.syncedSeq
      })
      this.#snapshotBytes = encodedEditBytes(edit)
      this.#bytesSinceSnapshot = 0
      this.#rollAtBytes = this.#rollBytes
      await log.retire(floor)
      this.#rolls++
      this.rollError = undefined
    } catch (error) {
      this.rollError = error
      this.#rollFailures++
      this.#rollAtBytes = this.#bytesSinceSnapshot + this.#segmentBytes
    }
  }

  async #appendOwn(log: Log, edit: VersionEdit): Promise<number> {
    const why = this.#newest.conflictOf(edit)
    if (why !== undefined) throw refused(why)
    const nothing = () => undefined
    const number = this.#commit(log, edit, nothing, nothing)
    const failure = await this.#sync(log)
    if (failure) throw failure.error
    return number
  }
}

function refused(why: string): KintsugiError {
  return new KintsugiError(
    'KINTSUGI_INTERNAL',
    `a version edit does not fit the version it is for: ${why}; nothing was written, please report this`
  )
}
