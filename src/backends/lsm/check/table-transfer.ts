import type { BackendContext, Progress } from '../../../backend/backend.js'
import { compareBytes } from '../../../base/bytes.js'
import { KintsugiError } from '../../../errors.js'
import { copyFile } from '../../../vfs/copy-file.js'
import { compressionOf } from '../flusher.js'
import { KeyHash } from '../../../memtable/key-hash.js'
import { type KeySpan, successor } from '../../../memtable/key-span.js'
import { tableName, type TableMeta } from '../table-meta.js'
import type { SalvagedTable, SalvagedVersion } from '../table/table-salvage.js'
import { salvageTable } from '../table/table-salvage.js'
import { TableWriter } from '../table/table-writer.js'

/** What could be saved of a damaged table. */
export interface RewrittenTable {
  /** The table that takes its place; undefined where nothing was left. */
  readonly table: TableMeta | undefined
  readonly lost: readonly KeySpan[]
  /** What removed ranges of it hid may show again, also in the new table itself. */
  readonly lacksTombstones: boolean
  readonly properties: SalvagedTable['properties']
  readonly blocksKept: number
}

/** A file system that gives no second names answers with one of these. */
const withoutLinks = new Set(['EPERM', 'EXDEV', 'EMLINK', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'])

/** Brings tables from one directory into another, and leaves the first as it is. */
export class TableTransfer {
  readonly #source: string
  readonly #context: BackendContext
  readonly #progress: Progress
  readonly #keyHash: KeyHash
  /** Number of the next table that is written. */
  nextTable: number

  constructor(source: string, context: BackendContext, progress: Progress, nextTable: number) {
    this.#source = source
    this.#context = context
    this.#progress = progress
    this.#keyHash = new KeyHash(context.storeId)
    this.nextTable = nextTable
  }

  /** A sound table, as it is. Tables never change, so that two names for one file do no harm. */
  async keep(number: number): Promise<void> {
    const { vfs, directory } = this.#context
    const [from, to] = [this.#source, directory].map((path) => `${path}/${tableName(number)}`)
    try {
      await vfs.link(from, to)
    } catch (error) {
      const errno = error instanceof KintsugiError ? error.facts.errno : undefined
      if (errno === undefined || !withoutLinks.has(errno)) throw error
      await copyFile(vfs, from, to, { signal: this.#progress.signal })
    }
  }

  /**
   * Writes what proves itself of a damaged table as a new one for the same level. `known` is what the
   * manifest, or its own footer, says of the table.
   */
  async rewrite(number: number, level: number, known?: TableMeta): Promise<RewrittenTable> {
    const { vfs, storeId, checksum } = this.#context
    const path = `${this.#source}/${tableName(number)}`
    const context = { storeId, checksum }
    const mayHaveTombstones = known === undefined || known.rangeTombstones > 0
    const versions = salvageTable(vfs, path, number, context, mayHaveTombstones)
    const output = this.#path(this.nextTable)
    const writer = await this.#createTable(output, number, level)
    try {
      const { salvaged, unordered } = await this.#write(versions, writer)
      const { tombstones } = salvaged
      const { entries } = writer
      const isComplete =
        known !== undefined &&
        entries === known.entries &&
        tombstones.spans().length === known.rangeTombstones
      const rest = {
        lost: isComplete ? [] : [...salvaged.lost, ...unordered],
        lacksTombstones: !isComplete && salvaged.lacksTombstones,
        properties: salvaged.properties,
        blocksKept: salvaged.blocksKept
      }
      if (entries === 0 && tombstones.isEmpty) {
        await writer.abort()
        await vfs.unlink(output)
        return { ...rest, table: undefined }
      }
      writer.addRangeTombstones(tombstones)
      const table = await writer.finish(true)
      this.nextTable++
      return { ...rest, table }
    } catch (error) {
      await Promise.allSettled([versions.throw(error), writer.abort()])
      throw error
    }
  }

  /** Takes back a table that was written and is not needed. */
  async discard(number: number): Promise<void> {
    await this.#context.vfs.unlink(this.#path(number))
  }

  #path(number: number): string {
    return `${this.#context.directory}/${tableName(number)}`
  }

  #createTable(path: string, replaced: number, level: number): Promise<TableWriter> {
    const { vfs, storeId, checksum, options } = this.#context
    const number = this.nextTable
    return TableWriter.create(vfs, path, {
      number,
      level,
      storeId,
      checksum,
      keyHash: this.#keyHash,
      blockBytes: options.blockBytes,
      compression: compressionOf(options.compression, level),
      // As if it had been merged, so that a rebuild finds the job of the damaged table complete.
      job: { firstOutput: number, inputs: [replaced] }
    })
  }

  async #write(
    versions: AsyncGenerator<SalvagedVersion, SalvagedTable>,
    writer: TableWriter
  ): Promise<{ salvaged: SalvagedTable; unordered: KeySpan[] }> {
    const unordered: KeySpan[] = []
    let last: SalvagedVersion | undefined
    for (;;) {
      const step = await versions.next()
      if (step.done === true) return { salvaged: step.value, unordered }
      const version = step.value
      const { key, seq, kind, value } = version
      const order = last === undefined ? 1 : compareBytes(key, last.key)
      if (order < 0 || (order === 0 && seq >= last!.seq)) {
        // Proven and still wrong: nothing that disk damage does.
        unordered.push({ low: key, high: successor(key) })
        continue
      }
      last = version
      writer.add(key, 0, key.length, seq, kind, value, 0, value.length)
      if (!writer.isFull) continue
      this.#progress.signal?.throwIfAborted()
      await writer.drain()
    }
  }
}
