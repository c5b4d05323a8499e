import { successor } from '../../../memtable/key-span.js'
import type { Vfs, VfsFile } from '../../../vfs/vfs.js'
import { BlockEntries } from './block-entries.js'
import { keyTrailerBytes } from './format.js'
import { openIfThere } from './read-fully.js'
import { type LostPart, readTableParts, type TablePart } from './table-salvage.js'
import { compareInternal, withoutTrailer } from './internal-key.js'

/** A table to save, and where its contents are. */
export interface SalvageTable {
  readonly level: number
  readonly number: number
  /** Undefined: the file is missing, or another's. */
  readonly path: string | undefined
  readonly smallest: Buffer | undefined
  readonly largest: Buffer | undefined
  readonly sizeBytes: number | undefined
  /** Why there is no path. */
  readonly reason: string
}

export type NoteLoss = (table: SalvageTable, lost: LostPart) => void

/** Counts of blocks. */
export interface BlockCounts {
  read: number
  kept: number
}

/** Walks the entries of tables that lie one behind the other; tells of what is lost as it goes. */
export class TableCursor {
  /** With its trailer; a view, as is `value`. Undefined at the end. */
  key: Buffer | undefined
  value: Buffer = Buffer.alloc(0)
  /** The table of that entry. */
  table: SalvageTable
  readonly #tables: readonly SalvageTable[]
  #next = 0
  #file: VfsFile | undefined
  #parts: AsyncGenerator<TablePart, void, void> | undefined
  #entries: BlockEntries | undefined

  constructor(
    private readonly vfs: Vfs,
    tables: readonly SalvageTable[],
    private readonly noteLoss: NoteLoss,
    private readonly counts: BlockCounts
  ) {
    this.#tables = tables
    this.table = tables[0]
  }

  /** Moves to the next entry of the block; false: `advance` has to find the next block. */
  tryNext(): boolean {
    const entries = this.#entries
    if (entries === undefined || !entries.next()) return false
    this.key = entries.key
    this.value = entries.value
    return true
  }

  async advance(): Promise<void> {
    while (!this.tryNext()) {
      this.key = undefined
      const part = await this.#nextPart()
      if (part === undefined) return
      this.counts.read++
      if (part.lost) this.noteLoss(this.table, part.lost)
      else {
        this.counts.kept++
        this.#entries = new BlockEntries(part.contents)
      }
    }
  }

  async close(): Promise<void> {
    await this.#file?.close()
    this.#file = undefined
  }

  async #nextPart(): Promise<TablePart | undefined> {
    for (;;) {
      const step = await this.#parts?.next()
      if (step !== undefined && step.done !== true) return step.value
      await this.close()
      this.#entries = undefined
      if (this.#next >= this.#tables.length) return undefined
      this.table = this.#tables[this.#next++]
      const { path } = this.table
      this.#file = path === undefined ? undefined : await openIfThere(this.vfs, path)
      if (this.#file === undefined) {
        this.#parts = undefined
        return { lost: wholeOf(this.table) }
      }
      this.#parts = readTableParts(this.#file, boundsOf(this.table))
    }
  }
}

function boundsOf({ smallest, largest, sizeBytes }: SalvageTable) {
  return {
    ...(smallest && { smallest }),
    ...(largest && { largest }),
    ...(sizeBytes !== undefined && { sizeBytes })
  }
}

function wholeOf({ smallest, largest, reason }: SalvageTable): LostPart {
  return {
    low: smallest ? withoutTrailer(smallest) : Buffer.alloc(0),
    high: largest && successor(withoutTrailer(largest)),
    offset: 0,
    reason
  }
}

/** Puts tables into as few sequences as can be in which one lies behind the other. */
export function sequencesOf(tables: readonly SalvageTable[]): SalvageTable[][] {
  const sequences: SalvageTable[][] = []
  for (const table of tables.toSorted(bySmallest)) {
    const sequence = sequences.find((each) => liesBehind(table, each.at(-1)!))
    if (sequence) sequence.push(table)
    else sequences.push([table])
  }
  return sequences
}

function bySmallest(a: SalvageTable, b: SalvageTable): number {
  return compareInternal(a.smallest ?? firstKey, b.smallest ?? firstKey)
}

/** No key of the user is in both. */
function liesBehind(table: SalvageTable, before: SalvageTable): boolean {
  if (table.smallest === undefined || before.largest === undefined) return false
  return Buffer.compare(withoutTrailer(before.largest), withoutTrailer(table.smallest)) < 0
}

/** The empty key, and what stands behind every key. */
const firstKey = Buffer.alloc(keyTrailerBytes)
