import type { Vfs } from '../vfs/vfs.js'
import { segmentFileName } from './format.js'
import {
  openFile,
  perform,
  type Procedure,
  renameFile,
  runAsync,
  runSync,
  syncDirectory,
  unlinkFile
} from './io-step.js'
import { SegmentFile } from './segment-file.js'

/** A file ready to become a segment: named, preallocated, synced, its name durable. No header yet. */
export interface BlankSegment {
  readonly number: number
  readonly file: SegmentFile
}

/** Files kept for reuse beside the one prepared in advance. */
const keptSpares = 2

/**
 * Supplies files for new segments and takes back old ones. One blank is prepared in the background,
 * so that a switch has to wait for nothing but its two syncs.
 */
export class SegmentStock {
  readonly #vfs: Vfs
  readonly #directory: string
  readonly #segmentBytes: number
  #nextNumber: number
  /** Paths of files whose contents nobody needs. */
  readonly #spares: string[]
  /**
   * A sync may have failed on one of the spares, now or in a process before: nothing that was written
   * to it or allocated for it is believed any more (rule F1), so it is emptied before it is used.
   */
  #distrustsSpares: boolean
  #blank: BlankSegment | undefined
  #refilling: Promise<void> | undefined
  #closed = false
  /** Why the last preparation in the background failed; the switch itself will try again. */
  #refillError: unknown

  constructor(
    vfs: Vfs,
    directory: string,
    segmentBytes: number,
    nextNumber: number,
    spares: string[],
    distrustsSpares = false
  ) {
    this.#vfs = vfs
    this.#directory = directory
    this.#segmentBytes = segmentBytes
    this.#nextNumber = nextNumber
    this.#spares = spares
    this.#distrustsSpares = distrustsSpares
  }

  get spareCount(): number {
    return this.#spares.length + (this.#blank ? 1 : 0)
  }

  /** A file for the next segment; its number is above that of every segment before. */
  *take(above: number): Procedure<BlankSegment> {
    this.#nextNumber = Math.max(this.#nextNumber, above + 1)
    for (;;) {
      const blank = this.#blank
      this.#blank = undefined
      if (blank && blank.number > above) return blank
      // Prepared before a segment with a higher number was made: only its file is of use.
      if (blank) this.putBack(blank)
      // The synchronous path cannot wait for another thread's preparation and makes its own file.
      // Either way the result lies in the stock, so nobody loses it by being overtaken.
      yield* perform({
        async: () => this.#fill(),
        sync: () => {
          this.#blank = runSync(this.#prepare())
        }
      })
      if (!this.#blank) throw this.#refillError
    }
  }

  /** A write or sync of some segment has failed. */
  distrustSpares(): void {
    this.#distrustsSpares = true
  }

  /** Returns a blank that was not used, or a file whose contents are void. */
  putBack(segment: { readonly file: SegmentFile }): void {
    segment.file.closeSync()
    this.#spares.push(segment.file.path)
  }

  /** Starts preparing the next blank in the background, unless there is one. */
  refill(): void {
    if (!this.#blank && !this.#refilling && !this.#closed) void this.#startRefill()
  }

  /** Never rejects: without a blank afterwards, `#refillError` says why. */
  async #fill(): Promise<void> {
    if (this.#refilling) await this.#refilling
    if (!this.#blank) await this.#startRefill()
  }

  #startRefill(): Promise<void> {
    this.#refilling = runAsync(this.#prepare())
      .then(
        (blank) => {
          this.#refillError = undefined
          if (this.#blank || this.#closed) this.putBack(blank)
          else this.#blank = blank
        },
        (error: unknown) => {
          this.#refillError = error
        }
      )
      .finally(() => {
        this.#refilling = undefined
      })
    return this.#refilling
  }

  /** Takes files that the log does not need any more: some are kept for reuse, the rest go. */
  async retire(paths: readonly string[]): Promise<void> {
    for (const path of paths) {
      if (this.#spares.length < keptSpares) this.#spares.push(path)
      else await this.#vfs.unlink(path)
    }
  }

  /** Unlinks spares beyond the few that are kept. */
  async limitSpares(): Promise<void> {
    while (this.#spares.length > keptSpares) {
      await this.#vfs.unlink(this.#spares[0])
      this.#spares.shift()
    }
  }

  /** Unlinks the spares: what a closed store does not need. */
  *trim(): Procedure<void> {
    if (this.#blank) this.putBack(this.#blank)
    this.#blank = undefined
    while (this.#spares.length > 0) {
      yield* perform(unlinkFile(this.#vfs, this.#spares[this.#spares.length - 1]))
      this.#spares.pop()
    }
  }

  /** Ends the background work. Afterwards only `trim`. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#refilling
    if (this.#blank) this.putBack(this.#blank)
    this.#blank = undefined
  }

  *#prepare(): Procedure<BlankSegment> {
    const number = this.#nextNumber++
    const path = `${this.#directory}/${segmentFileName(number)}`
    const spare = this.#spares.pop()
    let opened = false
    try {
      if (spare !== undefined) yield* perform(renameFile(this.#vfs, spare, path))
      const mode = spare === undefined ? 'create' : 'readwrite'
      const first = yield* perform(openFile(this.#vfs, path, mode))
      opened = true
      const second = this.#vfs.openSync(path, 'readwrite')
      const file = new SegmentFile(number, path, first, second)
      try {
        if (spare !== undefined && this.#distrustsSpares) yield* perform(file.truncate(0))
        yield* perform(file.allocate(this.#segmentBytes))
        yield* perform(file.datasync())
        yield* perform(syncDirectory(this.#vfs, this.#directory))
        if (spare === undefined) file.markFresh(this.#segmentBytes)
      } catch (error) {
        file.closeSync()
        throw error
      }
      return { number, file }
    } catch (error) {
      // What exists is reused by the next attempt, so a full disk is not filled further.
      this.distrustSpares()
      if (opened) this.#spares.push(path)
      else if (spare !== undefined) {
        this.#spares.push(this.#vfs.statSync(spare) ? spare : path)
      }
      throw error
    }
  }
}
