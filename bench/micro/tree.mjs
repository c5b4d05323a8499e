// The B+ tree alone, without log and store, everything in memory.
//   node bench/micro/tree.mjs [entries] [pageBytes]
import { systemClock } from '../../dist/base/clock.js'
import { BtreeBackend } from '../../dist/backends/btree/btree-backend.js'
import { putBytes, writePut } from '../../dist/batch/batch.js'
import { Checksum } from '../../dist/codec/checksum.js'
import { resolveOptions } from '../../dist/options.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'

const count = Number(process.argv[2] ?? 1_000_000)
const pageBytes = Number(process.argv[3] ?? 8192)
const batchSize = 1000
const checksum = await Checksum.create()

/** CPU time of this process: a busy machine disturbs it less than the clock on the wall. */
function cpuMs() {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

function shuffled(length) {
  const order = Uint32Array.from({ length }, (_, i) => i)
  for (let i = length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1))
    const swap = order[i]
    order[i] = order[j]
    order[j] = swap
  }
  return order
}

function keyOf(i) {
  return Buffer.from(String(i).padStart(16, '0'), 'latin1')
}

function randomKey() {
  const key = Buffer.allocUnsafe(16)
  for (let i = 0; i < 4; i++) key.writeUInt32LE(Math.floor(Math.random() * 2 ** 32), 4 * i)
  return key
}

async function emptyTree() {
  const vfs = new MemVfs()
  vfs.mkdirSync('/tree')
  return BtreeBackend.create({
    vfs,
    directory: '/tree',
    storeId: Buffer.alloc(16, 1),
    checksum,
    clock: systemClock,
    options: { ...resolveOptions({}), pageBytes, cacheBytes: 2 ** 31 },
    readOnly: false,
    epoch: 1,
    recovering: false
  })
}

function report(name, operations, startMs) {
  const perSecond = operations / ((cpuMs() - startMs) / 1000)
  console.log(name.padEnd(34), `${(perSecond / 1000).toFixed(0).padStart(7)} k/s`)
}

const value = Buffer.alloc(100, 'v')
async function load(tree, keys, name) {
  const bytes = Buffer.alloc(batchSize * putBytes(keys[0], value))
  const startMs = cpuMs()
  let applyMs = 0
  let seq = 0
  for (let i = 0; i < keys.length; i += batchSize) {
    let end = 0
    const to = Math.min(keys.length, i + batchSize)
    for (let k = i; k < to; k++) end = writePut(bytes, end, keys[k], value)
    const applyStart = cpuMs()
    if (!tree.tryPrepare(bytes, 0, end)) await tree.prepare(bytes, 0, end)
    tree.apply(bytes, 0, end, ++seq)
    applyMs += cpuMs() - applyStart
  }
  report(`${name} (prepare and apply)`, keys.length, cpuMs() - applyMs)
  const { usedPages, availablePages } = tree.pager.stats()
  const fill = (keys.length * (16 + 100 + 12)) / ((usedPages - availablePages) * pageBytes)
  console.log(''.padEnd(34), `fill ${(100 * fill).toFixed(1)} %`, `${(cpuMs() - startMs) | 0} ms`)
}

function scan(tree, reverse) {
  const view = tree.readView()
  const cursor = view.cursor({ range: {}, reverse, keys: true, values: true })
  let seen = 0
  for (;;) {
    const chunk = cursor.nextChunkSync(1000)
    if (chunk === undefined) break
    const { bytes, bounds } = chunk
    for (let i = 0; i < 4 * chunk.count; i += 4) {
      const entry = [
        bytes.subarray(bounds[i], bounds[i + 1]),
        bytes.subarray(bounds[i + 2], bounds[i + 3])
      ]
      seen += entry.length >> 1
    }
  }
  cursor.close()
  view.close()
  return seen
}

function seek(tree, keys, order, length, rounds) {
  for (let i = 0; i < rounds; i++) {
    const view = tree.readView()
    const range = { gte: keys[order[i]] }
    const cursor = view.cursor({ range, reverse: false, keys: true, values: true })
    let left = length
    while (left > 0) {
      const chunk = cursor.nextChunkSync(left)
      if (chunk === undefined) break
      const { bytes, bounds } = chunk
      for (let k = 0; k < 4 * chunk.count; k += 4) {
        bytes.subarray(bounds[k], bounds[k + 1])
        bytes.subarray(bounds[k + 2], bounds[k + 3])
      }
      left -= chunk.count
    }
    cursor.close()
    view.close()
  }
}

const sequential = Array.from({ length: count }, (_, i) => keyOf(i))
await load(await emptyTree(), sequential, 'sequential inserts')
const keys = Array.from({ length: count }, randomKey)
const tree = await emptyTree()
await load(tree, keys, 'random inserts')
for (let round = 0; round < 2; round++) {
  const order = shuffled(count)
  let startMs = cpuMs()
  let found = 0
  for (let i = 0; i < count; i++) if (tree.getSync(keys[order[i]]) !== undefined) found++
  report('getSync', count, startMs)
  if (found !== count) throw new Error(`${found} of ${count} found`)
  const absent = Array.from({ length: count >> 1 }, randomKey)
  startMs = cpuMs()
  for (const key of absent) if (tree.getSync(key) !== undefined) throw new Error('found')
  report('getSync, absent', absent.length, startMs)
  const groups = Array.from({ length: count / 200 }, (_, i) =>
    Array.from({ length: 100 }, (_, k) => keys[order[i * 100 + k]])
  )
  startMs = cpuMs()
  for (const group of groups) if (tree.tryGetMany(group).length !== 100) throw new Error()
  report('getMany(100)', groups.length * 100, startMs)
  for (const reverse of [false, true]) {
    startMs = cpuMs()
    if (scan(tree, reverse) !== count) throw new Error('scan')
    report(`scan ${reverse ? 'backward' : 'forward'}`, count, startMs)
  }
  startMs = cpuMs()
  seek(tree, keys, order, 10, 200_000)
  report('seek + 10', 200_000, startMs)
  startMs = cpuMs()
  seek(tree, keys, order, 100, 40_000)
  report('seek + 100', 40_000, startMs)
}
