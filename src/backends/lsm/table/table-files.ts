import { KintsugiError } from '../../../errors.js'
import type { KeySpan } from '../../../memtable/key-span.js'
import type { Vfs, VfsFile } from '../../../vfs/vfs.js'

/** Read in one turn of the event loop before a read goes the way that lets it turn. */
const maxTriedBytes = 256 * 1024
const defaultMaxOpen = 500

/** The open files of all tables: at most so many, the least recently used are closed first. */
export class TableFiles {
  readonly vfs: Vfs
  readonly #maxOpen: number
  readonly #open = new Set<TableFile>()
  /** Read without waiting since the event loop turned. */
  #triedBytes = 0
  readonly #turned = (): void => {
    this.#triedBytes = 0
  }

  constructor(vfs: Vfs, maxOpen = defaultMaxOpen) {
    this.vfs = vfs
    this.#maxOpen = maxOpen
  }

  get openCount(): number {
    return this.#open.size
  }

  /** Whether a read that does not wait may take place in this turn. */
  mayTryRead(sizeBytes: number): boolean {
    return this.#triedBytes + sizeBytes <= maxTriedBytes
  }

  tried(sizeBytes: number): void {
    if (this.#triedBytes === 0) setImmediate(this.#turned)
    this.#triedBytes += sizeBytes
  }

  used(file: TableFile): void {
    this.#open.delete(file)
    this.#open.add(file)
    if (this.#open.size > this.#maxOpen) this.closeIdle(this.#open.size - this.#maxOpen)
  }

  closed(file: TableFile): void {
    this.#open.delete(file)
  }

  /** Closes files that nothing is reading, the least recently used first; how many. */
  closeIdle(maxCount: number): number {
    let count = 0
    for (const file of this.#open) {
      if (count >= maxCount) break
      if (file.closeIfIdle()) count++
    }
    return count
  }
}

/** A table's file, opened when it is read. */
export class TableFile {
  readonly path: string
  readonly #span: KeySpan
  readonly #files: TableFiles
  #file: VfsFile | undefined
  #opening: Promise<VfsFile> | undefined
  #reads = 0

  /** `span`: the keys that are damaged where the file is missing. */
  constructor(files: TableFiles, path: string, span: KeySpan) {
    this.#files = files
    this.path = path
    this.#span = span
  }

  async read(target: Buffer, position: number): Promise<number> {
    this.#reads++
    try {
      const file = this.#file ?? (await this.#open())
      this.#files.used(this)
      return await file.read(target, position)
    } finally {
      this.#reads--
    }
  }

  readSync(target: Buffer, position: number): number {
    const file = this.#openSync()
    this.#files.used(this)
    return file.readSync(target, position)
  }

  /** Reads without waiting; false where that is not possible. */
  tryRead(target: Buffer, position: number): boolean {
    const file = this.#file
    if (file === undefined || !this.#files.mayTryRead(target.length)) return false
    if (!file.tryRead(target, position)) return false
    this.#files.tried(target.length)
    this.#files.used(this)
    return true
  }

  async size(): Promise<number> {
    this.#reads++
    try {
      return (this.#file ?? (await this.#open())).sizeSync()
    } finally {
      this.#reads--
    }
  }

  sizeSync(): number {
    return this.#openSync().sizeSync()
  }

  /** Closes the file unless it is being read; a later read opens it again. */
  closeIfIdle(): boolean {
    if (this.#file === undefined || this.#reads > 0) return false
    const file = this.#file
    this.#file = undefined
    this.#files.closed(this)
    file.closeSync()
    return true
  }

  #openSync(): VfsFile {
    if (this.#file !== undefined) return this.#file
    const { vfs } = this.#files
    let file: VfsFile
    try {
      file = vfs.openSync(this.path, 'read')
    } catch (error) {
      if (!isTooMany(error) || this.#files.closeIdle(16) === 0) throw this.#explained(error)
      file = vfs.openSync(this.path, 'read')
    }
    return this.#opened(file)
  }

  #open(): Promise<VfsFile> {
    this.#opening ??= this.#openNow().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #openNow(): Promise<VfsFile> {
    const { vfs } = this.#files
    let file: VfsFile
    try {
      file = await vfs.open(this.path, 'read')
    } catch (error) {
      if (!isTooMany(error) || this.#files.closeIdle(16) === 0) throw this.#explained(error)
      file = await vfs.open(this.path, 'read')
    }
    // Opened by a read that waited meanwhile.
    if (this.#file !== undefined) {
      await file.close()
      return this.#file
    }
    return this.#opened(file)
  }

  #explained(error: unknown): unknown {
    if (!(error instanceof KintsugiError) || error.code !== 'KINTSUGI_FILE_MISSING') return error
    const { low, high } = this.#span
    return new KintsugiError(
      'KINTSUGI_CORRUPTION',
      `the table ${this.path} is missing; the rest keeps working, put it back or run a repair`,
      { path: this.path, lowKey: low, ...(high && { highKey: high }) },
      error
    )
  }

  #opened(file: VfsFile): VfsFile {
    this.#file = file
    this.#files.used(this)
    return file
  }
}

function isTooMany(error: unknown): boolean {
  return error instanceof KintsugiError && error.code === 'KINTSUGI_TOO_MANY_FILES'
}
