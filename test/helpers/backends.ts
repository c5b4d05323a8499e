import type { OpenOptions } from '../../dist/index.js'

export type BackendName = NonNullable<OpenOptions['backend']>

/**
 * Everything as small as it may be, so that switches of segments, splits, flushes, compactions and
 * persists happen all the time. What is not a backend's own it does not look at.
 */
export const tinyOptions = {
  walSegmentBytes: 4096,
  cacheBytes: 1024 * 1024,
  persistDirtyBytes: 64 * 1024,
  persistWalBytes: 64 * 1024,
  pageBytes: 4096,
  memtableBytes: 16 * 1024,
  blockBytes: 1024,
  compactionThreshold: 2,
  levelSizeMultiplier: 2
} as const satisfies OpenOptions
