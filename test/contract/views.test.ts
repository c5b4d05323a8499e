import { describe, expect, it } from 'vitest'
import type { ReadView } from '../../dist/backend/backend.js'
import { SeededRandom } from '../../dist/base/random.js'
import type { Entries } from '../model/reference.js'
import { bytesOf } from '../model/reference.js'
import { clear, del, expectShows, Modelled, put, randomOperations } from './harness.js'

const universe = Array.from({ length: 60 }, (_, i) => `key${i}`)

describe('a view', () => {
  it.each([1, 2, 3])(
    'stays as it was through many persists and compactions (seed %i)',
    async (seed) => {
      const random = new SeededRandom(seed)
      const modelled = await Modelled.create()
      const views: { view: ReadView; entries: Entries }[] = []
      for (let i = 0; i < 500; i++) {
        modelled.apply(...randomOperations(random))
        if (random.chance(1, 12)) await modelled.persist()
        if (random.chance(1, 50)) await modelled.compact()
        if (random.chance(1, 50)) await modelled.compact({ gte: 'key2', lt: 'key5' })
        if (random.chance(1, 15)) {
          const view = modelled.backend.readView()
          expect(view.seq).toBe(modelled.seq)
          views.push({ view, entries: new Map(modelled.entries) })
        }
        // Neither the oldest nor the newest first.
        if (views.length > 8) {
          const [{ view, entries }] = views.splice(random.below(views.length), 1) as [
            (typeof views)[0]
          ]
          await expectShows(view, entries, universe)
        }
      }
      for (const { view, entries } of views) await expectShows(view, entries, universe)
      await modelled.expectContents(universe)
      const again = await modelled.reopened()
      await again.expectContents(universe)
      await again.close()
      await modelled.close()
    }
  )

  it('of nothing stays empty', async () => {
    const modelled = await Modelled.create()
    const view = modelled.backend.readView()
    expect(view.seq).toBe(0)
    for (let round = 0; round < 4; round++) {
      modelled.apply(...universe.map((key) => put(key, 'v'.repeat(100 * round))))
      await modelled.persist()
    }
    await modelled.compact()
    await expectShows(view, new Map(), universe)
    await modelled.close()
  })

  it('shows each of many versions of one key to whoever saw it', async () => {
    const modelled = await Modelled.create()
    const views: ReadView[] = []
    for (let i = 0; i < 200; i++) {
      // Every tenth version is a removal, by one way or the other.
      if (i % 20 === 9) modelled.apply(del('hot'))
      else if (i % 20 === 19) modelled.apply(clear({ gte: 'h', lt: 'i' }))
      else modelled.apply(put('hot', `${i};`.repeat(i % 3 === 0 ? 500 : 20)))
      views.push(modelled.backend.readView())
      if (i % 30 === 29) await modelled.persist()
      if (i === 120) await modelled.compact()
    }
    for (const [i, view] of views.entries()) {
      const shown = view.getSync(bytesOf('hot'))
      const expected = i % 10 === 9 ? undefined : `${i};`.repeat(i % 3 === 0 ? 500 : 20)
      expect(shown?.toString()).toBe(expected)
      expect(view.tryGetMany([bytesOf('hot'), bytesOf('cold')])[1] ?? undefined).toBeUndefined()
      view.close()
    }
    await modelled.close()
  })

  it('is unmoved by what comes in while a persist or a compaction is under way', async () => {
    const modelled = await Modelled.create()
    for (let i = 0; i < 60; i++) modelled.apply(put(`key${i}`, 'old'.repeat(100)))
    for (let round = 0; round < 6; round++) {
      const entries = new Map(modelled.entries)
      const view = modelled.backend.readView()
      const work = round % 2 === 0 ? modelled.persist() : modelled.compact()
      for (let i = 0; i < 30; i++) {
        modelled.apply(put(`key${(i * 7) % 60}`, `${round}`.repeat(200)), del(`key${i}`))
      }
      modelled.apply(clear({ gt: 'key4' }), put('key50', 'new'))
      await work
      await expectShows(view, entries, universe)
      await modelled.expectContents(universe)
    }
    await modelled.close()
  })
})
