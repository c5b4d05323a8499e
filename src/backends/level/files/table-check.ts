import type { Finding, Progress, VerifyLevel } from '../../../backend/backend.js'
import { isCorruption } from '../../../errors.js'
import type { VfsFile } from '../../../vfs/vfs.js'
import { KeySpace } from '../format.js'
import { BlockEntries } from './block-entries.js'
import { checkBlock } from './block-order.js'
import { isBlockWhole, unpackBlock } from './block.js'
import { ByteReader, malformed } from './byte-reader.js'
import type { EntryCheck } from './entry-check.js'
import { fileFinding } from './finding.js'
import { EntryType } from './format.js'
import { entryTypeOf, withoutTrailer } from './internal-key.js'
import { readBlock, TableBlocks } from './table-blocks.js'
import { readHandle, readTableFooter } from './table-footer.js'
import { spanOfKey, userSpan, userSpanOfTable } from './user-range.js'
import type { LiveTable } from './version-edit.js'

/** What a check of one table needs besides the table. */
export interface TableCheckContext {
  readonly level: VerifyLevel
  readonly progress: Progress
  readonly checkEntry: EntryCheck | undefined
  /** Memory to read tables into, one after the other. */
  readonly piece: Buffer
  /** Counts what was read. */
  readonly step: (bytes: number) => void
}

/** Checks one table against what the manifest says of it. */
export async function checkTable(
  file: VfsFile,
  table: LiveTable,
  context: TableCheckContext
): Promise<Finding[]> {
  const { path } = file
  const keys = userSpanOfTable(table.smallest, table.largest)
  const sizeBytes = file.sizeSync()
  if (sizeBytes !== table.sizeBytes) {
    const what = `it has ${sizeBytes} bytes, and the manifest says ${table.sizeBytes}`
    return [fileFinding('wrong-size', path, what, { keys })]
  }
  try {
    if (context.level !== 'basic') return await new TableCheck(file, table, context).run()
    await readTableFooter(file, sizeBytes)
    return []
  } catch (error) {
    if (!isCorruption(error)) throw error
    return [fileFinding('damaged-table', path, error.message, { keys })]
  }
}

class TableCheck {
  readonly #findings: Finding[] = []

  constructor(
    private readonly file: VfsFile,
    private readonly table: LiveTable,
    private readonly context: TableCheckContext
  ) {}

  async run(): Promise<Finding[]> {
    const { file, table } = this
    const blocks = await TableBlocks.open(file, table.sizeBytes, this.context.piece)
    const last = blocks.places.length - 1
    if (last < 0) throw malformed('its index is empty')
    await this.#checkFilter(blocks)
    for (let i = 0; i <= last; i++) {
      if (!blocks.holds(i)) {
        this.context.progress.signal?.throwIfAborted()
        await blocks.load(i)
      }
      this.#checkBlock(blocks, i, last)
      this.context.step(blocks.places[i].sizeBytes)
    }
    return this.#findings
  }

  /** A filter with a wrong bit hides keys that are there. */
  async #checkFilter({ footer }: TableBlocks): Promise<void> {
    try {
      const metaindex = new BlockEntries(await readBlock(this.file, footer.metaindex))
      while (metaindex.next()) {
        await readBlock(this.file, readHandle(new ByteReader(metaindex.value), footer.index.offset))
      }
    } catch (error) {
      if (!isCorruption(error)) throw error
      const keys = userSpanOfTable(this.table.smallest, this.table.largest)
      this.#findings.push(fileFinding('damaged-filter', this.file.path, error.message, { keys }))
    }
  }

  #checkBlock(blocks: TableBlocks, i: number, last: number): void {
    const { offset } = blocks.places[i]
    const block = blocks.raw(i)
    if (block === undefined) throw malformed('it became shorter')
    if (!isBlockWhole(block)) {
      this.#report(blocks, i, 'damaged-block', 'the checksum of a block does not match')
      return
    }
    const isOuter = i === 0 || i === last
    if (!isOuter && this.context.level !== 'comprehensive') return
    try {
      this.#checkContents(blocks, i, last, unpackBlock(block))
    } catch (error) {
      if (!isCorruption(error)) throw error
      this.#report(blocks, i, 'damaged-block', `${error.message} (block at byte ${offset})`)
    }
  }

  #checkContents(blocks: TableBlocks, i: number, last: number, contents: Buffer): void {
    const { smallest, largest } = this.table
    const { level, checkEntry } = this.context
    const bounds = {
      after: i === 0 ? undefined : blocks.places[i - 1].indexKey,
      first: i === 0 ? smallest : undefined,
      to: blocks.places[i].indexKey,
      last: i === last ? largest : undefined
    }
    const isThorough = level === 'comprehensive' && checkEntry !== undefined
    const visit = isThorough
      ? (entry: BlockEntries) => this.#checkEntry(blocks, i, entry, checkEntry)
      : undefined
    checkBlock(contents, bounds, visit)
  }

  #checkEntry(blocks: TableBlocks, i: number, entry: BlockEntries, check: EntryCheck): void {
    const key = withoutTrailer(entry.key)
    if (key[0] !== KeySpace.user || entryTypeOf(entry.key) !== EntryType.value) return
    if (check(key, entry.value)) return
    this.#findings.push(
      fileFinding('damaged-value', this.file.path, 'a value does not match its checksum', {
        offset: blocks.places[i].offset,
        keys: spanOfKey(key)
      })
    )
  }

  #report(blocks: TableBlocks, i: number, kind: string, what: string): void {
    const { low, high } = blocks.boundsOf(i)
    const table = userSpanOfTable(this.table.smallest, this.table.largest)
    const keys = userSpan(low ?? withoutTrailer(this.table.smallest), high) ?? table
    this.#findings.push(
      fileFinding(kind, this.file.path, what, { offset: blocks.places[i].offset, keys })
    )
  }
}
