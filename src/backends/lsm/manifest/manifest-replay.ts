import { isCorruption, KintsugiError } from '../../../errors.js'
import { frameBytes } from '../../../wal/format.js'
import { Version } from './version.js'
import { decodeEdit, type VersionEdit } from './version-edit.js'

/** Makes the version again from the edits of a manifest, the first of which has to say all of it. */
export class ManifestReplay {
  readonly #path: string
  readonly #snapshotEdit: number
  #version: Version | undefined
  snapshotBytes = 0
  bytesSinceSnapshot = 0

  constructor(path: string, snapshotEdit: number) {
    this.#path = path
    this.#snapshotEdit = snapshotEdit
  }

  get version(): Version {
    return this.#version ?? Version.empty
  }

  take(bytes: Buffer, start: number, end: number, number: number): void {
    const edit = this.#decode(bytes, start, end, number)
    if (this.#version === undefined) {
      const isStart = number === this.#snapshotEdit && edit.snapshot === true
      if (!isStart) throw this.#damaged(number, 'CURRENT says that the whole version stands here')
      this.snapshotBytes = end - start
    } else this.bytesSinceSnapshot += frameBytes(end - start)
    const why = this.version.conflictOf(edit)
    if (why !== undefined) throw this.#damaged(number, why)
    this.#version = this.version.apply(edit)
  }

  /** Throws when the edit that CURRENT names was not there. */
  end(): void {
    if (this.#version) return
    throw this.#damaged(this.#snapshotEdit, 'CURRENT names it and it is not there')
  }

  #decode(bytes: Buffer, start: number, end: number, number: number): VersionEdit {
    try {
      return decodeEdit(bytes, start, end)
    } catch (error) {
      if (isCorruption(error)) throw this.#damaged(number, error.message, error)
      if (!(error instanceof KintsugiError)) throw error
      const facts = { path: this.#path, firstSeq: number, lastSeq: number }
      throw new KintsugiError(
        error.code,
        `edit ${number} in ${this.#path}: ${error.message}`,
        facts
      )
    }
  }

  #damaged(number: number, why: string, cause?: unknown): KintsugiError {
    return new KintsugiError(
      'KINTSUGI_CORRUPTION',
      `edit ${number} does not fit: ${why}`,
      { path: this.#path, firstSeq: number, lastSeq: number },
      cause
    )
  }
}
