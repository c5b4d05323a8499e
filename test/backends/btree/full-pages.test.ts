import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../../dist/base/random.js'
import { Pair } from './tree-harness.js'

const silent = { report: () => undefined, signal: undefined }

describe('full pages', () => {
  /*
   * The story: a full leaf gave entries to its sibling, which moved the boundary so that the key
   * belonged to the sibling, which was full then and gave entries back, for ever.
   */
  it('make room in the end where large and small values meet at a boundary', async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = new SeededRandom(seed)
      const pair = await Pair.create({ pageBytes: 4096 })
      const most = [400, 800, 1500][seed % 3]
      for (let i = 0; i < 150; i++) {
        const key = `k${random.below(5000)}${'y'.repeat(random.below(40))}`
        await pair.put(key, Buffer.alloc(random.below(most), 1))
      }
      await pair.check()
      await pair.backend.close()
    }
  })

  /*
   * The story: keys with 90 bytes in common made the page's prefix longer than what stands in the
   * page of a long key; put between them, it made a page that could not be read again.
   */
  it('take long keys between others that share more than the long ones show', async () => {
    for (const order of ['between', 'first', 'random']) {
      const random = new SeededRandom(7)
      const pair = await Pair.create({ pageBytes: 4096 })
      const keyOf = (i: number, isLong: boolean) =>
        `${'p'.repeat(90)}${String(i).padStart(4, '0')}${isLong ? 'x'.repeat(2500) : ''}`
      const long = Array.from({ length: 12 }, (_, i) => keyOf(i * 10 + 5, true))
      const short = Array.from({ length: 120 }, (_, i) => keyOf(i, false))
      const keys = order === 'first' ? [...long, ...short] : [...short, ...long]
      if (order === 'random') keys.sort(() => random.below(2) - 0.5)
      for (const key of keys) await pair.put(key, 'value')
      await pair.check()
      expect(await pair.backend.verify('comprehensive', silent)).toEqual([])
      await pair.reopen()
      await pair.check()
      for (let i = 0; i < 60; i++) {
        await pair.apply([{ type: 'del', key: Buffer.from(short[2 * i]) }])
      }
      await pair.check()
      expect(await pair.backend.verify('comprehensive', silent)).toEqual([])
      await pair.backend.close()
    }
  })
})
