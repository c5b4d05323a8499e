// Values of 100 KiB: unsynced puts, reads, durable puts, in MB (10^6 bytes) per second.
import { Chunk, LargeValues } from '../lib/data.mjs'
import { Meter } from '../lib/measure.mjs'

const LARGE_BYTES = 100 * 1024
const STEP = 16

function megabytes(meter) {
  return { megabytesPerSecond: (meter.perSecond * LARGE_BYTES) / 1e6 }
}

class LargeRun {
  #values = new LargeValues(LARGE_BYTES, 5)
  #chunk = new Chunk(STEP)
  #buffers = Array.from({ length: STEP }, () => Buffer.alloc(LARGE_BYTES))

  /** By sync calls where there are some; else `inFlight` puts at a time. */
  async write(store, count, version, meter, inFlight = STEP) {
    const { keys } = this.#chunk
    for (let at = 0; at < count && meter.open; at += STEP) {
      for (let i = 0; i < STEP; i++) {
        this.#chunk.setKey(i, (at + i) * 2)
        this.#values.write(this.#buffers[i], (at + i) * 2, version)
      }
      const from = performance.now()
      if (store.putSync) {
        for (let i = 0; i < STEP; i++) store.putSync(keys[i], this.#buffers[i])
      } else {
        for (let i = 0; i < STEP; i += inFlight) await this.#wave(store, i, i + inFlight)
      }
      meter.add(STEP, performance.now() - from)
    }
  }

  #wave(store, from, to) {
    const pending = []
    for (let i = from; i < to; i++) {
      pending.push(store.put(this.#chunk.keys[i], this.#buffers[i]))
    }
    return Promise.all(pending)
  }

  async read(store, count, version, random, meter) {
    const { keys, numbers } = this.#chunk
    while (meter.open) {
      for (let i = 0; i < STEP; i++) this.#chunk.setKey(i, random.below(count) * 2)
      const from = performance.now()
      if (store.getSync) {
        for (let i = 0; i < STEP; i++) {
          this.#values.check(store.getSync(keys[i]), numbers[i], version)
        }
      } else {
        for (let i = 0; i < STEP; i++) {
          this.#values.check(await store.get(keys[i]), numbers[i], version)
        }
      }
      meter.add(STEP, performance.now() - from)
    }
  }
}

function largeCount(context) {
  return Math.max(2 * STEP, Math.floor((context.count * 0.001) / STEP) * STEP)
}

async function largePut(context) {
  const store = await context.openEmpty('os')
  const run = new LargeRun()
  const count = largeCount(context)
  await run.write(store, 2 * STEP, 0, new Meter({ operationsMax: 2 * STEP, timeMaxMs: 1000 }))
  const meter = new Meter({ operationsMax: 2 * count, timeMaxMs: 1500 })
  for (let version = 0; version < 2; version++) await run.write(store, count, version, meter)
  await store.close()
  return megabytes(meter)
}

async function largeDurablePut(context) {
  const store = await context.openEmpty('sync')
  const run = new LargeRun()
  await run.write(store, STEP, 0, new Meter({ operationsMax: STEP, timeMaxMs: 1000 }))
  const meter = new Meter({ operationsMax: largeCount(context), timeMaxMs: 1500 })
  await run.write(store, largeCount(context), 0, meter, 1)
  await store.close()
  return megabytes(meter)
}

async function largeGet(context) {
  const count = largeCount(context)
  const run = new LargeRun()
  const unlimited = new Meter({ operationsMax: Infinity, timeMaxMs: Infinity })
  const store = await context.openEmpty('os')
  await run.write(store, count, 0, unlimited)
  await store.settle()
  const random = context.random(59)
  await run.read(store, count, 0, random, new Meter({ operationsMax: count, timeMaxMs: 500 }))
  const meter = new Meter({ operationsMax: Infinity, timeMaxMs: 1000 })
  await run.read(store, count, 0, random, meter)
  await store.close()
  return megabytes(meter)
}

export const largeCells = {
  'large-put': { run: largePut },
  'large-durable-put': { run: largeDurablePut },
  'large-get': { run: largeGet }
}
