import type { Pressure } from '../../../backend/backend.js'
import { levelBytes, levelTargets } from './level-targets.js'
import type { LevelOptions, LevelTables } from './level-targets.js'

/** So many times the number of level-0 tables that starts a compaction. */
const slowdownTables = 3
const stopTables = 6
/** So many times the smallest size of a base level. */
const slowdownDebt = 64
const stopDebt = 256

/** Bytes that compactions would have to write until every level has its size again, roughly. */
export function pendingBytes(version: LevelTables, options: LevelOptions): number {
  const { base, bottom, targets } = levelTargets(version, options)
  const level0 = version.levels[0] ?? []
  let debt = 0
  /** What comes down from the level above. */
  let excess = 0
  if (level0.length >= options.compactionThreshold) {
    excess = levelBytes(level0)
    debt = excess + levelBytes(version.levels[base])
  }
  for (let level = 1; level < bottom; level++) {
    const bytes = levelBytes(version.levels[level])
    const over = Math.max(0, bytes + (level >= base ? excess : 0) - targets[level])
    if (level >= base) excess = over
    if (over === 0 || bytes === 0) continue
    debt += over * (1 + levelBytes(version.levels[level + 1]) / Math.max(bytes, targets[level]))
  }
  return debt
}

/**
 * How far compactions lag behind: by the number of tables in level 0, each of which a read has to
 * look into, and by the bytes that wait to be merged.
 */
export function pressureOf(version: LevelTables, options: LevelOptions, debt: number): Pressure {
  const tables = version.levels[0]?.length ?? 0
  const { compactionThreshold: threshold, memtableBytes } = options
  const baseBytes = memtableBytes * threshold
  if (tables >= threshold * stopTables || debt >= baseBytes * stopDebt) return 'stop'
  return tables >= threshold * slowdownTables || debt >= baseBytes * slowdownDebt
    ? 'slowdown'
    : 'none'
}
