import type { Finding, Progress, VerifyLevel } from '../../../backend/backend.js'
import { compareBytes } from '../../../base/bytes.js'
import { isCorruption, KintsugiError } from '../../../errors.js'
import type { Vfs } from '../../../vfs/vfs.js'
import { EntryKind } from '../../../memtable/entry.js'
import { KeyHash } from '../../../memtable/key-hash.js'
import { compareHighs, successor } from '../../../memtable/key-span.js'
import type { TableMeta } from '../table-meta.js'
import { BlockDecoder } from './block-decoder.js'
import { BlockWindow } from './block-window.js'
import { Filter } from './filter.js'
import { BlockKind, hashPieceBytes, severalVersions } from './format.js'
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
import type { DataBlocks, OpenedTable, ReadSteps, TableContext } from './table-source.js'
import { VersionList } from './version-list.js'

/**
 * What a table says of itself, without a manifest. Throws CORRUPTION where the file is no table of
 * this store or its footer is damaged.
 */
export async function readFooter(
  vfs: Vfs,
  path: string,
  context: TableContext,
  number?: number
): Promise<TableMeta> {
  const { file, meta } = await openTable(vfs, path, context, number)
  await file.close()
  return meta
}

/**
 * Checks a table; damage is a finding. `basic`: that the file is the table it is taken for;
 * `standard`: every block, and the order of keys; `comprehensive`: that filter, footer and contents
 * agree, byte for byte.
 */
export async function checkTable(
  vfs: Vfs,
  path: string,
  meta: TableMeta | undefined,
  context: TableContext,
  level: VerifyLevel,
  progress: Progress
): Promise<Finding[]> {
  let table: OpenedTable
  try {
    table = await openTable(vfs, path, context, meta?.number, meta)
  } catch (error) {
    return [findingOf(error, path, meta)]
  }
  try {
    if (level === 'basic') return []
    const check = new TableCheck(table, context, level === 'comprehensive', progress)
    return await check.run()
  } finally {
    await table.file.close()
  }
}

/** Anything but damage, such as an I/O error, is thrown on. */
function findingOf(error: unknown, path: string, meta: TableMeta | undefined): Finding {
  const isKnown =
    isCorruption(error) ||
    (error instanceof KintsugiError &&
      (error.code === 'KINTSUGI_FILE_MISSING' || error.code === 'KINTSUGI_UNSUPPORTED_VERSION'))
  if (!isKnown) throw error
  const { offset, lowKey = meta?.low, highKey = meta?.high } = error.facts
  return {
    severity: 'error',
    kind: error.code === 'KINTSUGI_FILE_MISSING' ? 'missing-table' : 'damaged-table',
    message: error.message,
    path,
    ...(offset !== undefined && { offset }),
    ...(meta && { firstSeq: meta.minSeq, lastSeq: meta.maxSeq }),
    ...(lowKey && { lowKey }),
    ...(highKey && { highKey })
  }
}

class TableCheck {
  readonly #table: OpenedTable
  readonly #context: TableContext
  readonly #isComprehensive: boolean
  readonly #progress: Progress
  readonly #decoder = new BlockDecoder()
  readonly #window: BlockWindow
  readonly #findings: Finding[] = []
  readonly #keyHash: KeyHash
  #filter: Filter | undefined
  #lastKey: Buffer | undefined
  #firstKey: Buffer | undefined
  #keys = 0
  #entries = 0
  #deletes = 0
  #rawBytes = 0
  #minSeq = Number.MAX_SAFE_INTEGER
  #maxSeq = 0

  constructor(
    table: OpenedTable,
    context: TableContext,
    isComprehensive: boolean,
    progress: Progress
  ) {
    this.#table = table
    this.#context = context
    this.#isComprehensive = isComprehensive
    this.#progress = progress
    this.#window = new BlockWindow(table.file, table.footer.contentBytes)
    this.#keyHash = new KeyHash(context.storeId)
  }

  async run(): Promise<Finding[]> {
    const { footer, seal, meta } = this.#table
    const tombstones = await this.#try(tombstoneSteps(seal, footer))
    if (footer.filter.bytes > 0) {
      const bytes = await this.#try(blockSteps(seal, footer.filter, BlockKind.filter, 0, footer))
      const filter = bytes && Filter.decode(bytes)
      if (typeof filter === 'string') this.#report('damaged-table', filter, footer.filter.units)
      else this.#filter = filter
    }
    const blocks = await this.#try(indexSteps(seal, footer, this.#decoder))
    if (blocks !== undefined) await this.#checkBlocks(blocks)
    if (this.#isComprehensive) await this.#checkContentSum()
    const isWhole = this.#findings.length === 0 && tombstones !== undefined
    if (!this.#isComprehensive || !isWhole) return this.#findings
    const spans = tombstones.spans()
    for (const { seqs } of spans) this.#noteSeqs(seqs[seqs.length - 1], seqs[0])
    const low = lower(this.#firstKey, spans[0]?.low)
    const lastKey = this.#lastKey && successor(this.#lastKey)
    const lastHigh = spans.at(-1)?.high
    const high =
      spans.length === 0 || (lastKey && compareHighs(lastKey, lastHigh) > 0) ? lastKey : lastHigh
    const agrees =
      meta.entries === this.#entries &&
      meta.deletes === this.#deletes &&
      meta.rawBytes === this.#rawBytes &&
      meta.minSeq === this.#minSeq &&
      meta.maxSeq === this.#maxSeq &&
      meta.rangeTombstones === spans.length &&
      footer.keys === this.#keys &&
      low !== undefined &&
      compareBytes(low, meta.low) === 0 &&
      compareHighs(high, meta.high) === 0
    if (!agrees) this.#report('wrong-properties', 'its footer does not describe its contents')
    return this.#findings
  }

  async #checkBlocks({ handles, separators }: DataBlocks): Promise<void> {
    const { meta } = this.#table
    for (let i = 0; i < handles.length; i++) {
      this.#progress.signal?.throwIfAborted()
      this.#progress.report(i, handles.length, 'blocks')
      const low = i === 0 ? meta.low : separators[i]
      const high = separators[i + 1] ?? meta.high
      try {
        await this.#checkBlock(handles[i], low, high)
      } catch (error) {
        if (!isCorruption(error)) throw error
        this.#add(error)
      }
    }
    this.#progress.report(handles.length, handles.length, 'blocks')
  }

  async #checkBlock(
    handle: BlockHandle,
    low: Uint8Array,
    high: Uint8Array | undefined
  ): Promise<void> {
    const { footer, seal } = this.#table
    const decoder = this.#decoder
    const fail = ({ units }: BlockHandle, reason: string, cause?: unknown): KintsugiError =>
      seal.corruption(units, reason, low, high, cause)
    if (!isWithin(handle, footer.contentBytes)) throw fail(handle, 'it lies outside of the table')
    const block = await this.#window.read(handle)
    decoder.begin(openBlock(block, seal, handle, BlockKind.data, 0, footer, fail))
    while (decoder.nextKey()) {
      const key = Buffer.from(decoder.key.subarray(0, decoder.keyBytes))
      const isBehind = this.#lastKey === undefined || compareBytes(this.#lastKey, key) < 0
      const isWithinBounds = compareBytes(low, key) <= 0 && compareHighs(key, high) < 0
      if (!isBehind || !isWithinBounds) throw fail(handle, 'its keys do not belong there')
      this.#noteKey(key, handle)
      do await this.#checkVersion(decoder)
      while (decoder.nextVersion())
    }
    if (decoder.problem !== undefined) throw fail(handle, decoder.problem)
  }

  #noteKey(key: Buffer, handle: BlockHandle): void {
    this.#firstKey ??= key
    this.#lastKey = key
    this.#keys++
    if (!this.#isComprehensive || this.#filter === undefined) return
    this.#keyHash.hash(key, 0, key.length)
    if (this.#filter.mayHold(this.#keyHash.low, this.#keyHash.high)) return
    this.#report('wrong-filter', 'its filter denies a key that it holds', handle.units, key)
  }

  async #checkVersion(version: BlockDecoder | VersionList): Promise<void> {
    const { seal, footer } = this.#table
    const { kind, seq, bytes, start, end } = version
    if (kind === severalVersions) {
      const handle = readHandle(bytes, start)
      const contents = await this.#read(blockSteps(seal, handle, BlockKind.versions, 0, footer))
      const wrong = VersionList.check(contents)
      if (wrong !== undefined) throw this.#keyFailure(handle, wrong)
      const list = new VersionList()
      list.begin(contents)
      while (list.next()) await this.#checkVersion(list)
      return
    }
    let valueBytes = end - start
    if (kind === EntryKind.largePut) {
      const handle = readHandle(bytes, start)
      const steps = blockSteps(seal, handle, BlockKind.largeValue, 0, footer)
      try {
        valueBytes = (await this.#read(steps)).length
      } catch (error) {
        if (!isCorruption(error)) throw error
        // The key's alone: the rest of the block goes on.
        this.#add(this.#keyFailure(handle, 'its checksum does not match its contents', error))
      }
      if (valueBytes !== handle.block) this.#report('wrong-size', 'a value of another size')
    }
    this.#entries++
    if (kind === EntryKind.delete) this.#deletes++
    this.#rawBytes += this.#lastKey!.length + valueBytes
    this.#noteSeqs(seq, seq)
  }

  #keyFailure({ units }: BlockHandle, reason: string, cause?: unknown): KintsugiError {
    const key = this.#lastKey!
    return this.#table.seal.corruption(units, reason, key, successor(key), cause)
  }

  #noteSeqs(low: number, high: number): void {
    this.#minSeq = Math.min(this.#minSeq, low)
    this.#maxSeq = Math.max(this.#maxSeq, high)
  }

  async #checkContentSum(): Promise<void> {
    const { file, footer } = this.#table
    const { checksum } = this.#context
    let low = 0
    let high = 0
    for (let at = 0; at < footer.contentBytes; at += hashPieceBytes) {
      this.#progress.signal?.throwIfAborted()
      const piece = Buffer.allocUnsafe(Math.min(hashPieceBytes, footer.contentBytes - at))
      const count = await file.read(piece, at)
      checksum.hash(piece.subarray(0, count), low, high)
      low = checksum.low
      high = checksum.high
    }
    if (low === footer.contentSumLow && high === footer.contentSumHigh) return
    this.#report('checksum-mismatch', 'the checksum of all of its contents does not match')
  }

  #read<T>(steps: ReadSteps<T>): Promise<T> {
    return runSteps(steps, (target, position) => this.#table.file.read(target, position))
  }

  async #try<T>(steps: ReadSteps<T>): Promise<T | undefined> {
    try {
      return await this.#read(steps)
    } catch (error) {
      if (!isCorruption(error)) throw error
      this.#add(error)
      return undefined
    }
  }

  #add(error: KintsugiError): void {
    this.#findings.push(findingOf(error, this.#table.seal.path, this.#table.meta))
  }

  #report(kind: string, what: string, units?: number, key?: Uint8Array): void {
    const { seal, meta } = this.#table
    this.#findings.push({
      severity: 'error',
      kind,
      message: `table ${seal.path}: ${what}; repair the store or restore what it names`,
      path: seal.path,
      ...(units !== undefined && { offset: units * 8 }),
      lowKey: key ?? meta.low,
      ...(key === undefined ? meta.high && { highKey: meta.high } : { highKey: successor(key) })
    })
  }
}

function lower(a: Uint8Array | undefined, b: Uint8Array | undefined): Uint8Array | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return compareBytes(a, b) < 0 ? a : b
}
