import type { TableMeta } from '../table-meta.js'

/** The tables of a version: level 0 newest first, the others in key order and disjoint. */
export interface LevelTables {
  readonly levels: readonly (readonly TableMeta[])[]
}

export interface LevelOptions {
  readonly memtableBytes: number
  readonly compactionThreshold: number
  readonly levelSizeMultiplier: number
  readonly maxLevels: number
}

export interface LevelTargets {
  /** Level that level 0 is merged into. */
  readonly base: number
  /** The deepest level that holds or is to hold tables. */
  readonly bottom: number
  /** Size in bytes up to which a level is left alone, by level; 0 above the base. */
  readonly targets: readonly number[]
}

/**
 * How large each level may become. The bottom level is as large as its data; every level above it
 * is smaller by the multiplier, so that it adds little to the space, up to the base level, the last
 * one that is worth merging level 0 into. Levels above the base are empty, or on their way to be.
 */
export function levelTargets({ levels }: LevelTables, options: LevelOptions): LevelTargets {
  const { levelSizeMultiplier: multiplier, maxLevels } = options
  const smallest = options.memtableBytes * options.compactionThreshold
  const deepest = Math.max(maxLevels - 1, levels.length - 1)
  const sizes = Array.from({ length: deepest + 1 }, (_, level) => levelBytes(levels[level]))
  let bottom = deepest
  while (bottom > 1 && sizes[bottom] === 0) bottom--
  // An empty store begins at the bottom.
  if (sizes[bottom] === 0) bottom = deepest
  let bottomBytes = sizes[bottom]
  // All levels above it in use and the first of them too large: the tree grows by a level.
  while (
    bottom < maxLevels - 1 &&
    bottomBytes / multiplier ** (bottom - 1) > smallest * multiplier
  ) {
    bottom++
  }
  bottomBytes = Math.max(bottomBytes, smallest)
  const targets = Array.from({ length: deepest + 1 }, () => 0)
  targets[bottom] = bottomBytes
  let base = bottom
  while (base > 1 && targets[base] / multiplier >= smallest) {
    base--
    targets[base] = targets[base + 1] / multiplier
  }
  // Data of level 0 is newer than that of any level: it may not go below one that is not empty.
  for (let level = 1; level < base; level++) if (sizes[level] > 0) base = level
  return { base, bottom, targets }
}

export function levelBytes(tables: readonly TableMeta[] | undefined): number {
  let bytes = 0
  for (const { sizeBytes } of tables ?? []) bytes += sizeBytes
  return bytes
}
