import type { Vfs } from '../../vfs/vfs.js'
import { parseFileName } from './files/file-names.js'
import { openIfThere } from './files/read-fully.js'
import type { SyncedFile } from './files/synced-file.js'

/** More of them than LevelDB ever keeps: what is said of them has to fit into a slot. */
const maxGrowing = 32

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
      const kind = parseFileName(name)?.kind
      // What holds no data; closing a descriptor of the lock file would end LevelDB's lock.
      if (kind === undefined || kind === 'lock' || kind === 'info') continue
      if (kind === 'table') tables.add(name)
      if (kind === 'table' && this.#syncedTables.has(name)) continue
      const sizeBytes = await this.#syncFile(name)
      // LevelDB removes what it no longer needs, at any time.
      if (sizeBytes === undefined) continue
      if (kind === 'log' || kind === 'manifest') growing.push({ name, sizeBytes })
    }
    await this.#vfs.syncDirectory(this.#directory)
    this.#syncedTables = tables
    return growing.slice(-maxGrowing)
  }

  /** The size that is durable; undefined where the file is gone. */
  async #syncFile(name: string): Promise<number | undefined> {
    const file = await openIfThere(this.#vfs, `${this.#directory}/${name}`)
    if (file === undefined) return undefined
    try {
      const sizeBytes = file.sizeSync()
      await file.datasync()
      return sizeBytes
    } finally {
      await file.close()
    }
  }
}
