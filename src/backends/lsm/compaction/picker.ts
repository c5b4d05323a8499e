import type { CompressionName } from '../../../options.js'
import { joinSpans, spansOverlap } from '../../../memtable/key-span.js'
import type { KeySpan } from '../../../memtable/key-span.js'
import type { TableMeta } from '../table-meta.js'
import { levelBytes, levelTargets } from './level-targets.js'
import type { LevelOptions, LevelTables } from './level-targets.js'
import { isAnyOccupied, meetsOutput, overlapOf, overlapping } from './pick.js'
import type { Occupied, Pick } from './pick.js'

export interface PickerOptions extends LevelOptions {
  /** How the tables of a level are stored. */
  readonly compressionOf: (level: number) => CompressionName
}

/** Slightly more than enough: levels that should be empty are emptied when nothing else is due. */
const drainScore = 1.01
/** A table of the bottom level is written anew when so much of it is tombstones. */
const rewriteShare = 0.25
/** A tombstone counts for so many entries, as merging it down frees what it hides. */
const tombstoneWeight = 4

/**
 * Size at which a job ends a table: half a memtable. One step of a compaction then merges a small
 * part of a level, about `1 + levelSizeMultiplier` halves of a memtable, and has a flush's size
 * in memory for neither, while a store has no more files than twice its size in memtables.
 */
export function maxTableBytesOf({ memtableBytes }: LevelOptions): number {
  return Math.max(4096, memtableBytes >> 1)
}

/** Overlap with the level below its own from which on a table would be dear to merge further. */
export function maxGrandparentBytesOf(options: LevelOptions): number {
  return maxTableBytesOf(options) * options.levelSizeMultiplier
}

/**
 * The compaction that is needed most, or undefined where none is. Pure: depends on nothing but its
 * arguments, and changes nothing.
 */
export function pickCompaction(
  version: LevelTables,
  options: PickerOptions,
  occupied: Occupied
): Pick | undefined {
  for (const { level, score } of levelScores(version, options, occupied)) {
    const pick =
      level === 0
        ? pickLevel0(version, options, occupied, score)
        : pickFromLevel(version, options, occupied, level, score)
    if (pick !== undefined) return pick
  }
  return pickRewrite(version, occupied)
}

/** The levels that are too large, the worst first. */
export function levelScores(
  version: LevelTables,
  options: PickerOptions,
  { tables: busy }: Occupied
): { level: number; score: number }[] {
  const { bottom, targets } = levelTargets(version, options)
  const scores: { level: number; score: number }[] = []
  for (let level = 0; level < bottom; level++) {
    const idle = (version.levels[level] ?? []).filter(({ number }) => !busy.has(number))
    if (idle.length === 0) continue
    const bytes = levelBytes(idle)
    const isDraining = level > 0 && targets[level] === 0
    const score =
      level === 0
        ? idle.length / options.compactionThreshold
        : isDraining
          ? drainScore
          : bytes / targets[level]
    if (score >= 1) scores.push({ level, score })
  }
  return scores.sort((a, b) => b.score - a.score)
}

/**
 * Tables of level 0 with all that they overlap there, and the part of the base level below them. A
 * table may go down only together with all older ones that it overlaps, or their data would come to
 * lie above it.
 */
export function pickLevel0(
  version: LevelTables,
  options: PickerOptions,
  occupied: Occupied,
  score: number,
  isWanted?: (table: TableMeta) => boolean
): Pick | undefined {
  const free = freeLevel0(version.levels[0] ?? [], occupied.tables)
  const outputLevel = levelTargets(version, options).base
  // From the oldest on: what is left over is then the newest.
  for (const seed of free.toReversed()) {
    if (isWanted?.(seed) === false) continue
    const [upper, hull] = closureOf(free, seed)
    const pick = pickOf(version, options, occupied, { level: 0, outputLevel, upper, hull, score })
    if (pick !== undefined) return pick
  }
  return undefined
}

/** Newest first: those that are not busy and overlap no older one that cannot be taken. */
function freeLevel0(tables: readonly TableMeta[], busy: ReadonlySet<number>): TableMeta[] {
  const stuck: TableMeta[] = []
  const free: TableMeta[] = []
  for (const table of tables.toReversed()) {
    const isStuck = busy.has(table.number) || stuck.some((other) => spansOverlap(other, table))
    ;(isStuck ? stuck : free).push(table)
  }
  return free.toReversed()
}

/** All tables that overlap the seed, or one that does, and so on; in the given order. */
function closureOf(tables: readonly TableMeta[], seed: TableMeta): [TableMeta[], KeySpan] {
  let hull: KeySpan = seed
  for (;;) {
    const taken = tables.filter((table) => spansOverlap(table, hull))
    const wider = taken.reduce<KeySpan>(joinSpans, hull)
    if (tables.filter((table) => spansOverlap(table, wider)).length === taken.length) {
      return [taken, wider]
    }
    hull = wider
  }
}

/** The table that costs least to merge for its size; one full of tombstones before others. */
function pickFromLevel(
  version: LevelTables,
  options: PickerOptions,
  occupied: Occupied,
  level: number,
  score: number
): Pick | undefined {
  const tables = version.levels[level]
  const below = version.levels[level + 1] ?? []
  const costs = new Map<TableMeta, number>()
  for (const table of tables) {
    const [first, end] = overlapOf(below, table)
    let bytes = 0
    for (let i = first; i < end; i++) bytes += below[i].sizeBytes
    costs.set(table, bytes / (table.sizeBytes * (1 + tombstoneWeight * tombstoneShare(table))))
  }
  const byCost = tables.toSorted((a, b) => costs.get(a)! - costs.get(b)! || a.maxSeq - b.maxSeq)
  for (const table of byCost) {
    const part = { level, outputLevel: level + 1, upper: [table], hull: table, score }
    const pick = pickOf(version, options, occupied, part)
    if (pick !== undefined) return pick
  }
  return undefined
}

function tombstoneShare({ deletes, entries, rangeTombstones }: TableMeta): number {
  return Math.min(1, (deletes + rangeTombstones) / Math.max(entries, 1))
}

/** A table with nothing below it and many tombstones, which nothing needs any longer. */
function pickRewrite({ levels }: LevelTables, occupied: Occupied): Pick | undefined {
  const level = levels.length - 1
  if (level < 1) return undefined
  for (const table of levels[level]) {
    // An older view could still need them; then writing would come to the same again and again.
    const canShrink = table.maxSeq <= occupied.oldestViewSeq
    if (!canShrink || tombstoneShare(table) < rewriteShare) continue
    if (occupied.tables.has(table.number) || meetsOutput(occupied, level, table)) continue
    return rewriteOf(table, level, 1)
  }
  return undefined
}

export function rewriteOf(table: TableMeta, level: number, score: number): Pick {
  const { low, high } = table
  const span = { low, high }
  return { level, outputLevel: level, upper: [table], lower: [], span, isMove: false, score }
}

interface Part {
  readonly level: number
  readonly outputLevel: number
  readonly upper: readonly TableMeta[]
  readonly hull: KeySpan
  readonly score: number
}

/** The pick that takes these tables down; undefined where something stands in its way. */
export function pickOf(
  version: LevelTables,
  options: PickerOptions,
  occupied: Occupied,
  { level, outputLevel, upper, hull, score }: Part
): Pick | undefined {
  const lower = overlapping(version.levels[outputLevel], hull)
  const joined = lower.reduce<KeySpan>(joinSpans, hull)
  const span = { low: joined.low, high: joined.high }
  if (isAnyOccupied(occupied, upper) || isAnyOccupied(occupied, lower)) return undefined
  if (meetsOutput(occupied, outputLevel, span)) return undefined
  const isMove = lower.length === 0 && canMove(version, options, level, outputLevel, upper, span)
  return { level, outputLevel, upper, lower, span, isMove, score }
}

/**
 * True where the tables may go down as they are: they overlap neither each other nor too much of the
 * level after that, are stored as the new level wants it, and there is something below that their
 * tombstones are needed for.
 */
function canMove(
  { levels }: LevelTables,
  options: PickerOptions,
  level: number,
  outputLevel: number,
  upper: readonly TableMeta[],
  span: KeySpan
): boolean {
  if (options.compressionOf(level) !== options.compressionOf(outputLevel)) return false
  if (upper.length > 1 && level === 0) return false
  const limit = maxGrandparentBytesOf(options)
  for (const table of upper) {
    if (levelBytes(overlapping(levels[outputLevel + 1], table)) > limit) return false
  }
  const isBottom = levels.every(
    (tables, index) => index <= outputLevel || overlapping(tables, span).length === 0
  )
  return !isBottom || upper.every(({ deletes, rangeTombstones }) => deletes + rangeTombstones === 0)
}
