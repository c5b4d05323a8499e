import { compareBytes } from '../../../base/bytes.js'
import { isCorruption } from '../../../errors.js'
import type { KintsugiError } from '../../../errors.js'
import type { Vfs, VfsFile } from '../../../vfs/vfs.js'
import { EntryKind } from '../../../memtable/entry.js'
import { compareHighs, isEmptySpan, successor } from '../../../memtable/key-span.js'
import type { KeySpan } from '../../../memtable/key-span.js'
import { RangeTombstones } from '../../../memtable/range-tombstones.js'
import { BlockDecoder } from './block-decoder.js'
import { BlockSeal } from './block-seal.js'
import { BlockWindow } from './block-window.js'
import {
  alignedBytes,
  blockAlignment,
  BlockHeader,
  blockHeaderBytes,
  BlockKind,
  blockMagic,
  maxPackedBytes,
  maxValueBytes,
  severalVersions
} from './format.js'
import { decompressBlock } from '../../../codec/compression.js'
import { decodeProperties } from './table-footer.js'
import type { TableProperties } from './table-footer.js'
import { readHandle } from './table-output.js'
import type { BlockHandle } from './table-output.js'
import type { TableContext } from './table-source.js'
import { VersionList } from './version-list.js'

/** A version that proved itself. */
export interface SalvagedVersion {
  readonly key: Buffer
  readonly seq: number
  readonly kind: EntryKind
  readonly value: Buffer
}

export interface SalvagedTable {
  /** Removed ranges that proved themselves. */
  readonly tombstones: RangeTombstones
  /** Keys of which versions, or tombstones that hide older ones, are lost; in key order. */
  readonly lost: readonly KeySpan[]
  /** Removed ranges may be among what is lost: then all of the table's keys are. */
  readonly lacksTombstones: boolean
  /** Its span and its origin, where they proved themselves. */
  readonly properties: TableProperties | undefined
  readonly blocksKept: number
  /** Bytes that belong to no block that proves itself. */
  readonly lostBytes: number
}

const wordRange = 0x1_0000_0000
const noBytes = Buffer.alloc(0)

/**
 * Yields every version in a table file whose blocks prove that they belong to this store and this
 * table, in key order, without believing index or footer. `number` is that of the file's name.
 * `mayHaveTombstones` is false where somebody else knows that it has no removed ranges.
 */
export async function* salvageTable(
  vfs: Vfs,
  path: string,
  number: number,
  context: TableContext,
  mayHaveTombstones = true
): AsyncGenerator<SalvagedVersion, SalvagedTable> {
  const file = await vfs.open(path, 'read')
  try {
    return yield* new Salvage(file, path, number, context).run(mayHaveTombstones)
  } finally {
    await file.close()
  }
}

class Salvage {
  readonly #file: VfsFile
  readonly #seal: BlockSeal
  readonly #window: BlockWindow
  readonly #sizeBytes: number
  readonly #decoder = new BlockDecoder()
  readonly #lost: KeySpan[] = []
  #tombstones: RangeTombstones | undefined
  #lastKey: Buffer | undefined
  /** Bytes that prove nothing lie between the last key and the next one. */
  #isGap = false
  #blocksKept = 0
  #lostBytes = 0

  constructor(file: VfsFile, path: string, number: number, context: TableContext) {
    this.#file = file
    this.#sizeBytes = file.sizeSync()
    this.#seal = new BlockSeal(path, number, context.storeId, context.checksum)
    this.#window = new BlockWindow(file, this.#sizeBytes)
  }

  async *run(mayHaveTombstones: boolean): AsyncGenerator<SalvagedVersion, SalvagedTable> {
    let properties: TableProperties | undefined
    let isPastData = false
    // Whether removed ranges may have stood in what does not prove itself.
    let mayLackTombstones = false
    let at = 0
    while (at + blockHeaderBytes <= this.#sizeBytes) {
      const block = await this.#proven(at)
      if (block === undefined) {
        // Behind the properties there is only the footer.
        if (properties === undefined) {
          mayLackTombstones = true
          this.#isGap ||= !isPastData
          this.#lostBytes += blockAlignment
        }
        at += blockAlignment
        continue
      }
      this.#blocksKept++
      const kind = block[BlockHeader.kind]
      // Data, index, filter, removed ranges, properties: in this order, large blocks among the data.
      if (kind === BlockKind.data) yield* this.#versions(block)
      if (kind === BlockKind.rangeTombstones) this.#tombstones = this.#rangeTombstones(block)
      if (kind === BlockKind.properties) properties = this.#properties(block)
      else if (kind !== BlockKind.rangeTombstones) mayLackTombstones = false
      isPastData ||= kind !== BlockKind.data && !isLargeKind(kind)
      at += alignedBytes(block.length)
    }
    if (this.#isGap || !isPastData) this.#lose(undefined)
    mayLackTombstones ||= properties === undefined
    const lacksTombstones = mayHaveTombstones && mayLackTombstones && this.#tombstones === undefined
    if (lacksTombstones) {
      this.#lost.splice(0, Infinity, { low: noBytes, high: undefined })
    }
    return {
      tombstones: this.#tombstones ?? new RangeTombstones(),
      lost: this.#lost
        .map((span) => clipped(span, properties))
        .filter((span) => !isEmptySpan(span)),
      lacksTombstones,
      properties,
      blocksKept: this.#blocksKept,
      lostBytes: this.#lostBytes
    }
  }

  async *#versions(block: Buffer): AsyncGenerator<SalvagedVersion, void> {
    const decoder = this.#decoder
    const contents = this.#contents(block, maxPackedBytes(32 * 1024))
    if (contents !== undefined) decoder.begin(contents)
    while (contents !== undefined && decoder.nextKey()) {
      const key = Buffer.from(decoder.key.subarray(0, decoder.keyBytes))
      if (this.#isGap) this.#lose(key)
      this.#lastKey = key
      do yield* this.#version(key, decoder)
      while (decoder.nextVersion())
    }
    if (contents === undefined || decoder.problem !== undefined) this.#isGap = true
  }

  async *#version(
    key: Buffer,
    version: BlockDecoder | VersionList
  ): AsyncGenerator<SalvagedVersion, void> {
    const { seq, kind, bytes, start, end } = version
    if (kind === EntryKind.delete || kind === EntryKind.put) {
      yield { key, seq, kind, value: Buffer.from(bytes.subarray(start, end)) }
      return
    }
    const isList = kind === severalVersions
    const contents = await this.#elsewhere(
      readHandle(bytes, start),
      isList ? BlockKind.versions : BlockKind.largeValue
    )
    if (contents === undefined || (isList && VersionList.check(contents) !== undefined)) {
      this.#lost.push({ low: key, high: successor(key) })
    } else if (isList) {
      const list = new VersionList()
      list.begin(contents)
      while (list.next()) yield* this.#version(key, list)
    } else yield { key, seq, kind: EntryKind.put, value: contents }
  }

  /** The contents of a block that a version refers to; undefined where they are lost. */
  async #elsewhere(handle: BlockHandle, kind: BlockKind): Promise<Buffer | undefined> {
    const position = handle.units * blockAlignment
    if (position + handle.bytes > this.#sizeBytes) return undefined
    const block = Buffer.allocUnsafeSlow(handle.bytes)
    const count = await this.#file.read(block, position)
    if (this.#seal.check(block.subarray(0, count), handle.units, kind, 0) !== undefined) {
      return undefined
    }
    return this.#contents(block, maxValueBytes)
  }

  #rangeTombstones(block: Buffer): RangeTombstones | undefined {
    const contents = this.#contents(block, wordRange)
    return contents && this.#orUndefined(() => RangeTombstones.decode(contents))
  }

  #properties(block: Buffer): TableProperties | undefined {
    const contents = this.#contents(block, wordRange)
    const properties = contents && decodeProperties(contents)
    return typeof properties === 'string' ? undefined : properties
  }

  #contents(block: Buffer, maxBytes: number): Buffer | undefined {
    const rawBytes = block.readUInt32LE(BlockHeader.rawBytes)
    if (rawBytes > maxBytes) return undefined
    const compression = block[BlockHeader.compression]
    const payload = block.subarray(blockHeaderBytes)
    return this.#orUndefined(() => decompressBlock(compression, payload, rawBytes))
  }

  #orUndefined<T>(work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      if (!isCorruption(error)) throw error as KintsugiError
      return undefined
    }
  }

  /** The block at a position, if one proves itself there. */
  async #proven(position: number): Promise<Buffer | undefined> {
    const header = await this.#window.readAt(position, blockHeaderBytes)
    if (header.length < blockHeaderBytes) return undefined
    if (header.readUInt32LE(BlockHeader.magic) !== blockMagic) return undefined
    const bytes = blockHeaderBytes + header.readUInt32LE(BlockHeader.storedBytes)
    if (position + bytes > this.#sizeBytes) return undefined
    const block = await this.#window.readAt(position, bytes)
    return this.#seal.prove(block, position / blockAlignment) === undefined ? block : undefined
  }

  /** What lies between the last key and the next one is lost. */
  #lose(next: Buffer | undefined): void {
    this.#isGap = false
    const low = this.#lastKey === undefined ? noBytes : successor(this.#lastKey)
    this.#lost.push({ low, high: next })
  }
}

function isLargeKind(kind: number): boolean {
  return kind === BlockKind.largeValue || kind === BlockKind.versions
}

/** A table holds nothing outside of its span, where it is known. */
function clipped(span: KeySpan, table: KeySpan | undefined): KeySpan {
  if (table === undefined) return span
  return {
    low: compareBytes(span.low, table.low) < 0 ? table.low : span.low,
    high: compareHighs(span.high, table.high) < 0 ? span.high : table.high
  }
}
