import { candidateEntry, compareEntry } from '../../../page/read.js'
import type { CopyPool } from '../../../page/copy-pool.js'
import { newestSeq } from '../../../memtable/entry.js'
import type { KeyHash } from '../../../memtable/key-hash.js'
import { Found, Lookup } from '../../../memtable/lookup.js'
import type { BlockCache } from '../table/block-cache.js'
import type { Table } from '../table/table.js'
import type { PointReader } from './point-reader.js'
import type { Sources } from './sources.js'

/** Keys that are looked up side by side: enough for misses to overlap, few enough to stay in cache. */
const groupKeys = 64
const wordsPerLine = 64 / 4
/** Cache lines that the slots of a usual block take up. */
const slotLines = 8
/** Instead of a frame: no source has the key, or it has to be asked for alone. */
const absent = -2
const alone = -1

/**
 * Many point reads at once. They take each step together, and each step touches what the next one
 * needs: independent cache misses overlap, dependent ones do not. A key for which anything is not as
 * usual is asked for alone.
 */
export class ManyReader {
  readonly #hash: KeyHash
  readonly #pool: CopyPool
  readonly #points: PointReader
  readonly #cache: BlockCache
  readonly #lookup = new Lookup()
  /** By key of the group: the table that may hold it, the frame there, the entry, -1 for none. */
  readonly #tables: (Table | undefined)[] = Array.from({ length: groupKeys }, () => undefined)
  readonly #frames = new Int32Array(groupKeys)
  readonly #entries = new Int32Array(groupKeys)
  /** Sum of what was touched: keeps the reads from being optimised away. */
  touchSum = 0

  constructor(hash: KeyHash, pool: CopyPool, points: PointReader, cache: BlockCache) {
    this.#hash = hash
    this.#pool = pool
    this.#points = points
    this.#cache = cache
  }

  /** Many keys; null where something is not in memory. */
  tryGetMany(
    sources: Sources,
    keys: readonly Uint8Array[],
    maxSeq: number
  ): (Buffer | undefined | null)[] {
    const values: (Buffer | undefined | null)[] = []
    const together = isUsual(sources)
    for (let from = 0; from < keys.length; from += groupKeys) {
      const to = Math.min(keys.length, from + groupKeys)
      if (together) {
        this.#findFrames(sources, keys, from, to)
        this.#findEntries(keys, from, to)
      }
      for (let i = from; i < to; i++) {
        values.push(together ? this.#value(keys[i], i - from, maxSeq) : null)
      }
      // Only now, because these may bring other blocks into memory.
      for (let i = from; i < to; i++) {
        if (values[i] === null) values[i] = this.#points.tryGet(sources, keys[i], maxSeq)
      }
    }
    return values
  }

  /** The first table whose filter lets a key through, and the block there where it has to be. */
  #findFrames(sources: Sources, keys: readonly Uint8Array[], from: number, to: number): void {
    const hash = this.#hash
    let sum = 0
    for (let i = from; i < to; i++) sum += keys[i][0] | 0
    for (let i = from; i < to; i++) {
      const key = keys[i]
      hash.hash(key, 0, key.length)
      const inMemory = this.#isInMemtable(sources, key)
      const table = inMemory ? undefined : tableFor(sources, key, hash)
      this.#tables[i - from] = table
      this.#frames[i - from] = inMemory ? alone : absent
    }
    for (let i = from; i < to; i++) {
      const table = this.#tables[i - from]
      if (table !== undefined) this.#frames[i - from] = table.residentFrameFor(keys[i])
    }
    this.touchSum = (this.touchSum + sum) | 0
  }

  #isInMemtable({ memtables }: Sources, key: Uint8Array): boolean {
    for (let i = 0; i < memtables.length; i++) {
      if (memtables[i].isEmpty) continue
      const found = memtables[i].find(key, this.#hash, newestSeq, this.#lookup)
      if (found === Found.present) return true
    }
    return false
  }

  /** Each loop does so little that the processor is at many keys at once. */
  #findEntries(keys: readonly Uint8Array[], from: number, to: number): void {
    const frames = this.#frames
    const entries = this.#entries
    const count = to - from
    const cache = this.#cache
    const { slabs, slabShift } = cache
    let sum = 0
    for (let i = 0; i < count; i++) {
      const frame = frames[i]
      if (frame < 0) continue
      const { u32 } = slabs[frame >> slabShift]
      const word = cache.baseOf(frame) >> 2
      for (let line = 0; line < slotLines; line++) sum += u32[word + line * wordsPerLine]
    }
    for (let i = 0; i < count; i++) {
      const frame = frames[i]
      if (frame < 0) continue
      const key = keys[from + i]
      entries[i] = candidateEntry(
        slabs[frame >> slabShift],
        cache.baseOf(frame),
        key,
        0,
        key.length
      )
    }
    for (let i = 0; i < count; i++) {
      if (frames[i] < 0 || entries[i] < 0) continue
      const { u32 } = slabs[frames[i] >> slabShift]
      const word = entries[i] >> 2
      sum += u32[word] + u32[Math.min(word + wordsPerLine, u32.length - 1)]
    }
    this.touchSum = (this.touchSum + sum) | 0
  }

  /** The value, or undefined where no source has one; null: ask for the key alone. */
  #value(key: Uint8Array, place: number, maxSeq: number): Buffer | undefined | null {
    const frame = this.#frames[place]
    if (frame < 0) return frame === absent ? undefined : null
    const entry = this.#entries[place]
    const table = this.#tables[place]!
    const cache = this.#cache
    // Not here although the filter let it through: it may be in an older table.
    if (entry < 0) return null
    const memory = cache.slabs[frame >> cache.slabShift]
    if (compareEntry(memory, entry, 0, key, 0, key.length, cache.longKeys) !== 0) return null
    const lookup = this.#lookup
    const found = table.resolve(memory, entry, cache.minSeq[frame], maxSeq, lookup, false)
    if (found !== Found.present) return null
    return lookup.isDelete ? undefined : lookup.value(this.#pool)
  }
}

/** Whether the first table that knows a key has the last word on it. */
function isUsual({ memtables, level0, withTombstones }: Sources): boolean {
  if (withTombstones.length > 0) return false
  for (let i = 0; i < memtables.length; i++) if (!memtables[i].tombstones.isEmpty) return false
  for (let i = 1; i < level0.length; i++) {
    if (level0[i].meta.maxSeq > level0[i - 1].meta.minSeq) return false
  }
  return true
}

/** The first table that may hold the key, as far as filters tell. */
function tableFor({ level0, levels }: Sources, key: Uint8Array, hash: KeyHash): Table | undefined {
  for (let i = 0; i < level0.length; i++) if (!level0[i].rejects(hash)) return level0[i]
  for (let i = 0; i < levels.length; i++) {
    const table = levels[i].find(key)
    if (table !== undefined && !table.rejects(hash)) return table
  }
  return undefined
}
