import type { BackendContext, Progress, SalvageReport } from '../../../backend/backend.js'
import { isCorruption, isFileMissing } from '../../../errors.js'
import { Manifest } from '../manifest/manifest.js'
import type { Version } from '../manifest/version.js'
import { parseTableName, tableName, type TableMeta } from '../table-meta.js'
import { checkTable, readFooter } from '../table/table-check.js'
import { type DoubtfulSpan, rebuildTables } from './rebuild-manifest.js'
import { SalvageLosses } from './salvage-losses.js'
import { TableTransfer } from './table-transfer.js'

/** Where the new store stands. */
interface Standing {
  readonly durableSeq: number
  readonly nextTable: number
}

/**
 * Saves what proves itself in `source` into the context's directory. Sound tables are taken over as
 * they are and keep their level; a damaged one is replaced, in its level, by a new table of what its
 * good blocks hold. So every version keeps its place, and a range that is lost shows what lies
 * below it: the report says where that may be an older value or a removed key.
 *
 * Which tables there are, the manifest says; where it cannot be read, or is older than the tables,
 * they do themselves.
 */
export async function salvageStore(
  source: string,
  context: BackendContext,
  progress: Progress
): Promise<SalvageReport> {
  const version = await readVersion(source, context)
  const salvage = new Salvage(source, context, progress)
  return version === undefined || (await salvage.isBehind(version))
    ? salvage.fromFooters()
    : salvage.fromManifest(version)
}

/** The same without asking the manifest (rule B3). */
export async function rebuildStore(
  source: string,
  context: BackendContext,
  progress: Progress
): Promise<SalvageReport> {
  return new Salvage(source, context, progress).fromFooters()
}

async function readVersion(source: string, context: BackendContext): Promise<Version | undefined> {
  try {
    const manifest = await Manifest.open({ ...context, directory: source, readOnly: true })
    await manifest.close(false)
    return manifest.version
  } catch (error) {
    // What a newer version wrote is not damage, and not to be thrown away.
    if (isDamage(error)) return undefined
    throw error
  }
}

class Salvage {
  readonly #source: string
  readonly #context: BackendContext
  readonly #progress: Progress
  readonly #losses = new SalvageLosses()
  readonly #tables: TableMeta[] = []
  #tablesRead = 0
  #tablesKept = 0

  constructor(source: string, context: BackendContext, progress: Progress) {
    this.#source = source
    this.#context = context
    this.#progress = progress
  }

  /**
   * The log has given up commits that the manifest does not know as durable; or tables that it names
   * are gone, and what was made from them is there instead.
   */
  async isBehind(version: Version): Promise<boolean> {
    if (version.durableSeq + 1 < (this.#context.logFirstSeq ?? 0)) return true
    const numbers = new Set(await this.#numbers())
    for (const number of numbers) {
      if (version.table(number) || version.leftover(number)) continue
      const inputs = (await this.#footer(number))?.job.inputs ?? []
      if (inputs.some((input) => version.table(input) && !numbers.has(input))) return true
    }
    return false
  }

  async fromManifest(version: Version): Promise<SalvageReport> {
    const numbers = await this.#numbers()
    const transfer = this.#transfer(Math.max(version.nextTable, afterLast(numbers)))
    const tables = version.tables()
    for (const table of tables) {
      this.#step(tables.length)
      await this.#takeListed(transfer, table, numbers)
    }
    await this.#takeUnlistedFlushes(transfer, version, numbers)
    return this.#conclude({ durableSeq: version.durableSeq, nextTable: transfer.nextTable })
  }

  async fromFooters(): Promise<SalvageReport> {
    const { vfs } = this.#context
    const isThere = vfs.statSync(this.#source) !== undefined
    const numbers = isThere ? await this.#numbers() : []
    if (!isThere) this.#losses.lose(undefined, `${this.#source} is missing`)
    const footers: TableMeta[] = []
    const bare: number[] = []
    for (const number of numbers) {
      const footer = await this.#footer(number)
      if (footer) footers.push(footer)
      else bare.push(number)
    }
    const inputs = footers.flatMap(({ job }) => job.inputs)
    const transfer = this.#transfer(Math.max(afterLast(numbers), afterLast(inputs)))
    const rewritten = await this.#takeBare(transfer, bare)
    const unplaced = new Set(rewritten.keys())
    const decision = rebuildTables([...footers, ...unplaced], unplaced)
    for (const { table } of decision.excluded) {
      const own = rewritten.get(table)
      if (own) await transfer.discard(own.number)
    }
    for (const table of decision.tables) {
      this.#step(decision.tables.length)
      const original = [...rewritten].find(([{ number }]) => number === table.number)
      if (original) this.#adopt({ ...original[1], level: table.level }, table)
      else await this.#take(transfer, table)
    }
    for (const doubt of decision.doubts) this.#noteDoubt(doubt)
    const { durableSeq, nextTable } = decision
    return this.#conclude({ durableSeq, nextTable: Math.max(nextTable, transfer.nextTable) })
  }

  /** A table that the manifest lists; its file is that table, or damaged, or no table of the store. */
  async #takeListed(
    transfer: TableTransfer,
    table: TableMeta,
    numbers: readonly number[]
  ): Promise<void> {
    const path = this.#path(table.number)
    if (!numbers.includes(table.number)) {
      this.#losses.lose(table, `${path} is missing`, table.maxSeq)
      return
    }
    const footer = await this.#footer(table.number)
    if (footer && (footer.sumLow !== table.sumLow || footer.sumHigh !== table.sumHigh)) {
      this.#losses.lose(table, `${path} is another table than the recorded one`, table.maxSeq)
      return
    }
    await this.#take(transfer, table)
  }

  /** The log has what is in them, as a rule, and brings it in again; here it may not be whole. */
  async #takeUnlistedFlushes(
    transfer: TableTransfer,
    version: Version,
    numbers: readonly number[]
  ): Promise<void> {
    for (const number of numbers) {
      if (version.table(number) || version.leftover(number)) continue
      const footer = await this.#footer(number)
      if (footer === undefined || footer.job.inputs.length > 0) continue
      if (footer.minSeq > version.durableSeq) await this.#take(transfer, footer)
    }
  }

  /** Takes a table over as it is where it is sound, and what is left of it where it is not. */
  async #take(transfer: TableTransfer, table: TableMeta): Promise<void> {
    const { number, level, maxSeq } = table
    if (await this.#isSound(table)) {
      await transfer.keep(number)
      this.#tables.push(table)
      this.#tablesKept++
      return
    }
    const saved = await transfer.rewrite(number, level, table)
    if (saved.table) this.#tables.push(saved.table)
    const ownTable = saved.lacksTombstones ? 0 : (saved.table?.number ?? 0)
    const reason = `table ${this.#path(number)} is damaged`
    for (const span of saved.lost) this.#losses.lose(span, reason, maxSeq, ownTable)
  }

  /**
   * Writes anew what is left of tables without a good footer; the new tables, by what the old ones
   * would say of themselves.
   */
  async #takeBare(
    transfer: TableTransfer,
    numbers: readonly number[]
  ): Promise<Map<TableMeta, TableMeta>> {
    const tables = new Map<TableMeta, TableMeta>()
    for (const number of numbers) {
      this.#step(numbers.length)
      const saved = await transfer.rewrite(number, 0)
      const { table, properties, lost } = saved
      const reason = `table ${this.#path(number)} is damaged, its footer included`
      if (table === undefined) this.#losses.lose(properties, reason)
      else {
        const job = properties?.job ?? { firstOutput: number, inputs: [], isLast: true }
        tables.set({ ...table, number, job }, table)
        const ownTable = saved.lacksTombstones ? 0 : table.number
        for (const span of lost) this.#losses.lose(span, reason, Infinity, ownTable)
      }
    }
    return tables
  }

  /** A table whose footer was lost: whether it was in use cannot be told for certain. */
  #adopt(table: TableMeta, original: TableMeta): void {
    this.#tables.push(table)
    if (original.job.inputs.length === 0 && original.job.firstOutput === original.number) {
      this.#losses.doubt(table)
    }
  }

  #noteDoubt(doubt: DoubtfulSpan): void {
    if (doubt.kind === 'lost') this.#losses.lose(doubt, doubt.reason)
    else if (doubt.kind === 'resurrected') this.#losses.doubt(doubt)
    else {
      const message =
        `${doubt.reason}; they were merged into other tables, or lost: nothing that is left ` +
        'tells which, so compare what you can with a backup'
      this.#losses.note('unexplained-gap', message, this.#source, doubt)
    }
  }

  async #isSound(table: TableMeta): Promise<boolean> {
    const { vfs, storeId, checksum } = this.#context
    const path = this.#path(table.number)
    const context = { storeId, checksum }
    const findings = await checkTable(vfs, path, table, context, 'comprehensive', this.#progress)
    return findings.length === 0
  }

  /** What a table says of itself; undefined where it is damaged or not of this store. */
  async #footer(number: number): Promise<TableMeta | undefined> {
    const { vfs, storeId, checksum } = this.#context
    try {
      return await readFooter(vfs, this.#path(number), { storeId, checksum }, number)
    } catch (error) {
      if (isDamage(error)) return undefined
      throw error
    }
  }

  /** Of the table files that there are, in order. */
  async #numbers(): Promise<number[]> {
    const { vfs } = this.#context
    const names = await vfs.readdir(this.#source)
    const numbers = names.flatMap((name) => {
      const number = parseTableName(name)?.number
      const isTable = number !== undefined && name === tableName(number)
      return isTable && vfs.statSync(this.#path(number))?.isDirectory === false ? [number] : []
    })
    return numbers.sort((a, b) => a - b)
  }

  #transfer(nextTable: number): TableTransfer {
    return new TableTransfer(this.#source, this.#context, this.#progress, nextTable)
  }

  #path(number: number): string {
    return `${this.#source}/${tableName(number)}`
  }

  #step(total: number): void {
    this.#progress.signal?.throwIfAborted()
    this.#progress.report(Math.min(++this.#tablesRead, total), total, 'tables')
  }

  /** The manifest comes last, and with it the store exists. */
  async #conclude({ durableSeq, nextTable }: Standing): Promise<SalvageReport> {
    const { vfs, directory } = this.#context
    const { length } = this.#tables
    this.#progress.report(length, length, 'tables')
    await vfs.syncDirectory(directory)
    const manifest = await Manifest.create(this.#context)
    try {
      await manifest.append({ added: this.#tables, durableSeq, nextTable })
    } catch (error) {
      await manifest.close(false)
      throw error
    }
    await manifest.close(true)
    return {
      entries: this.#tables.reduce((sum, { entries }) => sum + entries, 0),
      pagesRead: this.#tablesRead,
      pagesKept: this.#tablesKept,
      seq: durableSeq,
      ...this.#losses.report(this.#tables, this.#source)
    }
  }
}

function afterLast(numbers: readonly number[]): number {
  return numbers.reduce((highest, number) => Math.max(highest, number), 0) + 1
}

function isDamage(error: unknown): boolean {
  return isCorruption(error) || isFileMissing(error)
}
