import { describe, expect, it } from 'vitest'
import type { Backend, ReadView } from '../../../dist/backend/backend.js'
import { SeededRandom } from '../../../dist/base/random.js'
import type { BatchOperation } from '../../../dist/batch/batch.js'
import {
  apply,
  clear,
  create,
  del,
  emptyDisk,
  forThisTest,
  persist,
  progress,
  put,
  reopen
} from './level-harness.js'

/** Keys that begin like the engine's own, the empty one included. */
const keys = ['', '\0', '\0applied', '\x01', '\x01\x01', '\x02', 'a', 'b', 'ÿ', 'ÿÿ'].concat(
  Array.from({ length: 50 }, (_, i) => `key${String(i).padStart(2, '0')}`)
)

type Model = ReadonlyMap<string, string>

function next(model: Model, operations: readonly BatchOperation[]): Model {
  const changed = new Map(model)
  for (const operation of operations) {
    if (operation.type === 'put') {
      changed.set(text(operation.key), text(operation.value))
    } else if (operation.type === 'del') changed.delete(text(operation.key))
    else {
      const { gte, lt } = operation.range
      for (const key of [...changed.keys()]) {
        if (key >= text(gte!) && key < text(lt!)) changed.delete(key)
      }
    }
  }
  return changed
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

function randomBatch(random: SeededRandom, i: number): BatchOperation[] {
  return Array.from({ length: 1 + random.below(4) }, (_, j) => {
    const key = random.pick(keys)
    if (random.chance(1, 6)) return del(key)
    if (random.chance(1, 12)) {
      const other = random.pick(keys)
      return key < other ? clear(key, other) : clear(other, key)
    }
    return put(key, `${i}.${j};`.repeat(random.pick([0, 1, 40, 400])))
  })
}

/** Point by point, many at once, and as a range in both directions. */
async function expectView(view: ReadView, model: Model, random: SeededRandom): Promise<void> {
  for (const key of keys) {
    const bytes = Buffer.from(key, 'latin1')
    const expected = model.get(key)
    const tried = view.tryGet(bytes)
    const value = tried === null ? await view.load(bytes) : tried
    expect(value && text(value), key).toBe(expected)
    if (random.chance(1, 4)) expect(view.getSync(bytes)?.toString('latin1')).toBe(expected)
  }
  const wanted = keys.map((key) => Buffer.from(key, 'latin1'))
  const many = view.tryGetMany(wanted)
  await view.loadMany(wanted, many)
  expect(many.map((value) => value && text(value))).toEqual(keys.map((key) => model.get(key)))
  for (const reverse of [false, true]) {
    const expected = [...model].sort(([a], [b]) => (a < b ? -1 : 1))
    expect(await entries(view, reverse)).toEqual(reverse ? expected.reverse() : expected)
  }
}

async function entries(view: ReadView, reverse: boolean): Promise<[string, string][]> {
  const found: [string, string][] = []
  const cursor = view.cursor({ range: {}, reverse, keys: true, values: true })
  for (;;) {
    const chunk = cursor.tryNextChunk(9)
    if (chunk === undefined) break
    if (chunk === null) {
      await cursor.load()
      continue
    }
    const { bytes, bounds, firstBound, count } = chunk
    for (let at = firstBound; at < firstBound + 4 * count; at += 4) {
      const [keyStart, keyEnd, start, end] = bounds.subarray(at, at + 4)
      found.push([bytes.toString('latin1', keyStart, keyEnd), bytes.toString('latin1', start, end)])
    }
  }
  cursor.close()
  return found
}

describe('a level backend beside a model', () => {
  it.each([1, 2, 3, 4])(
    'shows every view its state, opened before, during or after a persist (seed %i)',
    async (seed) => {
      const random = new SeededRandom(seed)
      const disk = emptyDisk()
      const backend = await create(disk.vfs, { memtableBytes: 64 * 1024 })
      let model: Model = new Map()
      const states: Model[] = [model]
      const views: { view: ReadView; model: Model }[] = []
      let persisting: Promise<number> | undefined
      let opened = 0
      for (let i = 1; i <= 250; i++) {
        const batch = randomBatch(random, i)
        model = next(model, batch)
        states.push(model)
        apply(backend, i, ...batch)
        if (random.chance(1, 6)) {
          opened++
          views.push({ view: backend.readView(), model })
        }
        if (persisting === undefined && random.chance(1, 10)) {
          persisting = persist(backend).finally(() => (persisting = undefined))
        }
        // Steps of the persist come between the writes.
        if (random.chance(1, 3)) await new Promise((resolve) => setImmediate(resolve))
        if (random.chance(1, 30))
          await expectView(currentView(backend, views, model), model, random)
        if (views.length > 6) {
          const [{ view, model: then }] = views.splice(random.below(views.length), 1) as [
            (typeof views)[0]
          ]
          await expectView(view, then, random)
          view.close()
        }
        if (random.chance(1, 60)) await backend.compact({}, progress)
      }
      expect(opened).toBeGreaterThan(10)
      for (const { view, model: then } of views) {
        await expectView(view, then, random)
        view.close()
      }
      await persisting
      // A crash of the process: what is durable, and the log from there on.
      const again = await reopen(forThisTest(disk.copy()).vfs)
      const found = again.readView()
      await expectView(found, states[again.durableSeq]!, random)
      found.close()
      expect(await persist(backend)).toBe(250)
      expect(backend.stats().pinnedBytes).toBe(0)
      expect(await backend.verify('comprehensive', progress)).toEqual([])
      await backend.close()
    }
  )
})

function currentView(
  backend: Backend,
  views: { view: ReadView; model: Model }[],
  model: Model
): ReadView {
  const view = backend.readView()
  views.push({ view, model })
  return view
}
