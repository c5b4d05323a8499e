// Bytes that lie and whose checksums hold: the checksum is switched off, then a store's files are
// changed at random, opened, read, checked and written to. Values may be wrong here; but nothing may
// throw anything but a typed error, hang, or ask for memory without bounds:
// node fuzz/hostile.mjs [--backend lsm] [--seed 1] [--runs 500 | --minutes 10]
import assert from 'node:assert/strict'
import { SeededRandom } from '../dist/base/random.js'
import { BatchReader } from '../dist/batch/batch.js'
import { Checksum } from '../dist/codec/checksum.js'
import { KintsugiError, open } from '../dist/index.js'
import { MemVfs } from '../dist/vfs/mem-vfs.js'
import { campaign, load } from './campaign.mjs'

process.setMaxListeners(0)
for (const name of Object.getOwnPropertyNames(Checksum.prototype)) {
  if (name === 'constructor') continue
  Checksum.prototype[name] = function () {
    this.low = 1
    this.high = 2
  }
}
const { TestClock } = await load('helpers/test-clock.js')
const { tinyOptions } = await load('helpers/backends.js')

const maxMemoryBytes = 512 * 1024 * 1024
const tolerated = (error) => {
  assert.ok(error instanceof KintsugiError, error?.stack ?? String(error))
  if (error.code === 'KINTSUGI_INTERNAL') throw error
  return 1
}
const attempt = async (work) => {
  try {
    await work()
    return 0
  } catch (error) {
    return tolerated(error)
  }
}
const openAt = (vfs, backend) =>
  open('/store', {
    ...tinyOptions,
    ...(backend && { backend }),
    vfs,
    clock: new TestClock(),
    random: new SeededRandom(1)
  })

let specimens

await campaign('hostile', { runs: 500 }, async (seed, backend) => {
  specimens ??= [await specimen(backend, true), await specimen(backend, false)]
  const random = new SeededRandom(seed)
  batch(random)
  const vfs = random.pick(specimens).crashClone('everything')
  const what = mutate(vfs, random)
  const before = process.memoryUsage().arrayBuffers
  try {
    const figures = await inTime(use(vfs))
    const grown = process.memoryUsage().arrayBuffers - before
    assert.ok(grown < maxMemoryBytes, `${grown} bytes of memory were taken`)
    return figures
  } catch (error) {
    throw new Error(what, { cause: error })
  }
})

async function specimen(backend, closed) {
  const vfs = new MemVfs()
  const store = await openAt(vfs, backend)
  for (let i = 0; i < 150; i++) {
    const bytes = i % 40 === 7 ? 9000 : (i * 53) % 400
    const key = i % 50 === 11 ? `long${i}`.padEnd(2000, '.') : `key${i}`
    await store.put(key, Buffer.alloc(bytes, i))
    if (i === 60 || i === 110) await store.persist()
  }
  if (closed) await store.close()
  return vfs.crashClone('everything')
}

/** Some bytes of some file become others: small numbers, large ones, bits, whole words. */
function mutate(vfs, random) {
  const done = []
  for (let count = 1 + random.below(6); count > 0; count--) {
    const paths = vfs.medium.paths().filter((path) => vfs.medium.read(path).length > 0)
    const path = random.pick(paths)
    const size = vfs.medium.read(path).length
    // Headers are where lies go furthest.
    const inHeader = random.chance(1, 2)
    const block = random.below(Math.ceil(size / 4096)) * 4096
    const at = Math.min(size - 1, block + random.below(inHeader ? 128 : 4096))
    const length = Math.min(size - at, random.pick([1, 1, 2, 4, 8]))
    const bytes = random.fill(Buffer.alloc(length))
    if (random.chance(1, 3)) bytes.fill(random.pick([0, 1, 0x7f, 0xff]))
    vfs.medium.overwrite(path, bytes, at)
    done.push(`${path} at ${at}: ${bytes.toString('hex')}`)
  }
  return done.join(', ')
}

async function use(vfs) {
  let store
  const refused = await attempt(async () => {
    store = await openAt(vfs)
  })
  if (store === undefined) return { states: 1, refused, errors: 0 }
  let errors = 0
  for (let i = 0; i < 150; i += 7) errors += await attempt(() => void store.getSync(`key${i}`))
  for (const reverse of [false, true]) {
    errors += await attempt(() => {
      let count = 0
      for (const _ of store.entries({ reverse })) {
        if (++count > 1_000_000) throw new Error('an iteration without end')
      }
    })
  }
  errors += await attempt(async () => {
    for await (const _ of store.values({ gte: 'key1', lt: 'key5' })) continue
  })
  errors += await attempt(() => store.verify('comprehensive'))
  errors += await attempt(() => store.put('key5', 'new'))
  errors += await attempt(() => store.del('key77'))
  errors += await attempt(() => store.clear({ gte: 'key2', lt: 'key3' }))
  errors += await attempt(() => store.persist())
  errors += await attempt(() => store.compact())
  errors += await attempt(() => store.close())
  return { states: 1, refused: 0, errors }
}

async function inTime(work) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('does not settle')), 20_000)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** The encoding of a commit, read from bytes nobody wrote. */
function batch(random) {
  for (let i = 0; i < 50; i++) {
    const bytes = random.fill(Buffer.alloc(random.below(64)))
    if (bytes.length > 0) bytes[0] = random.below(5)
    if (bytes.length > 1) bytes[1] = random.below(9)
    try {
      const reader = new BatchReader(bytes)
      for (let count = 0; reader.next(); count++) {
        assert.ok(count < 64, 'a batch without end')
        reader.operation()
      }
    } catch (error) {
      tolerated(error)
    }
  }
}
