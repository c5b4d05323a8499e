import type { LevelDb } from './level-db.js'

const levelCount = 7

/** LevelDB's own figures. */
export function levelStats(db: LevelDb): Record<string, number> {
  const stats: Record<string, number> = {}
  for (let level = 0; level < levelCount; level++) {
    stats[`filesAtLevel${level}`] = db.property(`num-files-at-level${level}`)
  }
  stats.levelMemoryBytes = db.property('approximate-memory-usage')
  return stats
}
