import type { Finding, Progress, VerifyLevel } from '../../../backend/backend.js'
import type { Vfs } from '../../../vfs/vfs.js'
import type { SyncedFile } from './synced-file.js'
import { readCurrent, readCurrentManifest, readNamedManifest } from './current-manifest.js'
import type { EntryCheck } from './entry-check.js'
import { parseFileName, tableNames } from './file-names.js'
import { fileFinding } from './finding.js'
import { isLiveLog, type LevelState, readManifest } from './manifest-state.js'
import { namesIfThere, openIfThere } from './read-fully.js'
import { checkLog } from './log-check.js'
import { checkTable, type TableCheckContext } from './table-check.js'
import { userSpanOfTable } from './user-range.js'
import type { LiveTable } from './version-edit.js'

/**
 * Checks the files of a LevelDB directory without LevelDB, which would take over damage when it
 * compacts. `synced` says how much of the logs and the manifest a completed sync covers: what lies
 * behind may be torn. `basic` looks at CURRENT, the manifest, sizes and footers, `standard` at every
 * checksum as well, `comprehensive` also at the order of all entries, and at each with `checkEntry`.
 *
 * LevelDB may have the directory open meanwhile (`isInUse`): what it has replaced is no longer asked
 * for, and names that are not there yet, or no more, are not taken for a power cut's.
 */
export async function checkLevelDb(
  vfs: Vfs,
  directory: string,
  synced: readonly SyncedFile[],
  level: VerifyLevel,
  progress: Progress,
  checkEntry?: EntryCheck,
  isInUse = false
): Promise<Finding[]> {
  return new LevelDbCheck(vfs, directory, synced, level, progress, checkEntry, isInUse).run()
}

const tablesAtOnce = 4
/** Read at once of a table. */
const pieceBytes = 512 << 10

/** What is wrong with a file that LevelDB may have removed meanwhile. */
interface FileFindings {
  readonly fileNumber: number
  readonly findings: readonly Finding[]
}

class LevelDbCheck {
  readonly #context: Omit<TableCheckContext, 'piece'>
  #doneBytes = 0
  #totalBytes = 0

  constructor(
    private readonly vfs: Vfs,
    private readonly directory: string,
    private readonly synced: readonly SyncedFile[],
    private readonly level: VerifyLevel,
    private readonly progress: Progress,
    checkEntry: EntryCheck | undefined,
    private readonly isInUse: boolean
  ) {
    this.#context = {
      level,
      progress,
      checkEntry,
      step: (bytes) => progress.report((this.#doneBytes += bytes), this.#totalBytes, 'bytes')
    }
  }

  async run(): Promise<Finding[]> {
    const names = await namesIfThere(this.vfs, this.directory)
    if (names === undefined) {
      return [fileFinding('missing-file', this.directory, 'the directory of LevelDB is missing')]
    }
    const read = this.isInUse ? readNamedManifest : readCurrentManifest
    const { state, findings } = await read(this.vfs, this.directory, names, this.synced)
    if (state === undefined) return findings
    const logs = this.#liveLogs(state)
    const suspects: FileFindings[] = []
    for (const { sizeBytes } of state.tables) this.#totalBytes += sizeBytes
    for (const { file } of logs) this.#totalBytes += file.sizeBytes
    suspects.push(...(await this.#checkTables(state.tables)))
    for (const { fileNumber, file } of logs) {
      suspects.push({ fileNumber, findings: await this.#checkLog(file) })
    }
    this.progress.report(this.#totalBytes, this.#totalBytes, 'bytes')
    return [...findings, ...(await this.#stillConcerned(suspects))]
  }

  /** Synced logs that the state still needs. */
  #liveLogs(state: LevelState): { fileNumber: number; file: SyncedFile }[] {
    return this.synced.flatMap((file) => {
      const parsed = parseFileName(file.name)
      if (parsed?.kind !== 'log') return []
      return isLiveLog(state, parsed.number) ? [{ fileNumber: parsed.number, file }] : []
    })
  }

  async #checkLog(log: SyncedFile): Promise<Finding[]> {
    const path = `${this.directory}/${log.name}`
    const file = await openIfThere(this.vfs, path)
    if (file === undefined) {
      // Only a log that had something in it can be missed: LevelDB makes the next one by itself.
      return log.sizeBytes === 0 ? [] : [fileFinding('missing-file', path, 'this log is missing')]
    }
    try {
      return await checkLog(file, log, this.level, this.#context.step)
    } finally {
      await file.close()
    }
  }

  /** Several at once: while one is read, another is looked at. */
  async #checkTables(tables: readonly LiveTable[]): Promise<FileFindings[]> {
    const results: FileFindings[] = []
    let next = 0
    const work = async (): Promise<void> => {
      const piece = Buffer.allocUnsafeSlow(pieceBytes)
      while (next < tables.length) {
        this.progress.signal?.throwIfAborted()
        const i = next++
        const findings = await this.#checkTable(tables[i], { ...this.#context, piece })
        results[i] = { fileNumber: tables[i].number, findings }
      }
    }
    const workers = Array.from({ length: Math.min(tablesAtOnce, tables.length) }, work)
    const outcomes = await Promise.allSettled(workers)
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
    return results
  }

  async #checkTable(table: LiveTable, context: TableCheckContext): Promise<Finding[]> {
    const paths = tableNames(table.number).map((name) => `${this.directory}/${name}`)
    for (const path of paths) {
      const file = await openIfThere(this.vfs, path)
      if (file === undefined) continue
      try {
        return await checkTable(file, table, context)
      } finally {
        await file.close()
      }
    }
    const keys = userSpanOfTable(table.smallest, table.largest)
    return [fileFinding('missing-file', paths[0], 'this table is missing', { keys })]
  }

  /** Of what was found, that which concerns files LevelDB still needs. */
  async #stillConcerned(suspects: readonly FileFindings[]): Promise<Finding[]> {
    const suspicious = suspects.filter(({ findings }) => findings.length > 0)
    if (suspicious.length === 0) return []
    const name = await readCurrent(this.vfs, this.directory)
    const reading = name && (await readManifest(this.vfs, `${this.directory}/${name}`))
    const state = reading ? reading.state : undefined
    if (state === undefined) return suspicious.flatMap(({ findings }) => findings)
    const live = new Set(state.tables.map(({ number }) => number))
    for (const { fileNumber } of this.#liveLogs(state)) live.add(fileNumber)
    return suspicious.flatMap(({ fileNumber, findings }) => (live.has(fileNumber) ? findings : []))
  }
}
