import type { Finding, Progress, VerifyLevel } from '../../../backend/backend.js'
import { KintsugiError } from '../../../errors.js'
import type { Vfs } from '../../../vfs/vfs.js'
import { readCurrent, readCurrentManifest, type SyncedFile } from './current-manifest.js'
import { parseFileName, tableNames } from './file-names.js'
import { fileFinding } from './finding.js'
import { type LevelState, readManifest } from './manifest-state.js'
import { openIfThere } from './read-fully.js'
import { readTableFooter } from './table-footer.js'
import { userSpanOfTable } from './user-range.js'
import type { LiveTable } from './version-edit.js'

/** True where a stored value proves to be that of the stored key; both are views. */
export type EntryCheck = (storedKey: Buffer, storedValue: Buffer) => boolean

/**
 * Checks the files of a LevelDB directory without LevelDB, which would take over damage when it
 * compacts. `synced` says how much of the logs and the manifest a completed sync covers: what lies
 * behind may be torn. `basic` looks at CURRENT, the manifest, sizes and footers, `standard` at every
 * checksum as well, `comprehensive` also at the order of all entries, and at each with `checkEntry`.
 *
 * LevelDB may have the directory open meanwhile: what it has replaced is no longer asked for.
 */
export async function checkLevelDb(
  vfs: Vfs,
  directory: string,
  synced: readonly SyncedFile[],
  level: VerifyLevel,
  progress: Progress,
  checkEntry?: EntryCheck
): Promise<Finding[]> {
  return new LevelDbCheck(vfs, directory, synced, level, progress, checkEntry).run()
}

/** What is wrong with a file that LevelDB may have removed meanwhile. */
interface FileFindings {
  readonly fileNumber: number
  readonly findings: readonly Finding[]
}

class LevelDbCheck {
  constructor(
    private readonly vfs: Vfs,
    private readonly directory: string,
    private readonly synced: readonly SyncedFile[],
    readonly level: VerifyLevel,
    private readonly progress: Progress,
    readonly checkEntry: EntryCheck | undefined
  ) {}

  async run(): Promise<Finding[]> {
    const names = await this.#names()
    if (names === undefined) {
      return [fileFinding('missing-file', this.directory, 'the directory of LevelDB is missing')]
    }
    const { state, findings } = await readCurrentManifest(
      this.vfs,
      this.directory,
      names,
      this.synced
    )
    if (state === undefined) return findings
    const suspects: FileFindings[] = []
    for (const table of state.tables) {
      this.progress.signal?.throwIfAborted()
      suspects.push({ fileNumber: table.number, findings: await this.#checkTable(table) })
    }
    for (const { fileNumber, file } of this.#liveLogs(state)) {
      suspects.push({ fileNumber, findings: this.#checkLog(file) })
    }
    return [...findings, ...(await this.#stillConcerned(suspects))]
  }

  async #names(): Promise<string[] | undefined> {
    try {
      return await this.vfs.readdir(this.directory)
    } catch (error) {
      if (error instanceof KintsugiError && error.code === 'KINTSUGI_FILE_MISSING') return undefined
      throw error
    }
  }

  /** Synced logs that the state still needs. */
  #liveLogs(state: LevelState): { fileNumber: number; file: SyncedFile }[] {
    return this.synced.flatMap((file) => {
      const parsed = parseFileName(file.name)
      if (parsed?.kind !== 'log') return []
      const isLive = parsed.number >= state.logNumber || parsed.number === state.prevLogNumber
      return isLive ? [{ fileNumber: parsed.number, file }] : []
    })
  }

  #checkLog({ name, sizeBytes }: SyncedFile): Finding[] {
    const path = `${this.directory}/${name}`
    const stat = this.vfs.statSync(path)
    if (stat === undefined) return [fileFinding('missing-file', path, 'this log is missing')]
    if (stat.sizeBytes >= sizeBytes) return []
    const what = `the log ends here although ${sizeBytes} bytes were synced`
    return [fileFinding('wrong-size', path, what, { offset: stat.sizeBytes })]
  }

  async #checkTable(table: LiveTable): Promise<Finding[]> {
    const keys = userSpanOfTable(table.smallest, table.largest)
    const paths = tableNames(table.number).map((name) => `${this.directory}/${name}`)
    for (const path of paths) {
      const file = await openIfThere(this.vfs, path)
      if (file === undefined) continue
      try {
        const sizeBytes = file.sizeSync()
        if (sizeBytes !== table.sizeBytes) {
          const what = `it has ${sizeBytes} bytes, and the manifest says ${table.sizeBytes}`
          return [fileFinding('wrong-size', path, what, { keys })]
        }
        await readTableFooter(file, sizeBytes)
        return []
      } catch (error) {
        if (!(error instanceof KintsugiError) || error.code !== 'KINTSUGI_CORRUPTION') throw error
        return [fileFinding('damaged-table', path, error.message, { keys })]
      } finally {
        await file.close()
      }
    }
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
