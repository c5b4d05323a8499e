// What the recorded writer commits: told by seed and number alone, so that whoever checks a store
// knows its contents after every commit.
import { mix, SeededRandom } from '../../dist/base/random.js'

const keySpace = 250
const keyOf = (n) => `key${String(n).padStart(6, '0')}`

/** Small, so that logs, tables and memtables are switched, merged and replaced all the time. */
export const options = {
  walSegmentBytes: 16_384,
  cacheBytes: 1024 * 1024,
  persistDirtyBytes: 128 * 1024,
  persistWalBytes: 128 * 1024,
  pageBytes: 4096,
  memtableBytes: 96 * 1024,
  blockBytes: 1024,
  compactionThreshold: 2,
  levelSizeMultiplier: 2
}

/**
 * One commit: either `{ gte, lt }` to clear, or `{ operations }`, which always put the commit's number
 * under `number`.
 */
export function commitOf(seed, number) {
  const random = new SeededRandom(mix(seed) ^ mix(number * 2 + 1))
  const durability = random.pick(['sync', 'sync', 'os', 'memory'])
  if (random.chance(1, 40)) {
    const first = random.below(keySpace)
    return { durability, gte: keyOf(first), lt: keyOf(first + random.below(60)) }
  }
  const operations = [{ type: 'put', key: 'number', value: `${number}` }]
  for (let left = 1 + random.below(8); left > 0; left--) {
    const key = keyOf(random.below(keySpace))
    if (random.chance(1, 4)) {
      operations.push({ type: 'del', key })
      continue
    }
    const size = random.chance(1, 30) ? random.below(20_000) : random.below(1500)
    // Not all of it may be compressible: tables would stay small.
    const value = random.chance(1, 2)
      ? Buffer.alloc(size, `${number};`)
      : Buffer.from(random.fill(Buffer.alloc(size)))
    operations.push({ type: 'put', key, value })
  }
  return { durability, operations }
}

/** Applies a commit to a map. */
export function applyTo(entries, commit) {
  const { gte, lt, operations } = commit
  if (operations === undefined) {
    for (const key of entries.keys()) if (key >= gte && key < lt) entries.delete(key)
    return
  }
  for (const { type, key, value } of operations) {
    if (type === 'del') entries.delete(key)
    else entries.set(key, Buffer.from(value))
  }
}
