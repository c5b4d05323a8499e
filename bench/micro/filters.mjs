// Filters for tables: the binary fuse filter that tables use against a Bloom filter in blocks of a
// cache line with ten bits a key (Putze, Sanders and Singler, 2007).
//   node bench/micro/filters.mjs [keys]
import { Filter, FilterBuilder } from '../../dist/backends/lsm/table/filter.js'

const keys = Number(process.argv[2] ?? 1_000_000)

function hashes(count, seed) {
  const words = new Int32Array(2 * count)
  let a = seed | 0
  for (let i = 0; i < words.length; i++) {
    a = (a + 0x9e3779b9) | 0
    let x = Math.imul(a ^ (a >>> 16), 0x85ebca6b)
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
    words[i] = x ^ (x >>> 16)
  }
  return words
}

/** Six bits of one cache line, the line from one half of the hash, the bits from the other. */
class BlockedBloom {
  constructor(count) {
    this.lines = Math.max(1, Math.ceil((count * 10) / 512))
    this.words = new Uint32Array(this.lines * 16)
  }

  lineOf(low) {
    return Math.floor(((low >>> 0) * this.lines) / 2 ** 32) * 16
  }

  add(low, high) {
    const line = this.lineOf(low)
    let bits = high
    for (let probe = 0; probe < 6; probe++) {
      this.words[line + (bits >>> 28)] |= 1 << (bits >>> 23)
      bits = Math.imul(bits, 0x9e3779b9)
    }
  }

  mayHold(low, high) {
    const { words } = this
    const line = this.lineOf(low)
    let bits = high
    for (let probe = 0; probe < 6; probe++) {
      if ((words[line + (bits >>> 28)] & (1 << (bits >>> 23))) === 0) return false
      bits = Math.imul(bits, 0x9e3779b9)
    }
    return true
  }
}

/** Best of several, ns for each. */
function time(runs, count, work) {
  let best = Infinity
  for (let run = 0; run < runs; run++) {
    const start = process.hrtime.bigint()
    work()
    best = Math.min(best, Number(process.hrtime.bigint() - start) / count)
  }
  return best.toFixed(1)
}

function queries(filter, words, count) {
  let held = 0
  for (let i = 0; i < count; i++) if (filter.mayHold(words[2 * i], words[2 * i + 1])) held++
  return held
}

const present = hashes(keys, 1)
const absent = hashes(keys, 0x5bd1e995)
// Pushes everything out of the caches before each run.
const evict = new Uint8Array(64 << 20)

function report(name, make, sizeOf) {
  let filter
  const build = time(3, keys, () => (filter = make()))
  const missed = keys - queries(filter, present, keys)
  if (missed > 0) throw new Error(`${name} lost ${missed} keys`)
  const wrong = queries(filter, absent, keys)
  evict.fill(1)
  const hit = time(5, keys, () => queries(filter, present, keys))
  const miss = time(5, keys, () => queries(filter, absent, keys))
  console.log(
    `${name.padEnd(16)} build ${build} ns/key, present ${hit} ns, absent ${miss} ns, ` +
      `${((wrong / keys) * 100).toFixed(2)} % false, ${(sizeOf(filter) / keys).toFixed(3)} bytes/key`
  )
}

report(
  'blocked Bloom',
  () => {
    const filter = new BlockedBloom(keys)
    for (let i = 0; i < keys; i++) filter.add(present[2 * i], present[2 * i + 1])
    return filter
  },
  (filter) => filter.words.length * 4
)
report(
  'binary fuse 8',
  () => {
    const builder = new FilterBuilder()
    for (let i = 0; i < keys; i++) builder.add(present[2 * i], present[2 * i + 1])
    return Filter.decode(builder.finish())
  },
  (filter) => filter.sizeBytes
)
