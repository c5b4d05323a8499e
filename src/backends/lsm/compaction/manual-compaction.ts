import { compareBytes } from '../../../base/bytes.js'
import { isBelow, joinSpans, spansOverlap } from '../../../memtable/key-span.js'
import type { KeySpan } from '../../../memtable/key-span.js'
import type { TableMeta } from '../table-meta.js'
import { levelTargets } from './level-targets.js'
import type { LevelTables } from './level-targets.js'
import { meetsOutput, overlapping } from './pick.js'
import type { Occupied, Pick } from './pick.js'
import { maxGrandparentBytesOf, pickLevel0, pickOf, rewriteOf } from './picker.js'
import type { PickerOptions } from './picker.js'

interface State {
  version(): LevelTables
  occupied(): Occupied
}

/**
 * The picks that bring what lies in a span down to the bottom, one after the other; each is made
 * when the one before it is installed. Takes the tables that were there at the beginning, and
 * walks every level in key order, so it ends however much is written meanwhile.
 */
export class ManualCompaction {
  readonly #state: State
  readonly #options: PickerOptions
  readonly #span: KeySpan
  readonly #lastLevel: number | undefined
  /** Tables of level 0 with a higher number came later. */
  readonly #newest: number
  #level: number
  /** What lies before it in the level is done. */
  #low: Uint8Array
  /** Where the pick that was handed out last ends; undefined: at the end of all keys. */
  #high: Uint8Array | undefined

  constructor(state: State, options: PickerOptions, span: KeySpan, level: number | undefined) {
    this.#state = state
    this.#options = options
    this.#span = span
    this.#level = level ?? 0
    this.#lastLevel = level
    this.#low = span.low
    const tables = state.version().levels[0] ?? []
    this.#newest = Math.max(0, ...tables.map(({ number }) => number))
  }

  /** The next pick; `busy` where what it needs is taken; undefined at the end. */
  next(): Pick | 'busy' | undefined {
    const { levels } = this.#state.version()
    const last = Math.min(this.#lastLevel ?? levels.length - 1, levels.length - 1)
    while (this.#level <= last) {
      const pick = this.#level === 0 ? this.#nextOfLevel0() : this.#nextOfLevel(this.#level)
      if (pick !== undefined) return pick
      this.#nextLevel()
    }
    return undefined
  }

  /** Goes on without what is taken and will not be given back: a table set aside as damaged. */
  skip(): void {
    if (this.#level > 0 && this.#high !== undefined) this.#low = this.#high
    else this.#nextLevel()
  }

  #nextLevel(): void {
    this.#level++
    this.#low = this.#span.low
  }

  #nextOfLevel0(): Pick | 'busy' | undefined {
    const version = this.#state.version()
    const isWanted = (table: TableMeta) =>
      table.number <= this.#newest && spansOverlap(table, this.#span)
    if (version.levels[0]?.some(isWanted) !== true) return undefined
    return pickLevel0(version, this.#options, this.#state.occupied(), 1, isWanted) ?? 'busy'
  }

  #nextOfLevel(level: number): Pick | 'busy' | undefined {
    const version = this.#state.version()
    const span = { low: this.#low, high: this.#span.high }
    if (!isBelow(span.low, span.high)) return undefined
    const tables = overlapping(version.levels[level], span)
    const { bottom } = levelTargets(version, this.#options)
    const isBottom = level >= bottom || level === version.levels.length - 1
    const pick = isBottom
      ? this.#nextRewrite(tables, level)
      : this.#nextStep(version, tables.slice(0, this.#stepTables(tables)), level)
    if (pick === undefined || pick === 'busy') return pick
    const { high } = pick.upper.at(-1)!
    if (high === undefined) this.#nextLevel()
    else this.#low = high
    return pick
  }

  /** How many tables one step takes: as few as are worth a job. */
  #stepTables(tables: readonly TableMeta[]): number {
    const limit = maxGrandparentBytesOf(this.#options)
    let bytes = 0
    let count = 0
    while (count < tables.length && (count === 0 || bytes < limit))
      bytes += tables[count++].sizeBytes
    return count
  }

  #nextStep(
    version: LevelTables,
    upper: readonly TableMeta[],
    level: number
  ): Pick | 'busy' | undefined {
    if (upper.length === 0) return undefined
    const hull = upper.reduce<KeySpan>(joinSpans, upper[0])
    this.#high = hull.high
    const part = { level, outputLevel: level + 1, upper, hull, score: 1 }
    return pickOf(version, this.#options, this.#state.occupied(), part) ?? 'busy'
  }

  /** In the bottom level only what holds tombstones is worth writing anew. */
  #nextRewrite(tables: readonly TableMeta[], level: number): Pick | 'busy' | undefined {
    const occupied = this.#state.occupied()
    for (const table of tables) {
      const isWorthIt = table.deletes + table.rangeTombstones > 0
      if (!isWorthIt || table.maxSeq > occupied.oldestViewSeq) continue
      // Outputs of this very walk have been written without.
      if (compareBytes(table.low, this.#low) < 0) continue
      this.#high = table.high
      const isFree = !occupied.tables.has(table.number) && !meetsOutput(occupied, level, table)
      return isFree ? rewriteOf(table, level, 1) : 'busy'
    }
    return undefined
  }
}
