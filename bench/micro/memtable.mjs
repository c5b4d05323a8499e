// The memtable alone: puts into a recycled arena, gets, overwrites, key order, the flush's sort.
//   node bench/micro/memtable.mjs [valueBytes] [batchSize]
import { Lookup } from '../../dist/memtable/lookup.js'
import { KeyHash } from '../../dist/memtable/key-hash.js'
import { newestSeq } from '../../dist/memtable/entry.js'
import { ArenaPool } from '../../dist/memtable/arena-pool.js'
import { Memtable } from '../../dist/memtable/memtable.js'
import { SortedMemtable } from '../../dist/memtable/sorted-memtable.js'
import { putBytes, writePut } from '../../dist/batch/batch.js'
import { CopyPool } from '../../dist/page/copy-pool.js'

const valueBytes = Number(process.argv[2] ?? 100)
const batchSize = Number(process.argv[3] ?? 1000)
const rounds = 6
const memtableBytes = 64 * 2 ** 20
const keyHash = new KeyHash(Buffer.alloc(16, 7))
const pool = new ArenaPool(memtableBytes)
const count = Math.floor(memtableBytes / (batchBytesOf(1) + 18)) - batchSize

function batchBytesOf(operations) {
  return operations * putBytes(Buffer.alloc(16), Buffer.alloc(valueBytes))
}

/** CPU time of this process: a busy machine disturbs it less than the clock on the wall. */
function cpuMs() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

function report(name, operations, startMs) {
  const perSecond = operations / ((cpuMs() - startMs) / 1000)
  console.log(name.padEnd(34), `${(perSecond / 1000).toFixed(0).padStart(7)} k/s`)
}

function keyOf(i) {
  return Buffer.from(String(i).padStart(16, '0'), 'latin1')
}

function shuffled() {
  const order = Uint32Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1))
    const swap = order[i]
    order[i] = order[j]
    order[j] = swap
  }
  return order
}

const keys = Array.from(shuffled(), keyOf)
// Other objects, one behind the other: what is measured are not the misses of this program.
const probes = Array.from(shuffled(), keyOf)
const value = Buffer.alloc(valueBytes, 'v')
const batches = []
for (let i = 0; i < count; i += batchSize) {
  const size = Math.min(batchSize, count - i)
  const bytes = Buffer.alloc(batchBytesOf(size))
  let at = 0
  for (let j = i; j < i + size; j++) at = writePut(bytes, at, keys[j], value)
  batches.push(bytes)
}
console.log(`${count} entries of 16 + ${valueBytes} bytes, batches of ${batchSize}`)

function fill(memtable, firstSeq, newestViewSeq) {
  let seq = firstSeq
  for (const bytes of batches) memtable.apply(bytes, 0, bytes.length, seq++, newestViewSeq)
}

for (let round = 0; round < rounds; round++) {
  const arena = pool.take(0, 0)
  const memtable = new Memtable(arena, keyHash)
  let startMs = cpuMs()
  fill(memtable, 1, 0)
  report(round === 0 ? 'put, new arena' : 'put', count, startMs)
  if (round === rounds - 1) {
    startMs = cpuMs()
    fill(memtable, memtable.maxSeq + 1, 0)
    report('overwrite in place', count, startMs)
    const lookup = new Lookup()
    const copies = new CopyPool()
    startMs = cpuMs()
    let mixed = 0
    for (let i = 0; i < count; i++) {
      keyHash.hash(probes[i], 0, probes[i].length)
      mixed ^= keyHash.low
    }
    report(`hash of the key alone`, count, startMs)
    for (const [name, copied] of [
      ['get', false],
      ['get', false],
      ['get with copy', true]
    ]) {
      startMs = cpuMs()
      let bytes = 0
      for (let i = 0; i < count; i++) {
        const key = probes[i]
        keyHash.hash(key, 0, key.length)
        if (memtable.find(key, keyHash, newestSeq, lookup) === 1) {
          bytes += copied ? lookup.value(copies).length : lookup.end - lookup.start
        }
      }
      if (bytes !== count * valueBytes) throw new Error('a key is missing')
      report(name, count, startMs)
    }
    startMs = cpuMs()
    const sorted = new SortedMemtable(memtable.freeze())
    console.log(`sort for the flush ${(cpuMs() - startMs).toFixed(0)} ms`)
    startMs = cpuMs()
    let seen = 0
    while (sorted.next()) seen += sorted.keyEnd - sorted.keyStart
    report('walk of the flush', seen / 16, startMs)
    startMs = cpuMs()
    const cursor = memtable.cursor()
    cursor.seek(undefined, false)
    console.log(`first seek ${(cpuMs() - startMs).toFixed(0)} ms`)
    startMs = cpuMs()
    let walked = 0
    do walked += cursor.read(newestSeq, lookup)
    while (cursor.next())
    report('cursor', walked, startMs)
    startMs = cpuMs()
    for (let i = 0; i < 100_000; i++) cursor.seek(probes[i], false)
    report('seek', 100_000, startMs)
  }
  pool.give(arena)
}

// Cursors between writes: every seek finds new keys to bring into order.
const memtable = new Memtable(pool.take(0, 0), keyHash)
const startMs = cpuMs()
batches.forEach((bytes, i) => {
  memtable.apply(bytes, 0, bytes.length, i + 1, 0)
  memtable.cursor().seek(undefined, false)
})
report('put, a seek after each batch', count, startMs)
