import { describe, expect, test } from 'vitest'
import { batchBytes, writeBatch, type BatchOperation } from '../../../dist/batch/batch.js'
import { SeededRandom } from '../../../dist/base/random.js'
import { Pair } from './tree-harness.js'

const keyCount = 3000
/** Memory that batches stand in one behind the other, as in the log, used again and again. */
const stagedBytes = 64 * 1024

const keyOf = (i: number): Buffer => Buffer.from(`key ${String(i).padStart(6, '0')}`)

interface Prepared {
  readonly operations: readonly BatchOperation[]
  readonly start: number
  readonly end: number
}

/** Prepares batches while others that were prepared before wait to be applied. */
class Ahead {
  readonly #pair: Pair
  readonly #random: SeededRandom
  readonly #staged = Buffer.alloc(stagedBytes)
  readonly waiting: Prepared[] = []
  #end = 0

  constructor(pair: Pair, random: SeededRandom) {
    this.#pair = pair
    this.#random = random
  }

  async prepare(operations: readonly BatchOperation[]): Promise<void> {
    const bytes = batchBytes(operations)
    if (this.#end + bytes > stagedBytes) {
      this.applyAll()
      this.#end = 0
    }
    const start = this.#end
    this.#end = start + bytes
    writeBatch(this.#staged, start, operations)
    const { backend } = this.#pair
    if (!backend.tryPrepare(this.#staged, start, this.#end)) {
      await backend.prepare(this.#staged, start, this.#end)
    }
    this.waiting.push({ operations, start, end: this.#end })
  }

  apply(): void {
    const next = this.waiting.shift()
    if (next === undefined) return
    const pair = this.#pair
    pair.backend.apply(this.#staged, next.start, next.end, ++pair.seq)
    for (const operation of next.operations) pair.model.apply(operation)
  }

  applyAll(): void {
    while (this.waiting.length > 0) this.apply()
  }

  operations(): BatchOperation[] {
    const random = this.#random
    return Array.from({ length: 1 + random.below(40) }, (): BatchOperation => {
      const at = random.below(keyCount)
      const kind = random.below(100)
      if (kind < 3) {
        const width = random.below(2) === 0 ? 20 : 800
        return { type: 'clear', range: { gte: keyOf(at), lt: keyOf(at + random.below(width)) } }
      }
      if (kind < 25) return { type: 'del', key: keyOf(at) }
      return { type: 'put', key: keyOf(at), value: Buffer.alloc(random.below(200), kind) }
    })
  }
}

describe('batches prepared ahead', () => {
  test.each([1, 2, 3, 4])(
    'are applied as if each had been prepared last, whatever happens between (seed %i)',
    async (seed) => {
      const random = new SeededRandom(seed)
      const pair = await Pair.create()
      const ahead = new Ahead(pair, random)
      const views: { close(): void }[] = []
      for (let step = 0; step < 3000; step++) {
        const action = random.below(100)
        if (action < 45) await ahead.prepare(ahead.operations())
        else if (action < 92) ahead.apply()
        else if (action < 95) views.push(pair.backend.readView())
        else if (action < 98) views.splice(random.below(views.length + 1), 1)[0]?.close()
        else if (action === 98) await pair.persist()
        else {
          ahead.applyAll()
          await pair.check()
        }
      }
      ahead.applyAll()
      for (const view of views) view.close()
      await pair.check()
      await pair.backend.close()
    }
  )

  test('find their way when the leaf that they were prepared for was cut off with a range', async () => {
    const pair = await Pair.create()
    const ahead = new Ahead(pair, new SeededRandom(5))
    const puts = (value: string): BatchOperation[] =>
      Array.from({ length: 1000 }, (_, i) => {
        return { type: 'put', key: keyOf(i), value: Buffer.from(value) } as const
      })
    await ahead.prepare(puts('before, and long enough for many leaves'))
    ahead.apply()
    // In one batch, so that nothing was reclaimed yet.
    await ahead.prepare([
      { type: 'clear', range: { gte: keyOf(100), lt: keyOf(900) } },
      { type: 'put', key: keyOf(500), value: Buffer.from('after') }
    ])
    ahead.applyAll()
    expect(pair.backend.getSync(keyOf(500))).toEqual(Buffer.from('after'))
    await pair.check()
    await pair.backend.close()
  })
})
