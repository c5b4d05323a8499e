import { KintsugiError } from '../errors.js'
import { SeededRandom } from '../base/random.js'
import { open, type OpenOptions } from '../open.js'
import type { Store } from '../store/store.js'

export interface Measurement {
  readonly name: string
  readonly perSecond: number
  readonly unit: string
  readonly elapsedMs: number
  /** 99th percentile of one operation, where operations were timed one by one. */
  readonly p99Us?: number
}

interface Run {
  readonly store: Store
  readonly keys: number
  readonly random: SeededRandom
}

interface Case {
  readonly name: string
  readonly unit: string
  /** Returns how many it did, and the time of each where it took them. */
  run(run: Run): Promise<{ count: number; eachMs?: Float64Array }>
}

const valueBytes = 100
const loadBatch = 1000

/** Keys that are spread over the key space as random ones are, and can be made again. */
function keyAt(index: number): Buffer {
  const key = Buffer.allocUnsafe(16)
  key.writeUInt32BE(Math.imul(index, 0x9e3779b1) >>> 0, 0)
  key.writeUInt32BE(Math.imul(index, 0x85ebca6b) >>> 0, 4)
  key.writeUInt32BE(0, 8)
  key.writeUInt32BE(index, 12)
  return key
}

function valueAt(index: number): Buffer {
  const value = Buffer.alloc(valueBytes, index & 0xff)
  value.writeUInt32BE(index, 0)
  return value
}

/** A benchmark that counted wrong answers would measure nothing. */
function check(condition: boolean, what: string): void {
  if (!condition) throw new KintsugiError('KINTSUGI_INTERNAL', `the benchmark read ${what}`)
}

const cases: readonly Case[] = [
  {
    name: 'bulk load, batches of 1000',
    unit: 'entries',
    async run({ store, keys }) {
      for (let from = 0; from < keys; from += loadBatch) {
        const operations = []
        for (let i = from; i < Math.min(from + loadBatch, keys); i++) {
          operations.push({ type: 'put' as const, key: keyAt(i), value: valueAt(i) })
        }
        await store.batch(operations, { durability: 'os' })
      }
      return { count: keys }
    }
  },
  {
    name: 'durable put, one writer',
    unit: 'puts',
    async run({ store, keys, random }) {
      const eachMs = new Float64Array(Math.min(3000, Math.ceil(keys / 20)))
      for (let i = 0; i < eachMs.length; i++) {
        const index = random.below(keys)
        const startMs = performance.now()
        await store.put(keyAt(index), valueAt(index))
        eachMs[i] = performance.now() - startMs
      }
      return { count: eachMs.length, eachMs }
    }
  },
  {
    name: 'durable put, 64 writers',
    unit: 'puts',
    async run({ store, keys, random }) {
      const perWriter = Math.min(500, Math.ceil(keys / 100))
      const writer = async (): Promise<void> => {
        for (let i = 0; i < perWriter; i++) {
          const index = random.below(keys)
          await store.put(keyAt(index), valueAt(index))
        }
      }
      await Promise.all(Array.from({ length: 64 }, writer))
      return { count: 64 * perWriter }
    }
  },
  {
    name: 'get',
    unit: 'gets',
    async run({ store, keys, random }) {
      const count = Math.min(300_000, keys * 4)
      for (let i = 0; i < count; i++) {
        const index = random.below(keys)
        const value = store.getSync(keyAt(index))
        check(value?.readUInt32BE(0) === index, 'a wrong value')
      }
      return { count }
    }
  },
  {
    name: 'get, absent key',
    unit: 'gets',
    async run({ store, keys, random }) {
      const count = Math.min(300_000, keys * 4)
      for (let i = 0; i < count; i++) {
        const key = keyAt(random.below(keys))
        key[8] = 1
        check(store.getSync(key) === undefined, 'a key that was never put')
      }
      return { count }
    }
  },
  {
    name: 'full scan',
    unit: 'entries',
    run: async ({ store, keys }) => scan(store, keys, false)
  },
  {
    name: 'full scan, backwards',
    unit: 'entries',
    run: async ({ store, keys }) => scan(store, keys, true)
  },
  {
    name: 'seek and 10 entries',
    unit: 'seeks',
    async run({ store, keys, random }) {
      const count = Math.min(20_000, keys)
      for (let i = 0; i < count; i++) {
        let found = 0
        for await (const _ of store.entries({ gte: keyAt(random.below(keys)), limit: 10 })) found++
        check(found > 0, 'nothing from a key that is there')
      }
      return { count }
    }
  }
]

async function scan(store: Store, keys: number, reverse: boolean): Promise<{ count: number }> {
  let count = 0
  for await (const _ of store.entries({ reverse })) count++
  check(count === keys, `${count} of ${keys} entries`)
  return { count }
}

/** Runs every case on a fresh store at `path`, one after the other, and reports between them. */
export async function measureAll(
  path: string,
  keys: number,
  options: OpenOptions,
  signal: AbortSignal,
  report: (done: number, total: number) => void
): Promise<Measurement[]> {
  const measurements: Measurement[] = []
  const steps = cases.length + 1
  const store = await open(path, { ...options, errorIfExists: true })
  try {
    const run = { store, keys, random: new SeededRandom(1) }
    for (const workload of cases) {
      const { name, unit } = workload
      signal.throwIfAborted()
      report(measurements.length, steps)
      const startMs = performance.now()
      const { count, eachMs } = await workload.run(run)
      const elapsedMs = performance.now() - startMs
      const p99Us = eachMs && eachMs.toSorted()[Math.floor(eachMs.length * 0.99)] * 1000
      measurements.push({
        name,
        unit,
        perSecond: (count / elapsedMs) * 1000,
        elapsedMs,
        ...(p99Us !== undefined && { p99Us })
      })
    }
  } finally {
    await store.close()
  }
  report(measurements.length, steps)
  measurements.push(await measureOpen(path, options))
  return measurements
}

async function measureOpen(path: string, options: OpenOptions): Promise<Measurement> {
  const rounds = 5
  let elapsedMs = 0
  for (let i = 0; i < rounds; i++) {
    const startMs = performance.now()
    const store = await open(path, { ...options, createIfMissing: false })
    elapsedMs += performance.now() - startMs
    await store.close()
  }
  return {
    name: 'open after clean close',
    unit: 'opens',
    perSecond: (rounds / elapsedMs) * 1000,
    elapsedMs
  }
}
