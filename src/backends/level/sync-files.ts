import { KintsugiError } from '../../errors.js'
import type { Vfs } from '../../vfs/vfs.js'
import type { SyncedFile } from './files/synced-file.js'

/** Closing a descriptor of its lock file would end LevelDB's lock; the others say nothing of data. */
const skipped = new Set(['LOCK', 'LOG', 'LOG.old'])
const tablePattern = /\.(ldb|sst)$/
/** More of them than LevelDB ever keeps: what is said of them has to fit into a slot. */
const maxGrowing = 32
const growingPattern = /(\.log$|^MANIFEST-)/

/**
 * Makes the files of a LevelDB directory durable as they are: LevelDB's own synced write leaves out
 * logs that it has switched from (rule B4). Tables never change, so each is synced once.
 */
export class LevelFiles {
  readonly #vfs: Vfs
  readonly #directory: string
  #syncedTables = new Set<string>()

  constructor(vfs: Vfs, directory: string) {
    this.#vfs = vfs
    this.#directory = directory
  }

  /** Resolves with the logs and manifests, and how much of them is durable at least. */
  async sync(): Promise<SyncedFile[]> {
    const names = await this.#vfs.readdir(this.#directory)
    const tables = new Set<string>()
    const growing: SyncedFile[] = []
    for (const name of names) {
      if (skipped.has(name)) continue
      const isTable = tablePattern.test(name)
      if (isTable) tables.add(name)
      if (isTable && this.#syncedTables.has(name)) continue
      const sizeBytes = await this.#syncFile(name)
      // LevelDB removes what it no longer needs, at any time.
      if (sizeBytes === undefined) continue
      if (growingPattern.test(name)) growing.push({ name, sizeBytes })
    }
    await this.#vfs.syncDirectory(this.#directory)
    this.#syncedTables = tables
    return growing.slice(-maxGrowing)
  }

  /** The size that is durable; undefined where the file is gone. */
  async #syncFile(name: string): Promise<number | undefined> {
    let file
    try {
      file = await this.#vfs.open(`${this.#directory}/${name}`, 'read')
    } catch (error) {
      if (error instanceof KintsugiError && error.code === 'KINTSUGI_FILE_MISSING') return undefined
      throw error
    }
    try {
      const sizeBytes = file.sizeSync()
      await file.datasync()
      return sizeBytes
    } finally {
      await file.close()
    }
  }
}
