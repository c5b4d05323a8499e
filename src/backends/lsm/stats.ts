import type { BlockCache } from './table/block-cache.js'
import type { Version } from './manifest/version.js'

/** Figures of each level, and sums. */
export function levelStats(version: Version, maxLevels: number): Record<string, number> {
  const figures: Record<string, number> = {}
  let [entries, deletes, files, bytes, rawBytes] = [0, 0, 0, 0, 0]
  // An earlier opening may have made more levels than this one has.
  const levels = Math.max(maxLevels, version.levels.length)
  for (let level = 0; level < levels; level++) {
    const tables = version.levels[level] ?? []
    let levelBytes = 0
    for (const table of tables) {
      levelBytes += table.sizeBytes
      rawBytes += table.rawBytes
      entries += table.entries
      deletes += table.deletes
    }
    figures[`level${level}Files`] = tables.length
    figures[`level${level}Bytes`] = levelBytes
    files += tables.length
    bytes += levelBytes
  }
  // Versions, tombstones included: how many keys there are is known only after merging them.
  return { ...figures, files, bytes, rawBytes, entries, deletes }
}

export function cacheStats(cache: BlockCache): Record<string, number> {
  return {
    cacheBlocks: cache.residentCount,
    cacheBytes: cache.allocatedBytes,
    cacheHits: cache.hits,
    cacheMisses: cache.loads,
    filterBytes: cache.filterBytes,
    filterChecks: cache.filterPasses + cache.filterRejections,
    filterUseful: cache.filterRejections,
    filterFalse: cache.filterFalse
  }
}
