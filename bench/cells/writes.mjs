// Cells that write: durable puts, unsynced puts, bulk loads, overwrite churn.
import { Chunk, ENTRY_BYTES, permutation } from '../lib/data.mjs'
import { diskBytes } from '../lib/files.mjs'
import { Meter, nextTurn, percentile } from '../lib/measure.mjs'
import { loadRandom, verifySample, warm } from '../lib/workload.mjs'

const PUT_TIME_MS = 1200

/** The first puts of a process still compile; they are left out of rate and percentile. */
const WARMUP_MS = 500

/**
 * Random overwrites of the loaded store: fills a slot, returns its key number. Each lap has its own
 * version, as a store may skip a write that changes nothing.
 */
class Overwrites {
  written = new Map()
  #order
  #at = 0
  #version = 1

  constructor(context, seed) {
    this.#order = permutation(context.count, seed)
  }

  fill(chunk, slot) {
    if (this.#at === this.#order.length) {
      this.#at = 0
      this.#version += 1
    }
    chunk.set(slot, this.#order[this.#at++] * 2, this.#version)
    return this.#version
  }

  acknowledge(chunk, slot, version) {
    this.written.set(chunk.numbers[slot], version)
  }
}

async function durablePutSync(context) {
  const store = await context.openFixture('sync')
  await warm(store, context.count)
  const overwrites = new Overwrites(context, 11)
  const chunk = new Chunk(1)
  const latencies = []
  const meter = new Meter({ operationsMax: 20_000, timeMaxMs: PUT_TIME_MS })
  const warmUntil = performance.now() + WARMUP_MS
  while (meter.open) {
    const version = overwrites.fill(chunk, 0)
    const from = performance.now()
    store.putSync(chunk.keys[0], chunk.values[0])
    const elapsedMs = performance.now() - from
    overwrites.acknowledge(chunk, 0, version)
    if (from < warmUntil) continue
    meter.add(1, elapsedMs)
    latencies.push(elapsedMs)
  }
  await verifySample(store, overwrites.written)
  await store.close()
  return { perSecond: meter.perSecond, p99Ms: percentile(latencies, 0.99) }
}

async function durablePutAwaited(context) {
  const store = await context.openFixture('sync')
  await warm(store, context.count)
  const overwrites = new Overwrites(context, 12)
  const chunk = new Chunk(1)
  const latencies = []
  const meter = new Meter({ operationsMax: 20_000, timeMaxMs: PUT_TIME_MS })
  const warmUntil = performance.now() + WARMUP_MS
  while (meter.open) {
    const version = overwrites.fill(chunk, 0)
    const from = performance.now()
    await store.put(chunk.keys[0], chunk.values[0])
    const elapsedMs = performance.now() - from
    overwrites.acknowledge(chunk, 0, version)
    if (from < warmUntil) continue
    meter.add(1, elapsedMs)
    latencies.push(elapsedMs)
  }
  await verifySample(store, overwrites.written)
  await store.close()
  return { perSecond: meter.perSecond, p99Ms: percentile(latencies, 0.99) }
}

/** 64 loops, each awaiting its own put before the next. */
async function durablePutWriters(context, isCold = false) {
  const writers = 64
  const store = await context.openFixture('sync')
  if (!isCold) await warm(store, context.count)
  const overwrites = new Overwrites(context, 13)
  const chunk = new Chunk(writers)
  let acknowledged = 0
  let running = true

  async function writer(slot) {
    while (running) {
      const version = overwrites.fill(chunk, slot)
      await store.putGrouped(chunk.keys[slot], chunk.values[slot])
      overwrites.acknowledge(chunk, slot, version)
      acknowledged += 1
      // Stores that commit synchronously never leave the microtasks, so a timer would not fire.
      if (performance.now() > deadline) running = false
    }
  }

  let deadline = performance.now() + WARMUP_MS
  if (!isCold) await Promise.all(Array.from({ length: writers }, (_, slot) => writer(slot)))
  running = true
  acknowledged = 0
  const from = performance.now()
  deadline = from + PUT_TIME_MS
  await Promise.all(Array.from({ length: writers }, (_, slot) => writer(slot)))
  const perSecond = (acknowledged / (performance.now() - from)) * 1000
  await verifySample(store, overwrites.written)
  await store.close()
  return { perSecond }
}

/** Unsynced puts into an empty store in random order: in waves, one awaited, one by a sync call. */
async function unsyncedPuts(context, chunkSize, putChunk) {
  const store = await context.openEmpty('os')
  const order = permutation(context.count, 7)
  const chunk = new Chunk(chunkSize)
  const meter = new Meter({ operationsMax: context.count, timeMaxMs: PUT_TIME_MS })
  const written = new Map()
  let at = 0
  while (meter.open && at + chunkSize <= order.length) {
    for (let i = 0; i < chunkSize; i++) chunk.set(i, order[at + i] * 2, 0)
    const from = performance.now()
    const pending = putChunk(store, chunk)
    if (pending !== undefined) await pending
    const elapsedMs = performance.now() - from
    at += chunkSize
    // The first tenth of the budget is warm-up.
    if (at > context.count / 50) meter.add(chunkSize, elapsedMs)
  }
  for (let i = 0; i < at; i++) written.set(order[i] * 2, 0)
  await verifySample(store, written)
  await store.close()
  return { perSecond: meter.perSecond }
}

function putWave(store, chunk) {
  const put = store.concurrentPut
  return Promise.all(chunk.keys.map((key, i) => store[put](key, chunk.values[i])))
}

async function putEachAwaited(store, chunk) {
  for (let i = 0; i < chunk.size; i++) await store.put(chunk.keys[i], chunk.values[i])
}

function putEachSync(store, chunk) {
  for (let i = 0; i < chunk.size; i++) store.putSync(chunk.keys[i], chunk.values[i])
}

/** What stays on disk once no log is left that only the next opening would absorb. */
async function closeAndMeasure(context, store) {
  const from = performance.now()
  await store.close()
  const closeMs = performance.now() - from
  const again = await context.openFixture('os')
  await again.settle()
  await again.close()
  return { closeMs, disk: diskBytes(context.dir) }
}

async function loadSequential(context) {
  const store = await context.openEmpty('os')
  const append = store.appendBatch === undefined ? 'writeBatch' : 'appendBatch'
  const chunk = new Chunk(1000)
  const meter = new Meter({ operationsMax: Infinity, timeMaxMs: Infinity })
  const written = new Map()
  for (let rank = 0; rank < context.count; rank += chunk.size) {
    for (let i = 0; i < chunk.size; i++) chunk.set(i, (rank + i) * 2, 0)
    const from = performance.now()
    const pending = store[append](chunk.keys, chunk.values)
    if (pending !== undefined) await pending
    meter.add(chunk.size, performance.now() - from)
    written.set(rank * 2, 0)
  }
  await verifySample(store, written)
  const { closeMs, disk } = await closeAndMeasure(context, store)
  return {
    perSecond: meter.perSecond,
    closeMs,
    diskRatio: disk / (context.count * ENTRY_BYTES)
  }
}

async function loadRandomOrder(context) {
  const store = await context.openEmpty('os')
  const meter = await loadRandom(store, context.count)
  const written = new Map()
  for (let rank = 0; rank < context.count; rank += 997) written.set(rank * 2, 0)
  await verifySample(store, written)
  const { closeMs, disk } = await closeAndMeasure(context, store)
  return {
    perSecond: meter.perSecond,
    closeMs,
    diskRatio: disk / (context.count * ENTRY_BYTES)
  }
}

/** Every key overwritten once on average, at random, on the loaded store. */
async function churn(context) {
  const store = await context.openFixture('os')
  const chunk = new Chunk(1000)
  const random = context.random(17)
  const versions = new Uint32Array(context.count)
  const meter = new Meter({ operationsMax: context.count, timeMaxMs: 20_000 })
  while (meter.open) {
    for (let i = 0; i < chunk.size; i++) {
      const rank = random.below(context.count)
      versions[rank] += 1
      chunk.set(i, rank * 2, versions[rank])
    }
    const from = performance.now()
    const pending = store.writeBatch(chunk.keys, chunk.values)
    if (pending !== undefined) await pending
    meter.add(chunk.size, performance.now() - from)
    if (meter.operations % 16_000 === 0) await nextTurn()
  }
  const written = new Map()
  for (let rank = 0; rank < context.count; rank += 101) written.set(rank * 2, versions[rank])
  await verifySample(store, written)
  const { closeMs, disk } = await closeAndMeasure(context, store)
  return {
    perSecond: meter.perSecond,
    closeMs,
    diskRatio: disk / (context.count * ENTRY_BYTES),
    operations: meter.operations
  }
}

export const writeCells = {
  'durable-put-sync': { needs: ['putSync'], fixture: 'copy', run: durablePutSync },
  'durable-put-await': { needs: ['put'], fixture: 'copy', run: durablePutAwaited },
  'durable-put-64': {
    needs: ['putGrouped'],
    fixture: 'copy',
    run: (context) => durablePutWriters(context)
  },
  'durable-put-64-cold': {
    needs: ['putGrouped'],
    fixture: 'copy',
    run: (context) => durablePutWriters(context, true)
  },
  'put-wave': {
    run: (context) => unsyncedPuts(context, 1000, putWave)
  },
  'put-await': {
    needs: ['put'],
    run: (context) => unsyncedPuts(context, 100, putEachAwaited)
  },
  'put-sync': {
    needs: ['putSync'],
    run: (context) => unsyncedPuts(context, 100, putEachSync)
  },
  'load-seq': { needs: ['writeBatch'], run: loadSequential },
  'load-random': { needs: ['writeBatch'], run: loadRandomOrder },
  churn: { needs: ['writeBatch'], fixture: 'copy', run: churn }
}
