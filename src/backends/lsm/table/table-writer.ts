import { assert } from '../../../base/assert.js'
import { writeLong } from '../../../base/words.js'
import type { Checksum } from '../../../codec/checksum.js'
import type { CompressionName } from '../../../options.js'
import type { Vfs, VfsFile } from '../../../vfs/vfs.js'
import { EntryKind } from '../../../memtable/entry.js'
import type { KeyHash } from '../../../memtable/key-hash.js'
import { compareHighs, successor } from '../../../memtable/key-span.js'
import { compareBytes } from '../../../base/bytes.js'
import type { RangeTombstones } from '../../../memtable/range-tombstones.js'
import type { TableJob, TableMeta } from '../table-meta.js'
import { BlockBuilder } from './block-builder.js'
import { BlockSeal } from './block-seal.js'
import { FilterBuilder } from './filter.js'
import { BlockKind, maxInlineValueBytes, storedVersionBytes } from './format.js'
import { IndexWriter } from './index-writer.js'
import { encodeFooter, encodeProperties, metaOf } from './table-footer.js'
import { encodeHandle, TableOutput } from './table-output.js'
import type { BlockHandle } from './table-output.js'

export interface TableWriterOptions {
  readonly number: number
  readonly level: number
  readonly storeId: Uint8Array
  readonly checksum: Checksum
  readonly keyHash: KeyHash
  readonly blockBytes: number
  readonly compression: CompressionName
  readonly job: Omit<TableJob, 'isLast'>
}

/** Pending output beyond this wants to be written. */
const fullBytes = 1024 * 1024
const noBytes = Buffer.alloc(0)
const noBlock: BlockHandle = { units: 0, bytes: 0, block: 0 }

/** Versions of one key that do not fit into a page. */
interface SpilledVersions {
  readonly parts: Buffer[]
}

/**
 * Writes a table front to back. Versions come in order: keys ascend, the versions of one key from
 * new to old. Nothing is synchronous but `add`, which only fills memory: see `isFull`.
 */
export class TableWriter {
  readonly #options: TableWriterOptions
  readonly #file: VfsFile
  readonly #output: TableOutput
  readonly #builder: BlockBuilder
  readonly #index: IndexWriter
  readonly #filter = new FilterBuilder()
  readonly #maxInlineBytes: number
  readonly #compress: boolean
  #low: Buffer | undefined
  #spilled: SpilledVersions | undefined
  #tombstones: RangeTombstones | undefined
  #entries = 0
  #deletes = 0
  #rawBytes = 0
  #minSeq = Number.MAX_SAFE_INTEGER
  #maxSeq = 0

  /** Makes the file; it must not be there. */
  static async create(vfs: Vfs, path: string, options: TableWriterOptions): Promise<TableWriter> {
    return new TableWriter(await vfs.open(path, 'create'), path, options)
  }

  private constructor(file: VfsFile, path: string, options: TableWriterOptions) {
    const { number, storeId, checksum, blockBytes } = options
    this.#options = options
    this.#file = file
    this.#output = new TableOutput(file, new BlockSeal(path, number, storeId, checksum), checksum)
    this.#builder = new BlockBuilder(blockBytes)
    this.#index = new IndexWriter(blockBytes)
    this.#maxInlineBytes = maxInlineValueBytes(blockBytes)
    this.#compress = options.compression === 'lz4'
  }

  /** Size that the file would have now, without index and filter. */
  get estimatedBytes(): number {
    return this.#output.sizeBytes + this.#builder.packedBytes
  }

  /** Versions so far. */
  get entries(): number {
    return this.#entries
  }

  get pendingBytes(): number {
    return this.#output.pendingBytes
  }

  /** True where `drain` should come before more is added. */
  get isFull(): boolean {
    return this.#output.pendingBytes >= fullBytes
  }

  /**
   * The next version: keys ascend; a key equal to the last one must have a lower sequence number.
   * The bytes are copied. `kind` is `delete` or `put`.
   */
  add(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    seq: number,
    kind: EntryKind,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number
  ): void {
    assert(kind !== EntryKind.largePut, 'a writer finds places for large values itself')
    this.#entries++
    this.#rawBytes += keyEnd - keyStart + valueEnd - valueStart
    if (seq < this.#minSeq) this.#minSeq = seq
    if (seq > this.#maxSeq) this.#maxSeq = seq
    if (kind === EntryKind.delete) {
      this.#deletes++
      this.#add(key, keyStart, keyEnd, seq, kind, noBytes, 0, 0)
    } else if (valueEnd - valueStart > this.#maxInlineBytes - 4) {
      // A copy: what compresses it cannot work in shared memory.
      const bytes = Buffer.from(value.subarray(valueStart, valueEnd))
      const handle = this.#output.append(BlockKind.largeValue, 0, bytes, this.#compress)
      const encoded = encodeHandle(handle)
      this.#add(key, keyStart, keyEnd, seq, EntryKind.largePut, encoded, 0, encoded.length)
    } else this.#add(key, keyStart, keyEnd, seq, kind, value, valueStart, valueEnd)
  }

  /** Before `finish`, once. */
  addRangeTombstones(tombstones: RangeTombstones): void {
    assert(this.#tombstones === undefined, 'range tombstones are added once')
    if (!tombstones.isEmpty) this.#tombstones = tombstones
  }

  /** Begins to write what is pending. Nothing may be added until it resolves. */
  drain(): Promise<void> {
    return this.#output.drain()
  }

  /**
   * Writes index, filter and footer, makes the contents durable and closes the file. The name
   * becomes durable with its directory.
   */
  async finish(isLast: boolean): Promise<TableMeta> {
    const { checksum, storeId, number, level, blockBytes, job } = this.#options
    const builder = this.#builder
    const output = this.#output
    this.#endVersions()
    const lastKey = Buffer.from(builder.lastKey.subarray(0, builder.lastKeyBytes))
    if (builder.count > 0) this.#endBlock()
    const { root, levels, blockCount } = this.#index.finish(output)
    const filter = this.#appendFilter()
    const tombstones = this.#appendTombstones()
    const span = this.#span(lastKey)
    const properties = { ...span, job: { ...job, isLast } }
    const propertiesAt = output.append(BlockKind.properties, 0, encodeProperties(properties), false)
    await output.flush()
    const footer = {
      storeId,
      number,
      level,
      blockBytes,
      contentBytes: output.sizeBytes,
      contentSumLow: output.sumLow,
      contentSumHigh: output.sumHigh,
      minSeq: this.#minSeq,
      maxSeq: this.#maxSeq,
      entries: this.#entries,
      deletes: this.#deletes,
      rawBytes: this.#rawBytes,
      rangeTombstones: this.#tombstones?.spans().length ?? 0,
      keys: this.#filter.count,
      blockCount,
      indexLevels: levels,
      root,
      filter,
      tombstones,
      properties: propertiesAt
    }
    const bytes = encodeFooter(footer, checksum)
    await this.#file.writeAndDatasync(bytes, output.sizeBytes)
    await this.#file.close()
    const sumLow = bytes.readUInt32LE(0)
    const sumHigh = bytes.readUInt32LE(4)
    return metaOf({ ...footer, sumLow, sumHigh }, properties)
  }

  /** Closes the file, which is of no use. */
  async abort(): Promise<void> {
    await this.#output.settle()
    await this.#file.close()
  }

  #add(
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    seq: number,
    kind: number,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number
  ): void {
    const builder = this.#builder
    if (builder.count > 0 && this.#isLastKey(key, keyStart, keyEnd)) {
      this.#addOlder(seq, kind, value, valueStart, valueEnd)
      return
    }
    if (this.#spilled !== undefined) this.#endVersions()
    const { keyHash } = this.#options
    keyHash.hash(key, keyStart, keyEnd)
    this.#filter.add(keyHash.low, keyHash.high)
    this.#low ??= Buffer.from(key.subarray(keyStart, keyEnd))
    if (builder.add(key, keyStart, keyEnd, seq, kind, value, valueStart, valueEnd)) return
    this.#endBlock()
    const fits = builder.add(key, keyStart, keyEnd, seq, kind, value, valueStart, valueEnd)
    assert(fits, 'an entry that fits into no block')
  }

  #isLastKey(key: Uint8Array, start: number, end: number): boolean {
    const { lastKey, lastKeyBytes } = this.#builder
    if (end - start !== lastKeyBytes) return false
    // Neighbours differ near their ends.
    for (let i = lastKeyBytes - 1; i >= 0; i--) if (lastKey[i] !== key[start + i]) return false
    return true
  }

  #addOlder(
    seq: number,
    kind: number,
    value: Uint8Array,
    valueStart: number,
    valueEnd: number
  ): void {
    const builder = this.#builder
    if (this.#spilled === undefined) {
      assert(seq < builder.oldestSeq, 'versions of a key out of order')
      if (builder.addOlder(seq, kind, value, valueStart, valueEnd)) return
      const parts: Buffer[] = []
      builder.forEachVersion((...version) => parts.push(storedVersion(...version)))
      this.#spilled = { parts }
    }
    this.#spilled.parts.push(storedVersion(seq, kind, value, valueStart, valueEnd))
  }

  /** Puts the last key's versions into a block of their own where they were too many. */
  #endVersions(): void {
    if (this.#spilled === undefined) return
    const bytes = Buffer.concat(this.#spilled.parts)
    this.#spilled = undefined
    const handle = this.#output.append(BlockKind.versions, 0, bytes, this.#compress)
    this.#builder.replaceVersions(encodeHandle(handle))
  }

  #endBlock(): void {
    const builder = this.#builder
    const { units, bytes } = this.#output.append(
      BlockKind.data,
      0,
      builder.finish(),
      this.#compress
    )
    this.#index.add(builder, units, bytes)
    builder.reset()
  }

  #appendFilter(): BlockHandle {
    const bytes = this.#filter.count === 0 ? undefined : this.#filter.finish()
    return bytes === undefined ? noBlock : this.#output.append(BlockKind.filter, 0, bytes, false)
  }

  #appendTombstones(): BlockHandle {
    const tombstones = this.#tombstones
    if (tombstones === undefined) return noBlock
    for (const { seqs } of tombstones.spans()) {
      this.#maxSeq = Math.max(this.#maxSeq, seqs[0])
      this.#minSeq = Math.min(this.#minSeq, seqs[seqs.length - 1])
    }
    return this.#output.append(BlockKind.rangeTombstones, 0, tombstones.encode(), this.#compress)
  }

  #span(lastKey: Buffer): { low: Uint8Array; high: Uint8Array | undefined } {
    const spans = this.#tombstones?.spans() ?? []
    const hasKeys = this.#low !== undefined
    assert(hasKeys || spans.length > 0, 'a table without contents')
    if (spans.length === 0) return { low: this.#low!, high: successor(lastKey) }
    const first = spans[0].low
    const high = spans[spans.length - 1].high
    if (this.#low === undefined) return { low: first, high }
    const end = successor(lastKey)
    return {
      low: compareBytes(this.#low, first) < 0 ? this.#low : first,
      high: compareHighs(end, high) > 0 ? end : high
    }
  }
}

/** A version as it stands in a block of versions: number, kind, size, bytes. */
function storedVersion(
  seq: number,
  kind: number,
  value: Uint8Array,
  start: number,
  end: number
): Buffer {
  const padded = (end - start + 3) & ~3
  const bytes = Buffer.alloc(storedVersionBytes + padded)
  writeLong(bytes, 0, seq)
  bytes.writeUInt32LE(kind, 8)
  bytes.writeUInt32LE(end - start, 12)
  bytes.set(value.subarray(start, end), storedVersionBytes)
  return bytes
}
