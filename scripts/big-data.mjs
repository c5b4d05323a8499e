// Loads a data set that is much larger than the cache, and reads it back at random and from end to
// end, with every value checked and the memory of the process watched:
//
//   node scripts/big-data.mjs --backend lsm --gigabytes 5
//
// A value is made from its key by a seeded generator, so that each read can be checked without a
// copy of the data. Keys are written in random order. Half of a value is text that compresses and
// half is noise. Peak memory of the process is printed beside the budget: cache, memory for writes
// and log, and what Node itself takes. Ends with 1 at the first wrong read, or when memory went
// beyond the budget.
import { mkdtempSync, readdirSync, rmSync, statfsSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { open } from '../dist/open.js'

const MiB = 2 ** 20
const { values } = parseArgs({
  options: {
    backend: { type: 'string', default: 'btree' },
    gigabytes: { type: 'string', default: '5' },
    seed: { type: 'string', default: '1' },
    dir: { type: 'string' },
    reads: { type: 'string', default: '200000' },
    'cache-mb': { type: 'string', default: '64' }
  }
})
const seed = Number(values.seed)
const totalBytes = Number(values.gigabytes) * 1e9
const cacheBytes = Number(values['cache-mb']) * MiB

const options = {
  backend: values.backend,
  cacheBytes,
  durability: 'memory',
  memtableBytes: 16 * MiB,
  persistDirtyBytes: 32 * MiB,
  persistWalBytes: 64 * MiB,
  walSegmentBytes: 16 * MiB,
  maxPendingBytes: 32 * MiB
}

/** What the process may take at most, in bytes, by what it is for. */
const budget = {
  node: 160 * MiB, // the runtime with what the load itself allocates
  cache: cacheBytes,
  // LSM: the memtable that takes writes and those being flushed, and what a job holds.
  // B+ tree: changed pages up to the bound at which commits wait, and their written copies.
  writes: options.backend === 'lsm' ? 6 * options.memtableBytes : 4 * options.persistDirtyBytes,
  log: 2 * options.walSegmentBytes + 2 * options.maxPendingBytes
}
const budgetBytes = Object.values(budget).reduce((sum, bytes) => sum + bytes, 0)

// --- the data

const meanBytes = 500
const count = Math.ceil(totalBytes / (meanBytes + 16))

/** Scrambles 32 bits; a bijection, so that no two keys are alike. */
function scramble(n) {
  let x = (n ^ seed) >>> 0
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad) >>> 0
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97) >>> 0
  return (x ^ (x >>> 15)) >>> 0
}

const keyOf = (n) => scramble(n).toString(16).padStart(8, '0') + n.toString(16).padStart(8, '0')

const words = Buffer.from(
  'the quick brown fox jumps over the lazy dog and so it goes on '.repeat(40)
)
const scratch = Buffer.alloc(2 * meanBytes)

/** The value of the n-th key, in memory that the next call uses again. */
function valueOf(n) {
  let state = scramble(n ^ 0x5bd1e995)
  const size = (state % (2 * meanBytes - 20)) + 10
  const half = size >> 1
  words.copy(scratch, 0, state % 1000, (state % 1000) + half)
  for (let i = half; i < size; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    scratch[i] = state >>> 24
  }
  return scratch.subarray(0, size)
}

// --- what is watched

class Watch {
  peakBytes = 0
  #timer = setInterval(() => this.look(), 100)

  look() {
    this.peakBytes = Math.max(this.peakBytes, process.memoryUsage.rss())
  }

  stop() {
    clearInterval(this.#timer)
  }
}

const mb = (bytes) => `${(bytes / MiB).toFixed(0)} MiB`
const watch = new Watch()

async function timed(name, entries, work) {
  const startedMs = performance.now()
  const bytes = await work()
  const seconds = (performance.now() - startedMs) / 1000
  watch.look()
  const rate = entries ? `, ${Math.round(entries / seconds).toLocaleString('en')} entries/s` : ''
  const throughput = bytes ? `, ${(bytes / 1e6 / seconds).toFixed(0)} MB/s` : ''
  const peak = mb(watch.peakBytes)
  console.log(`${name}: ${seconds.toFixed(1)} s${rate}${throughput}; peak memory so far ${peak}`)
}

function sizeOf(directory) {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce(
      (sum, entry) => sum + statSync(join(entry.parentPath ?? entry.path, entry.name)).size,
      0
    )
}

// --- the phases

async function load(store) {
  const inBatch = 200
  let bytes = 0
  let said = 0
  for (let first = 0; first < count; first += inBatch) {
    const operations = []
    for (let n = first; n < Math.min(count, first + inBatch); n++) {
      const value = Buffer.from(valueOf(n))
      bytes += value.length + 16
      operations.push({ type: 'put', key: keyOf(n), value })
    }
    await store.batch(operations)
    if (bytes - said < 1e9) continue
    said = bytes
    console.log(`  ${(bytes / 1e9).toFixed(1)} GB, memory ${mb(process.memoryUsage.rss())}`)
  }
  return bytes
}

/** Every tenth read is of a key that is not there. */
async function readAtRandom(store, reads, waiting) {
  let bytes = 0
  for (let i = 0; i < reads; i++) {
    const n = scramble(i * 2 + Number(waiting)) % count
    if (i % 10 === 9) {
      const absent = `${keyOf(n).slice(0, 15)}x`
      const found = waiting ? await store.get(absent) : store.getSync(absent)
      if (found !== undefined) throw new Error(`${absent} was never written and is there`)
      continue
    }
    const found = waiting ? await store.get(keyOf(n)) : store.getSync(keyOf(n))
    check(n, found)
    bytes += found.length
  }
  return bytes
}

function check(n, found) {
  if (found === undefined) throw new Error(`${keyOf(n)} is lost`)
  if (!found.equals(valueOf(n))) throw new Error(`${keyOf(n)} has a wrong value`)
}

/** All of it, in order, each once. */
async function scan(store) {
  let seen = 0
  let bytes = 0
  let last = ''
  for (const [key, value] of store.entries()) {
    const text = key.toString()
    if (text <= last) throw new Error(`${text} comes behind ${last}`)
    last = text
    const n = Number.parseInt(text.slice(8), 16)
    if (keyOf(n) !== text || n >= count) throw new Error(`${text} was never written`)
    check(n, value)
    bytes += key.length + value.length
    // Timers have to run now and then.
    if (++seen % 50_000 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  if (seen !== count) throw new Error(`${seen} entries are there, not ${count}`)
  return bytes
}

function checkFreeSpace(directory) {
  const { bavail, bsize } = statfsSync(directory)
  const needed = 2.5 * totalBytes + 1e9
  if (bavail * bsize >= needed) return
  throw new Error(
    `${needed / 1e9} GB of free space are needed, ${(bavail * bsize) / 1e9} are there`
  )
}

async function main() {
  const directory = values.dir ?? mkdtempSync(join(tmpdir(), 'kintsugi-big-'))
  checkFreeSpace(directory)
  console.log(`${count} entries, ${values.gigabytes} GB, on ${values.backend} in ${directory}`)
  const path = join(directory, 'store')
  const reads = Number(values.reads)
  let store = await open(path, options)
  store.events.on('persist-failed', ({ error }) => console.error('persist failed', error))
  await timed('load', count, () => load(store))
  await timed('persist and close', 0, async () => {
    await store.persist()
    await store.close()
  })
  console.log(`size on disk ${(sizeOf(path) / 1e9).toFixed(2)} GB`)
  await timed('open', 0, async () => {
    store = await open(path, options)
  })
  await timed('random reads that block', reads, () => readAtRandom(store, reads, false))
  await timed('random reads that wait', reads, () => readAtRandom(store, reads, true))
  await timed('scan', count, () => scan(store))
  await timed('compact', 0, () => store.compact().then(() => 0))
  console.log(`size on disk ${(sizeOf(path) / 1e9).toFixed(2)} GB after compacting`)
  await timed('verify', 0, async () => {
    const findings = await store.verify('comprehensive')
    if (findings.length > 0) throw new Error(`found ${JSON.stringify(findings.slice(0, 5))}`)
  })
  console.log(JSON.stringify(store.stats()))
  await store.close()
  watch.stop()
  const parts = Object.entries(budget).map(([name, bytes]) => `${name} ${mb(bytes)}`)
  console.log(`peak memory ${mb(watch.peakBytes)} of ${mb(budgetBytes)} (${parts.join(', ')})`)
  console.log('read errors: 0')
  if (values.dir === undefined) rmSync(directory, { recursive: true, force: true })
  if (watch.peakBytes > budgetBytes) throw new Error('memory went beyond its budget')
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
