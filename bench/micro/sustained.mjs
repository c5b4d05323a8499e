// Random puts into an LSM store for as long as it takes, to see whether compactions keep up: each
// second the rate, the tables of level 0, how long writes were stalled and slowed down, and how late
// the event loop was; at the end write amplification and space.
//   node bench/micro/sustained.mjs <empty directory> [puts] [options as JSON]
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { open } from '../../dist/index.js'
import { Chunk, ENTRY_BYTES, Random } from '../lib/data.mjs'
import { nextTurn } from '../lib/measure.mjs'

const [dir, putsText = '5000000', optionsText = '{}'] = process.argv.slice(2)
const puts = Number(putsText)
const chunkSize = 1000
const MB = 1e6

const store = await open(dir, { backend: 'lsm', durability: 'os', ...JSON.parse(optionsText) })
const delay = monitorEventLoopDelay({ resolution: 1 })
const random = new Random(23)
const chunk = new Chunk(chunkSize)
const written = new Uint8Array(puts)
let keys = 0

function row(cells) {
  console.log(cells.map((cell) => String(cell).padStart(9)).join(''))
}

function report(atMs, countInRow, elapsedMs, before) {
  const stats = store.stats()
  const [p99, max] = [delay.percentile(99) / 1e6, delay.max / 1e6]
  row([
    (atMs / 1000).toFixed(1),
    Math.round(countInRow / elapsedMs),
    stats.level0Files ?? 0,
    Math.round((stats.compactionPendingBytes ?? 0) / MB),
    Math.round(stats.stallMs - before.stallMs),
    Math.round(stats.slowdownMs - before.slowdownMs),
    p99.toFixed(1),
    max.toFixed(1)
  ])
  delay.reset()
  return stats
}

function writtenToTables(stats) {
  let bytes = 0
  for (const [name, value] of Object.entries(stats)) {
    if (/^level\d+WrittenBytes$/.test(name)) bytes += value
  }
  return bytes
}

row(['s', 'k/s', 'level 0', 'debt MB', 'stall ms', 'slow ms', 'p99 ms', 'max ms'])
delay.enable()
const startMs = performance.now()
let before = store.stats()
let rowMs = startMs
let rowCount = 0
for (let count = 0; count < puts; count += chunkSize) {
  for (let i = 0; i < chunkSize; i++) {
    const number = random.below(puts)
    keys += 1 - written[number]
    written[number] = 1
    chunk.set(i, number, count)
  }
  await store.batch(chunk.keys.map((key, i) => ({ type: 'put', key, value: chunk.values[i] })))
  await nextTurn()
  rowCount += chunkSize
  const nowMs = performance.now()
  if (nowMs - rowMs < 1000) continue
  before = report(nowMs - startMs, rowCount, nowMs - rowMs, before)
  rowMs = nowMs
  rowCount = 0
}
const elapsedMs = performance.now() - startMs
await store.flush()
const flushedMs = performance.now() - startMs
while (store.stats().compactionsRunning > 0) await new Promise((done) => setTimeout(done, 20))
const settledMs = performance.now() - startMs
const stats = store.stats()
const raw = puts * ENTRY_BYTES
console.log(
  `puts: ${Math.round(puts / elapsedMs)} k/s; flushed after ${(flushedMs / 1000).toFixed(1)} s`
)
console.log(`compactions at rest after ${(settledMs / 1000).toFixed(1)} s`)
console.log(`write amplification of tables: ${(writtenToTables(stats) / raw).toFixed(2)}`)
console.log(`space: ${(stats.bytes / (keys * ENTRY_BYTES)).toFixed(2)} of the keys and values`)
console.log(
  `stalls ${stats.stalls}, ${Math.round(stats.stallMs)} ms; slowdowns ${stats.slowdowns}, ${Math.round(stats.slowdownMs)} ms`
)
await store.close()
