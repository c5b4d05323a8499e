// Cells about a store's life: opening after a clean close and after SIGKILL, and what a sustained
// stream of writes does to the event loop.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Chunk, checkVersions, permutation } from '../lib/data.mjs'
import { median, nextTurn } from '../lib/measure.mjs'

const OPENINGS = 5
const LOOP_TIME_MS = 3000
const UNPERSISTED_BATCH = 100

async function firstRead(store, chunk, high) {
  const { keys, numbers } = chunk
  const value = store.getSync ? store.getSync(keys[0]) : await store.get(keys[0])
  checkVersions(value, numbers[0], 0, high)
}

/** Open plus one read, so that nobody wins by postponing the work. */
async function openClean(context) {
  const chunk = new Chunk(1)
  const times = []
  const random = context.random(43)
  for (let i = 0; i < OPENINGS; i++) {
    chunk.setKey(0, random.below(context.count) * 2)
    const from = performance.now()
    const store = await context.openFixture('os')
    await firstRead(store, chunk, 0)
    times.push(performance.now() - from)
    await store.close()
  }
  return { openMs: median(times) }
}

/** How many records are overwritten before the kill; small enough for nobody to have persisted. */
function recordsBeforeKill(context) {
  return Math.floor(context.count / 5)
}

/** Overwrites, unsynced, and dies. The process that measures comes next. */
async function writeAndDie(context) {
  const store = await context.openFixture('os')
  const order = permutation(context.count, 47)
  const chunk = new Chunk(UNPERSISTED_BATCH)
  const records = recordsBeforeKill(context)
  for (let at = 0; at + chunk.size <= records; at += chunk.size) {
    for (let i = 0; i < chunk.size; i++) chunk.set(i, order[at + i] * 2, 1)
    const pending = store.writeBatch(chunk.keys, chunk.values)
    if (pending !== undefined) await pending
  }
  process.kill(process.pid, 'SIGKILL')
  await new Promise(() => {})
}

async function openAfterKill(context) {
  const order = permutation(context.count, 47)
  const chunk = new Chunk(1)
  const records = recordsBeforeKill(context)
  chunk.setKey(0, order[0] * 2)
  const from = performance.now()
  const store = await context.openFixture('os')
  await firstRead(store, chunk, 1)
  const openMs = performance.now() - from
  for (let at = 0; at + UNPERSISTED_BATCH <= records; at++) {
    chunk.setKey(0, order[at] * 2)
    const value = store.getSync ? store.getSync(chunk.keys[0]) : await store.get(chunk.keys[0])
    checkVersions(value, order[at] * 2, 1, 1)
  }
  await store.close()
  return { openMs, recordsPerSecond: (records / openMs) * 1000 }
}

/** Waves of 100 random unsynced puts, one event-loop turn between them. */
async function eventLoop(context) {
  const store = await context.openFixture('os')
  const order = permutation(context.count, 53)
  const chunk = new Chunk(100)
  let at = 0
  let version = 1
  const wave = async () => {
    for (let i = 0; i < chunk.size; i++) {
      chunk.set(i, order[at] * 2, version)
      at += 1
      if (at === order.length) {
        at = 0
        version += 1
      }
    }
    const put = store.concurrentPut
    return Promise.all(chunk.keys.map((key, i) => store[put](key, chunk.values[i])))
  }
  const warmUntil = performance.now() + 500
  while (performance.now() < warmUntil) {
    await wave()
    await nextTurn()
  }
  const histogram = monitorEventLoopDelay({ resolution: 1 })
  let writes = 0
  histogram.enable()
  const from = performance.now()
  while (performance.now() - from < LOOP_TIME_MS) {
    await wave()
    writes += chunk.size
    await nextTurn()
  }
  const elapsedMs = performance.now() - from
  histogram.disable()
  await store.close()
  return {
    p99Ms: histogram.percentile(99) / 1e6,
    maxMs: histogram.max / 1e6,
    perSecond: (writes / elapsedMs) * 1000
  }
}

export const lifecycleCells = {
  'open-clean': { fixture: 'copy', run: openClean },
  'open-kill': { needs: ['writeBatch'], fixture: 'copy', before: writeAndDie, run: openAfterKill },
  'event-loop': { fixture: 'copy', run: eventLoop }
}
