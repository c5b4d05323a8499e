import { compareBytes } from '../../../base/bytes.js'
import type { KintsugiError } from '../../../errors.js'
import type { Vfs } from '../../../vfs/vfs.js'
import { EntryKind } from '../../../memtable/entry.js'
import type { RangeTombstones } from '../../../memtable/range-tombstones.js'
import type { TableMeta } from '../table-meta.js'
import { BlockDecoder } from './block-decoder.js'
import { BlockWindow } from './block-window.js'
import { BlockKind, severalVersions } from './format.js'
import { isWithin } from './table-footer.js'
import { readHandle } from './table-output.js'
import type { BlockHandle } from './table-output.js'
import {
  blockSteps,
  indexSteps,
  openBlock,
  openTable,
  runSteps,
  tombstoneSteps
} from './table-source.js'
import type { DataBlocks, OpenedTable, TableContext } from './table-source.js'
import { VersionList } from './version-list.js'

/**
 * Reads a table front to back for a job, past the cache: in large pieces, every block verified. The
 * current version stays in place until `next`.
 */
export class TableScanner {
  readonly meta: TableMeta
  readonly tombstones: RangeTombstones
  /** The current key: `key[0, keyEnd)`. */
  readonly key: Buffer
  readonly keyStart = 0
  keyEnd = 0
  seq = 0
  /** Of a `largePut`, `loadValue` comes before its value can be had. */
  kind: EntryKind = EntryKind.delete
  /** The value: `value[valueStart, valueEnd)`. */
  value: Buffer = Buffer.alloc(0)
  valueStart = 0
  valueEnd = 0

  readonly #table: OpenedTable
  readonly #blocks: DataBlocks
  readonly #decoder: BlockDecoder
  readonly #list = new VersionList()
  #inList = false
  #nextBlock = 0
  #isEnded = false
  readonly #window: BlockWindow
  #loadedBytes = 0

  /** Throws CORRUPTION, also where the file is not the table that `meta` names. */
  static async open(
    vfs: Vfs,
    path: string,
    meta: TableMeta,
    context: TableContext
  ): Promise<TableScanner> {
    const table = await openTable(vfs, path, context, meta.number, meta)
    try {
      const read = (target: Buffer, position: number): Promise<number> =>
        table.file.read(target, position)
      const tombstones = await runSteps(tombstoneSteps(table.seal, table.footer), read)
      const decoder = new BlockDecoder()
      const blocks = await runSteps(indexSteps(table.seal, table.footer, decoder), read)
      return new TableScanner(table, tombstones, blocks, decoder)
    } catch (error) {
      await table.file.close()
      throw error
    }
  }

  private constructor(
    table: OpenedTable,
    tombstones: RangeTombstones,
    blocks: DataBlocks,
    decoder: BlockDecoder
  ) {
    this.#table = table
    this.meta = table.meta
    this.tombstones = tombstones
    this.#blocks = blocks
    this.#decoder = decoder
    this.key = decoder.key
    this.#window = new BlockWindow(table.file, table.footer.contentBytes)
  }

  /** Read from the disk so far. */
  get bytesRead(): number {
    return this.#window.bytesRead + this.#loadedBytes
  }

  /** Moves to the next version; false at the end. A promise only where it has to read. */
  next(): boolean | Promise<boolean> {
    if (this.#inList) {
      if (this.#list.next()) return this.#take(this.#list)
      this.#inList = false
    }
    const decoder = this.#decoder
    if (decoder.nextVersion() || decoder.nextKey()) {
      if (decoder.kind === severalVersions) return this.#openList()
      this.keyEnd = decoder.keyBytes
      return this.#take(decoder)
    }
    return this.#nextInBlocks()
  }

  /** Moves before the first version of the first key that is not below `low`. */
  async seek(low: Uint8Array): Promise<void> {
    const { separators } = this.#blocks
    let first = 0
    let end = separators.length
    while (first < end) {
      const middle = (first + end) >> 1
      if (compareBytes(separators[middle], low) <= 0) first = middle + 1
      else end = middle
    }
    this.#inList = false
    this.#isEnded = false
    this.#nextBlock = Math.max(0, first - 1)
    const decoder = this.#decoder
    if (!(await this.#openNextBlock())) return
    // Key by key: the one to begin with has to be the next one.
    const block = this.#nextBlock - 1
    let skipped = 0
    while (decoder.nextKey()) {
      if (compareBytes(decoder.key.subarray(0, decoder.keyBytes), low) >= 0) break
      skipped++
    }
    this.#nextBlock = block
    if (!(await this.#openNextBlock())) return
    for (let i = 0; i < skipped; i++) decoder.nextKey()
    decoder.skipVersions()
  }

  /** Makes the value of a `largePut` the current one, which is a `put` then. */
  async loadValue(): Promise<void> {
    if (this.kind !== EntryKind.largePut) return
    this.value = await this.#load(readHandle(this.value, this.valueStart), BlockKind.largeValue)
    this.valueStart = 0
    this.valueEnd = this.value.length
    this.kind = EntryKind.put
  }

  close(): Promise<void> {
    return this.#table.file.close()
  }

  #take(from: BlockDecoder | VersionList): true {
    this.seq = from.seq
    this.kind = from.kind as EntryKind
    this.value = from.bytes
    this.valueStart = from.start
    this.valueEnd = from.end
    return true
  }

  async #openList(): Promise<boolean> {
    const decoder = this.#decoder
    this.keyEnd = decoder.keyBytes
    const handle = readHandle(decoder.bytes, decoder.start)
    const bytes = await this.#load(handle, BlockKind.versions)
    const wrong = VersionList.check(bytes)
    if (wrong !== undefined) throw this.#corruption(handle, wrong)
    this.#list.begin(bytes)
    this.#inList = true
    this.#list.next()
    return this.#take(this.#list)
  }

  async #nextInBlocks(): Promise<boolean> {
    if (this.#decoder.problem !== undefined) {
      throw this.#corruption(this.#blocks.handles[this.#nextBlock - 1], this.#decoder.problem)
    }
    if (!(await this.#openNextBlock())) return false
    return this.next()
  }

  async #openNextBlock(): Promise<boolean> {
    const { handles } = this.#blocks
    if (this.#isEnded || this.#nextBlock >= handles.length) {
      this.#isEnded = true
      return false
    }
    const handle = handles[this.#nextBlock++]
    const { footer, seal } = this.#table
    if (!isWithin(handle, footer.contentBytes)) {
      throw this.#corruption(handle, 'something refers to it though the file is shorter')
    }
    const block = await this.#window.read(handle)
    const packed = openBlock(block, seal, handle, BlockKind.data, 0, footer, this.#fail)
    this.#decoder.begin(packed)
    return true
  }

  #load(handle: BlockHandle, kind: BlockKind): Promise<Buffer> {
    const { file, footer, seal } = this.#table
    return runSteps(blockSteps(seal, handle, kind, 0, footer), (target, position) => {
      this.#loadedBytes += target.length
      return file.read(target, position)
    })
  }

  readonly #fail = (handle: BlockHandle, reason: string, cause?: unknown): KintsugiError =>
    this.#corruption(handle, reason, cause)

  #corruption(handle: BlockHandle, reason: string, cause?: unknown): KintsugiError {
    const { separators, handles } = this.#blocks
    const index = handles.indexOf(handle)
    const low = index <= 0 ? this.meta.low : separators[index]
    const high = index < 0 ? this.meta.high : (separators[index + 1] ?? this.meta.high)
    return this.#table.seal.corruption(handle.units, reason, low, high, cause)
  }
}
