// Pieces that several cells share: loading, warming, checking.
import { Chunk, checkValue, permutation } from './data.mjs'
import { Meter } from './measure.mjs'

/** Loads every key once, version 0, in random order, in batches of 1000. */
export async function loadRandom(store, count) {
  const order = permutation(count, 3)
  const chunk = new Chunk(Math.min(1000, count))
  const meter = new Meter({ operationsMax: count, timeMaxMs: Infinity })
  for (let at = 0; at + chunk.size <= count; at += chunk.size) {
    for (let i = 0; i < chunk.size; i++) chunk.set(i, order[at + i] * 2, 0)
    const from = performance.now()
    const pending = store.writeBatch(chunk.keys, chunk.values)
    if (pending !== undefined) await pending
    meter.add(chunk.size, performance.now() - from)
  }
  return meter
}

/** Up to 2,000 of what was written, read back by whatever read the store has. */
export async function verifySample(store, written) {
  const step = Math.max(1, Math.floor(written.size / 2000))
  const chunk = new Chunk(1)
  let at = 0
  for (const [number, version] of written) {
    if (at++ % step !== 0) continue
    chunk.setKey(0, number)
    const value = store.getSync ? store.getSync(chunk.keys[0]) : await store.get(chunk.keys[0])
    checkValue(value, number, version)
  }
}

/** Brings the whole store into memory, as a full scan that fills the caches. */
export async function warm(store, count) {
  let seen = 0
  const pending = store.scan({}, () => {
    seen += 1
  })
  if (pending !== undefined) await pending
  if (seen !== count) throw new Error(`the store has ${seen} entries instead of ${count}`)
}
