import type { DataFile } from './data-file.js'

const stagingBytes = 1 << 20
/** From this size on an extent is written from where it is instead of being copied first. */
const directBytes = 256 << 10
/** More would keep the thread pool from the log. */
const maxWritesInFlight = 4

interface Run {
  readonly position: number
  readonly bytes: Buffer
}

/**
 * Writes pages handed over in ascending order in as few and as large writes as their numbers allow.
 * Pages are copied into one of two staging buffers; while one is filled, the other is written.
 */
export class RunWriter {
  readonly #file: DataFile
  #staging = Buffer.allocUnsafeSlow(stagingBytes)
  #other = Buffer.allocUnsafeSlow(stagingBytes)
  #fill = 0
  readonly #runs: Run[] = []
  /** Where the last run starts in the staging buffer and in the file. */
  #runStart = 0
  #runPosition = 0
  #inFlight: Promise<void> | undefined
  #error: unknown
  bytesWritten = 0
  writes = 0

  constructor(file: DataFile) {
    this.#file = file
  }

  /** Takes a copy of `source[start, end)` for the pages from `pageNo` on; true: call `flush`. */
  add(pageNo: number, source: Buffer, start: number, end: number): boolean {
    const { pageBytes } = this.#file
    const position = pageNo * pageBytes
    const sizeBytes = Math.ceil((end - start) / pageBytes) * pageBytes
    if (position !== this.#runPosition + this.#fill - this.#runStart) this.#startRun(position)
    source.copy(this.#staging, this.#fill, start, end)
    this.#staging.fill(0, this.#fill + end - start, this.#fill + sizeBytes)
    this.#fill += sizeBytes
    return this.#fill + directBytes > stagingBytes
  }

  /** True for an extent that `write` should take. */
  isDirect(sizeBytes: number): boolean {
    return sizeBytes >= directBytes
  }

  /** Writes one big extent from where it lies. */
  async write(pageNo: number, source: Buffer): Promise<void> {
    this.#startRun(0)
    this.#runs.push({ position: pageNo * this.#file.pageBytes, bytes: source })
    await this.flush()
  }

  /** Starts writing what was added. Resolves when there is room again, not when it is written. */
  async flush(): Promise<void> {
    this.#startRun(0)
    await this.#inFlight
    this.#throwError()
    this.#inFlight = this.#writeRuns(this.#runs.splice(0))
    const staging = this.#staging
    this.#staging = this.#other
    this.#other = staging
    this.#fill = 0
    this.#runStart = 0
  }

  /** Resolves when everything is written. */
  async finish(): Promise<void> {
    await this.flush()
    await this.#inFlight
    this.#throwError()
  }

  /** Resolves, whatever happened, when no write is running any more. */
  async settle(): Promise<void> {
    await this.#inFlight
  }

  #startRun(position: number): void {
    if (this.#fill > this.#runStart) {
      const bytes = this.#staging.subarray(this.#runStart, this.#fill)
      this.#runs.push({ position: this.#runPosition, bytes })
    }
    this.#runStart = this.#fill
    this.#runPosition = position
  }

  /** Never rejects: an error waits for the next call. */
  async #writeRuns(runs: readonly Run[]): Promise<void> {
    let next = 0
    const worker = async (): Promise<void> => {
      while (next < runs.length && this.#error === undefined) {
        const { position, bytes } = runs[next++]
        try {
          await this.#file.writeAt(bytes, position)
          this.bytesWritten += bytes.length
          this.writes++
        } catch (error) {
          this.#error ??= error
        }
      }
    }
    const workers: Promise<void>[] = []
    for (let i = 0; i < Math.min(maxWritesInFlight, runs.length); i++) workers.push(worker())
    await Promise.all(workers)
  }

  #throwError(): void {
    if (this.#error !== undefined) throw this.#error
  }
}
