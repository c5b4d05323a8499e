import { assert } from '../base/assert.js'
import { KintsugiError } from '../errors.js'
import type { VfsFile } from '../vfs/vfs.js'
import type { Step } from './io-step.js'

/** Most that is written ahead at once: 128 KiB in a segment of 16 MiB. */
const zeros = Buffer.alloc(1 << 20)
const aheadShare = 128

/**
 * A segment's file, open twice. The synchronous path has its own handle, because the kernel reports
 * a failed writeback once per handle: a sync that overtakes one in flight must not lose the error to
 * the other.
 */
export class SegmentFile {
  readonly number: number
  readonly path: string
  readonly #async: VfsFile | undefined
  readonly #sync: VfsFile | undefined
  /** Preallocated and never written from here to `#sizeBytes`, so it reads as zeros. */
  #freshFrom = 0
  /** 0 for a file that held something before: nothing is written ahead in it. */
  #sizeBytes = 0

  /** Without files: a segment that is read only, its number and path. */
  constructor(number: number, path: string, asyncFile?: VfsFile, syncFile?: VfsFile) {
    this.number = number
    this.path = path
    this.#async = asyncFile
    this.#sync = syncFile
  }

  /** For the fast path: writes at once. */
  writeSync(bytes: Uint8Array, offset: number): void {
    this.#used(offset + bytes.length)
    this.#open(this.#sync).writeSync(bytes, offset)
  }

  write(bytes: Uint8Array, offset: number): Step<void> {
    this.#used(offset + bytes.length)
    return {
      async: () => this.#open(this.#async).write(bytes, offset),
      sync: () => this.#open(this.#sync).writeSync(bytes, offset)
    }
  }

  writeAndDatasync(bytes: Uint8Array, offset: number): Step<void> {
    return {
      async: () => {
        this.#writeAhead(this.#open(this.#async), offset + bytes.length)
        return this.#open(this.#async).writeAndDatasync(bytes, offset)
      },
      sync: () => {
        this.#writeAhead(this.#open(this.#sync), offset + bytes.length)
        this.#open(this.#sync).writeSync(bytes, offset)
        this.#open(this.#sync).datasyncSync()
      }
    }
  }

  /** Says that the file holds nothing but preallocated zeros. */
  markFresh(sizeBytes: number): void {
    this.#sizeBytes = sizeBytes
  }

  /**
   * Writes zeros over the zeros that follow. A sync of blocks that were never written costs the file
   * system a journal commit on top, and so one sync in many pays for the others. Never over anything
   * that was written before.
   */
  #writeAhead(file: VfsFile, end: number): void {
    if (end < this.#freshFrom || end >= this.#sizeBytes) return
    const wantedBytes = Math.min(zeros.length, Math.ceil(this.#sizeBytes / aheadShare))
    const ahead = zeros.subarray(0, Math.min(wantedBytes, this.#sizeBytes - end))
    this.#freshFrom = end + ahead.length
    file.writeSync(ahead, end)
  }

  #used(end: number): void {
    if (end > this.#freshFrom) this.#freshFrom = end
  }

  datasync(): Step<void> {
    return {
      async: () => this.#open(this.#async).datasync(),
      sync: () => this.#open(this.#sync).datasyncSync()
    }
  }

  allocate(sizeBytes: number): Step<void> {
    return {
      async: () => this.#open(this.#async).allocate(sizeBytes),
      sync: () => this.#open(this.#sync).allocateSync(sizeBytes)
    }
  }

  truncate(sizeBytes: number): Step<void> {
    return {
      async: () => this.#open(this.#async).truncate(sizeBytes),
      sync: () => this.#open(this.#sync).truncateSync(sizeBytes)
    }
  }

  /**
   * Gives the handles back. What counts was synced before, and nothing is believed because a file
   * was closed, so an error here (a delayed one of void bytes, say) changes nothing.
   */
  closeSync(): void {
    for (const file of [this.#async, this.#sync]) {
      try {
        file?.closeSync()
      } catch (error) {
        if (!(error instanceof KintsugiError) || error.code === 'KINTSUGI_INTERNAL') throw error
      }
    }
  }

  #open(file: VfsFile | undefined): VfsFile {
    assert(file !== undefined, `segment ${this.number} is open for writing`)
    return file
  }
}
