import { assert } from '../../../base/assert.js'
import { compareBytes, formatKey } from '../../../base/bytes.js'
import { isBelow } from '../../../memtable/key-span.js'
import type { TableMeta } from '../table-meta.js'
import type { Leftover, VersionEdit } from './version-edit.js'

/**
 * Which tables make up the store at one moment, and what is known beside them. Immutable: an edit
 * makes another version.
 */
export class Version {
  /** Of an empty store. */
  static readonly empty = new Version([], 0, 1, [])

  /** Level 0 by highest sequence number, newest first; the others by key, their spans disjoint. */
  readonly levels: readonly (readonly TableMeta[])[]
  /** Everything up to here is in the tables. */
  readonly durableSeq: number
  /** Numbers from here on were not yet given to a table of the store. */
  readonly nextTable: number
  /**
   * Tables that were replaced and whose files may be there, in the order to unlink them in (rule B3):
   * as they were replaced, and the inputs of one job the oldest data first.
   */
  readonly leftovers: readonly Leftover[]
  readonly #tables = new Map<number, TableMeta>()
  readonly #leftovers = new Map<number, Leftover>()

  private constructor(
    levels: readonly (readonly TableMeta[])[],
    durableSeq: number,
    nextTable: number,
    leftovers: readonly Leftover[]
  ) {
    this.levels = levels
    this.durableSeq = durableSeq
    this.nextTable = nextTable
    this.leftovers = leftovers
    for (const level of levels) for (const table of level) this.#tables.set(table.number, table)
    for (const leftover of leftovers) this.#leftovers.set(leftover.number, leftover)
  }

  get tableCount(): number {
    return this.#tables.size
  }

  /** The live table of a number. */
  table(number: number): TableMeta | undefined {
    return this.#tables.get(number)
  }

  leftover(number: number): Leftover | undefined {
    return this.#leftovers.get(number)
  }

  /** All live tables, upper levels first. */
  tables(): TableMeta[] {
    return this.levels.flat()
  }

  /** Replaced, and not yet named in an edit that announces their end. */
  get obsolete(): readonly Leftover[] {
    return this.leftovers.filter(({ isRetired }) => !isRetired)
  }

  /** Announced to be unlinked: the file is there or not. */
  get retired(): readonly Leftover[] {
    return this.leftovers.filter(({ isRetired }) => isRetired)
  }

  /** What is wrong with the edit after this version; undefined: it can be applied. */
  conflictOf(edit: VersionEdit): string | undefined {
    if (edit.durableSeq !== undefined && edit.durableSeq < this.durableSeq) {
      return `durable sequence number ${edit.durableSeq} after ${this.durableSeq}`
    }
    if (edit.nextTable !== undefined && edit.nextTable < this.nextTable) {
      return `next table ${edit.nextTable} after ${this.nextTable}`
    }
    return edit.snapshot === true ? conflictOfSnapshot(edit) : this.#conflictOfChange(edit)
  }

  #conflictOfChange({ added, removed, retired, leftovers }: VersionEdit): string | undefined {
    if (leftovers.length > 0) return 'leftovers outside a snapshot'
    const gone = new Set(removed)
    if (gone.size < removed.length) return 'a table is removed twice'
    for (const number of removed) {
      if (!this.#tables.has(number)) return `table ${number} is removed and not there`
    }
    const leaving = new Set(retired)
    if (leaving.size < retired.length) return 'a table is retired twice'
    for (const number of retired) {
      const leftover = this.#leftovers.get(number)
      if (!leftover || leftover.isRetired) return `table ${number} is retired and not obsolete`
    }
    for (const { number } of added) {
      const isThere = this.#tables.has(number) && !gone.has(number)
      if (isThere || this.#leftovers.has(number)) return `table ${number} is added again`
    }
    return conflictInLevels(this.#levelsAfter(added, gone), added)
  }

  /** The version after an edit that `conflictOf` has nothing against. */
  apply(edit: VersionEdit): Version {
    const durableSeq = edit.durableSeq ?? this.durableSeq
    let nextTable = Math.max(edit.nextTable ?? 1, this.nextTable)
    for (const { number } of edit.added) nextTable = Math.max(nextTable, number + 1)
    if (edit.snapshot === true) {
      const levels = Version.empty.#levelsAfter(edit.added, new Set())
      return new Version(levels, durableSeq, nextTable, edit.leftovers)
    }
    const gone = new Set(edit.removed)
    const kept = new Set(edit.added.map(({ number }) => number))
    const replaced: Leftover[] = []
    for (const number of edit.removed) {
      const table = this.#tables.get(number)
      assert(table !== undefined, 'an edit removes tables that are there')
      const { maxSeq, level } = table
      // A table that is added again has only moved to another level.
      if (!kept.has(number)) replaced.push({ number, maxSeq, level, isRetired: false })
    }
    const leaving = new Set(edit.retired)
    // A table goes after those that it was made from: while one of them is there it tells that they
    // do not count.
    const leftovers = [...this.leftovers, ...inOrder(replaced)].map((leftover) =>
      leaving.has(leftover.number) ? { ...leftover, isRetired: true } : leftover
    )
    const levels = this.#levelsAfter(edit.added, gone)
    return new Version(levels, durableSeq, nextTable, leftovers)
  }

  /** The files of retired tables are gone, and durably so: nothing has to be known of them. */
  forget(numbers: Iterable<number>): Version {
    const forgotten = new Set(numbers)
    const isKept = ({ number, isRetired }: Leftover) => !isRetired || !forgotten.has(number)
    const leftovers = this.leftovers.filter(isKept)
    return new Version(this.levels, this.durableSeq, this.nextTable, leftovers)
  }

  /** The edit that says all of this version. */
  snapshot(): VersionEdit {
    const { durableSeq, nextTable, leftovers } = this
    const added = this.tables()
    return { snapshot: true, added, removed: [], retired: [], leftovers, durableSeq, nextTable }
  }

  #levelsAfter(added: readonly TableMeta[], gone: ReadonlySet<number>): TableMeta[][] {
    const levels = this.levels.map((tables) =>
      gone.size === 0 ? tables.slice() : tables.filter(({ number }) => !gone.has(number))
    )
    const changed = new Set<number>()
    for (const table of added) {
      while (levels.length <= table.level) levels.push([])
      levels[table.level].push(table)
      changed.add(table.level)
    }
    for (const level of changed) levels[level].sort(level === 0 ? newestFirst : byLowKey)
    while (levels.length > 0 && levels[levels.length - 1].length === 0) levels.pop()
    return levels
  }
}

function conflictOfSnapshot({ added, removed, retired, leftovers, ...rest }: VersionEdit) {
  if (rest.durableSeq === undefined || rest.nextTable === undefined) {
    return 'a snapshot without sequence number or next table'
  }
  if (removed.length + retired.length > 0) return 'a snapshot that removes tables'
  const numbers = new Set([...added, ...leftovers].map(({ number }) => number))
  if (numbers.size < added.length + leftovers.length) return 'a table stands twice in a snapshot'
  const { nextTable } = rest
  for (const number of numbers) {
    if (number >= nextTable) return `table ${number} is not below the next table, ${nextTable}`
  }
  return conflictInLevels(
    Version.empty.apply({ ...rest, added, removed, retired, leftovers }).levels,
    added
  )
}

/** Two of the new tables, or one and a neighbour, that must not stand side by side. */
function conflictInLevels(
  levels: readonly (readonly TableMeta[])[],
  added: readonly TableMeta[]
): string | undefined {
  if (new Set(added.map(({ number }) => number)).size < added.length) {
    return 'a table is added twice'
  }
  for (const level of new Set(added.map((table) => table.level))) {
    if (level === 0) continue
    const tables = levels[level]
    for (let i = 1; i < tables.length; i++) {
      const [before, after] = [tables[i - 1], tables[i]]
      if (!isBelow(after.low, before.high)) continue
      return (
        `tables ${before.number} and ${after.number} of level ${level} overlap ` +
        `at ${formatKey(after.low)}`
      )
    }
  }
  return undefined
}

function newestFirst(a: TableMeta, b: TableMeta): number {
  return b.maxSeq - a.maxSeq || b.number - a.number
}

function byLowKey(a: TableMeta, b: TableMeta): number {
  return compareBytes(a.low, b.low)
}

/** Of the inputs of a job the oldest data first: the deepest level (rule B3). */
function inOrder(leftovers: Leftover[]): readonly Leftover[] {
  return leftovers.sort((a, b) => b.level - a.level || a.maxSeq - b.maxSeq || a.number - b.number)
}
