import type { BackendContext } from '../../backend/backend.js'
import { KintsugiError } from '../../errors.js'
import type { Manifest } from './manifest/manifest.js'
import type { EditRequest } from './manifest/version-edit.js'
import { tableName, temporaryName, type TableMeta } from './table-meta.js'

/** What a job wrote: files with temporary names, complete and synced. */
export interface JobOutputs {
  readonly outputs: readonly TableMeta[]
  /** First of the numbers that were set aside for the job, and how many. */
  readonly firstOutput: number
  readonly outputCount: number
}

/**
 * Makes the outputs of jobs part of the store, and removes what they replace. It alone publishes,
 * renames and deletes tables (rule B2), in the order of the rules B1 and B3.
 */
export class Installer {
  readonly #context: BackendContext
  readonly #manifest: Manifest
  /** Called when the version has changed, in the same turn in which it is known. */
  readonly #onInstalled: () => void
  /** Whether a table is being read. */
  readonly #isInUse: (number: number) => boolean
  #nextTable: number
  /** Numbers of jobs that failed: files of theirs may be there, and an edit in doubt may name them. */
  readonly #failed = new Set<number>()
  #cleaning: Promise<void> | undefined
  /** Cleanings that failed; what they left goes with the next one. */
  cleanFailures = 0

  constructor(
    context: BackendContext,
    manifest: Manifest,
    nextTable: number,
    onInstalled: () => void,
    isInUse: (number: number) => boolean
  ) {
    this.#context = context
    this.#manifest = manifest
    this.#nextTable = nextTable
    this.#onInstalled = onInstalled
    this.#isInUse = isInUse
  }

  /** Sets numbers aside for the outputs of a job; the first of them. */
  allocate(count: number): number {
    const first = this.#nextTable
    this.#nextTable += count
    return first
  }

  /**
   * Publishes a job's outputs with an edit that names them; a job that fails is given up. `replace`
   * is called in the turn in which the new version begins.
   */
  async install(job: JobOutputs, edit: EditRequest, replace?: () => void): Promise<void> {
    const { vfs, directory, epoch } = this.#context
    try {
      for (const { number } of job.outputs) {
        const path = `${directory}/${tableName(number)}`
        await vfs.rename(`${directory}/${temporaryName(number, epoch)}`, path)
      }
      if (job.outputs.length > 0) await vfs.syncDirectory(directory)
      await this.#append({ ...edit, added: [...job.outputs, ...(edit.added ?? [])] }, replace)
    } catch (error) {
      this.giveUp(job.firstOutput, job.outputCount)
      throw error
    }
  }

  /** Records an edit without outputs, such as a table that moves to another level. */
  async record(edit: EditRequest): Promise<void> {
    await this.#append(edit)
  }

  /** The files of a job that failed go with the next cleaning. */
  giveUp(firstOutput: number, outputCount: number): void {
    for (let i = 0; i < outputCount; i++) this.#failed.add(firstOutput + i)
  }

  /**
   * Unlinks what is no longer needed at this moment. What fails to go is counted and goes with the
   * next cleaning.
   */
  clean(): Promise<void> {
    // One that is under way may not know what has just become needless.
    const cleaning = (this.#cleaning ?? Promise.resolve())
      .then(() => this.#clean())
      .catch((error: unknown) => {
        if (!(error instanceof KintsugiError)) throw error
        this.cleanFailures++
      })
    this.#cleaning = cleaning
    return cleaning
  }

  /** Waits for a cleaning under way, and makes up for a job that failed during it. */
  async close(): Promise<void> {
    await this.#cleaning
    if (this.#failed.size > 0) await this.clean()
  }

  async #append(edit: EditRequest, replace?: () => void): Promise<void> {
    await this.#manifest.append({ ...edit, nextTable: this.#nextTable })
    replace?.()
    this.#onInstalled()
  }

  async #clean(): Promise<void> {
    const manifest = this.#manifest
    const { obsolete } = manifest.version
    // A later synced edit says that they go before the first of them does (rule B1).
    if (obsolete.length > 0) {
      await manifest.append({ retired: obsolete.map(({ number }) => number) })
    }
    await this.#removeFailed()
    const removed: number[] = []
    for (const { number } of manifest.version.retired) {
      // The rest is younger, and goes after it (rule B3).
      if (this.#isInUse(number)) break
      await this.#unlink(tableName(number))
      removed.push(number)
    }
    if (removed.length === 0) return
    const { vfs, directory } = this.#context
    await vfs.syncDirectory(directory)
    manifest.forget(removed)
  }

  async #removeFailed(): Promise<void> {
    if (this.#failed.size === 0) return
    const manifest = this.#manifest
    // An edit that was rejected may still be found by a crash, unless something synced followed it.
    await manifest.settle()
    const { vfs, directory, epoch } = this.#context
    const failed = [...this.#failed].filter(
      (number) => manifest.version.table(number) === undefined
    )
    for (const number of failed) {
      await this.#unlink(temporaryName(number, epoch))
      await this.#unlink(tableName(number))
    }
    // Before another job takes the same inputs: an output that comes back would be hard to explain.
    await vfs.syncDirectory(directory)
    for (const number of failed) this.#failed.delete(number)
  }

  async #unlink(name: string): Promise<void> {
    const { vfs, directory } = this.#context
    try {
      await vfs.unlink(`${directory}/${name}`)
    } catch (error) {
      if (!(error instanceof KintsugiError) || error.code !== 'KINTSUGI_FILE_MISSING') throw error
    }
  }
}
