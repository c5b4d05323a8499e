// Cells that read a loaded, warmed store. Every value is checked, inside the timed stretch: the
// check is a length and four words, the same few nanoseconds for everyone.
import { Chunk, checkValue, numberOf } from '../lib/data.mjs'
import { Meter } from '../lib/measure.mjs'
import { loadRandom, warm } from '../lib/workload.mjs'

const READ_TIME_MS = 1000
const WARMUP_CHUNKS = 20

/** Runs chunks of keys chosen by `pick(random)` through `readChunk`. */
async function measureReads(context, store, { chunkSize, pick, readChunk, timeMaxMs }) {
  const chunk = new Chunk(chunkSize)
  const random = context.random(23)
  const meter = new Meter({ operationsMax: Infinity, timeMaxMs: timeMaxMs ?? READ_TIME_MS })
  for (let round = 0; meter.open; round++) {
    for (let i = 0; i < chunkSize; i++) chunk.setKey(i, pick(random))
    const from = performance.now()
    const pending = readChunk(store, chunk)
    if (pending !== undefined) await pending
    const elapsedMs = performance.now() - from
    if (round >= WARMUP_CHUNKS) meter.add(chunkSize, elapsedMs)
  }
  return { perSecond: meter.perSecond }
}

function getEachSync(store, chunk) {
  const { keys, numbers, size } = chunk
  for (let i = 0; i < size; i++) checkValue(store.getSync(keys[i]), numbers[i], 0)
}

function getEachAbsent(store, chunk) {
  const { keys, numbers, size } = chunk
  for (let i = 0; i < size; i++) {
    if (store.getSync(keys[i]) !== undefined) throw new Error(`key ${numbers[i]} must be absent`)
  }
}

async function getEachAwaited(store, chunk) {
  const { keys, numbers, size } = chunk
  for (let i = 0; i < size; i++) checkValue(await store.get(keys[i]), numbers[i], 0)
}

/** 64 loops over one chunk, each awaiting its own get before the next. */
async function get64InFlight(store, chunk) {
  const { keys, numbers, size } = chunk
  let at = 0
  async function reader() {
    while (at < size) {
      const slot = at++
      checkValue(await store.get(keys[slot]), numbers[slot], 0)
    }
  }
  const readers = []
  for (let i = 0; i < 64; i++) readers.push(reader())
  await Promise.all(readers)
}

function getManySync(store, chunk) {
  const { keys, numbers, size } = chunk
  const values = store.getManySync(keys)
  for (let i = 0; i < size; i++) checkValue(values[i], numbers[i], 0)
}

function reading(options) {
  return async (context) => {
    const store = await context.openFixture('os')
    await warm(store, context.count)
    const pick = options.pick ?? ((random) => random.below(context.count) * 2)
    const metrics = await measureReads(context, store, { ...options, pick })
    await store.close()
    return metrics
  }
}

/** Point reads of a smaller store, loaded here. */
function readingSmall(count) {
  return async (context) => {
    const store = await context.openEmpty('os')
    const loaded = Math.min(count, context.count)
    await loadRandom(store, loaded)
    await store.settle()
    await warm(store, loaded)
    const metrics = await measureReads(context, store, {
      chunkSize: 1000,
      pick: (random) => random.below(loaded) * 2,
      readChunk: getEachSync
    })
    await store.close()
    return metrics
  }
}

function scanning(reverse) {
  return async (context) => {
    const store = await context.openFixture('os')
    await warm(store, context.count)
    const step = reverse ? -2 : 2
    const meter = new Meter({ operationsMax: 3 * context.count, timeMaxMs: READ_TIME_MS })
    while (meter.open) {
      let expected = reverse ? (context.count - 1) * 2 : 0
      let seen = 0
      const visit = (key, value) => {
        if (numberOf(key) !== expected) throw new Error(`key ${expected} expected in the scan`)
        checkValue(value, expected, 0)
        expected += step
        seen += 1
      }
      const from = performance.now()
      const pending = store.scan({ reverse }, visit)
      if (pending !== undefined) await pending
      meter.add(seen, performance.now() - from)
      if (seen !== context.count) throw new Error(`scan saw ${seen} of ${context.count} entries`)
    }
    await store.close()
    return { perSecond: meter.perSecond }
  }
}

/** Seek to a random present key and read `limit` entries from there. */
function seeking(limit) {
  return async (context) => {
    const store = await context.openFixture('os')
    await warm(store, context.count)
    let expected = 0
    let seen = 0
    const visit = (key, value) => {
      if (numberOf(key) !== expected) throw new Error(`key ${expected} expected after the seek`)
      checkValue(value, expected, 0)
      expected += 2
      seen += 1
    }
    async function seekAsync(chunk, slot) {
      for (let i = slot; i < chunk.size; i++) {
        start(chunk, i)
        await store.scan({ gte: chunk.keys[i], limit }, visit)
        end(chunk, i)
      }
    }
    function start(chunk, i) {
      expected = chunk.numbers[i]
      seen = 0
    }
    function end(chunk, i) {
      if (seen !== limit)
        throw new Error(`${seen} entries instead of ${limit} at ${chunk.numbers[i]}`)
    }
    const metrics = await measureReads(context, store, {
      chunkSize: 100,
      pick: (random) => random.below(context.count - limit) * 2,
      readChunk: (_, chunk) => {
        for (let i = 0; i < chunk.size; i++) {
          start(chunk, i)
          const pending = store.scan({ gte: chunk.keys[i], limit }, visit)
          if (pending !== undefined) {
            return pending.then(() => {
              end(chunk, i)
              return seekAsync(chunk, i + 1)
            })
          }
          end(chunk, i)
        }
        return undefined
      }
    })
    await store.close()
    return metrics
  }
}

export const readCells = {
  'get-sync': {
    needs: ['getSync'],
    fixture: 'shared',
    run: reading({ chunkSize: 1000, readChunk: getEachSync })
  },
  'get-absent': {
    needs: ['getSync'],
    fixture: 'shared',
    run: async (context) =>
      reading({
        chunkSize: 1000,
        readChunk: getEachAbsent,
        pick: (random) => random.below(context.count) * 2 + 1
      })(context)
  },
  'get-async-64': {
    needs: ['get'],
    fixture: 'shared',
    run: reading({ chunkSize: 1024, readChunk: get64InFlight })
  },
  'get-async-1': {
    needs: ['get'],
    fixture: 'shared',
    run: reading({ chunkSize: 200, readChunk: getEachAwaited })
  },
  'getmany-100': {
    needs: ['getManySync'],
    fixture: 'shared',
    run: reading({ chunkSize: 100, readChunk: getManySync })
  },
  'scan-forward': { fixture: 'shared', run: scanning(false) },
  'scan-back': { fixture: 'shared', run: scanning(true) },
  'seek-10': { fixture: 'shared', run: seeking(10) },
  'seek-100': { fixture: 'shared', run: seeking(100) },
  'get-10k': { needs: ['getSync', 'writeBatch'], run: readingSmall(10_000) },
  'get-100k': { needs: ['getSync', 'writeBatch'], run: readingSmall(100_000) }
}
