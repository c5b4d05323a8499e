import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { Compactor } from '../../../../dist/backends/lsm/compaction/compactor.js'
import { tableName } from '../../../../dist/backends/lsm/table-meta.js'
import { SeededRandom } from '../../../../dist/base/random.js'
import { KintsugiError } from '../../../../dist/errors.js'
import { turn } from '../../../helpers/test-clock.js'
import { ToyLevels, toyOptions } from './toy-levels.js'

const everything = { low: Buffer.alloc(0), high: undefined }
const quiet = { report: () => {}, signal: undefined }

const key = (n: number) => `k${String(n).padStart(5, '0')}`

function randomKeys(random: SeededRandom, bound: number): string[] {
  const from = random.chance(1, 2) ? 0 : random.below(bound)
  const width = random.chance(1, 2) ? bound : 1 + random.below(60)
  const count = 1 + random.below(32)
  return Array.from({ length: count }, () => key(from + random.below(width)))
}

describe('the compactor', () => {
  it('keeps newer versions above older ones, whatever runs at the same time', async () => {
    for (let seed = 1; seed <= 16; seed++) {
      const random = new SeededRandom(seed)
      const toy = new ToyLevels(seed)
      const maxBackgroundJobs = 1 + random.below(3)
      const compactor = new Compactor(toy, { ...toyOptions, maxBackgroundJobs })
      const asked: Promise<unknown>[] = []
      for (let i = 0; i < 120; i++) {
        toy.flush(randomKeys(random, 600))
        compactor.poke()
        for (let left = random.below(4); left > 0; left--) await turn()
        if (random.chance(1, 40)) {
          const low = Buffer.from(key(random.below(600)))
          const span = { low, high: Buffer.from('l') }
          asked.push(
            compactor
              .compact(span, quiet)
              .catch((error) => expect(error.message).toBe(`seed ${seed}`))
          )
        }
        if (random.chance(1, 30)) {
          let struck = false
          toy.failure = () => (struck ? undefined : ((struck = true), new Error(`seed ${seed}`)))
          toy.clock.advance(60_000)
        }
      }
      toy.failure = undefined
      await Promise.all(asked)
      toy.clock.advance(60_000)
      await compactor.idle()
      toy.check()
      expect(toy.levels[0].length, `seed ${seed}`).toBeLessThan(toyOptions.compactionThreshold)
      expect(toy.mostRunning).toBeLessThanOrEqual(maxBackgroundJobs + asked.length)
      await compactor.close()
    }
  })

  it('moves tables that overlap nothing instead of merging them', async () => {
    const toy = new ToyLevels(1)
    const compactor = new Compactor(toy, toyOptions)
    for (let i = 0; i < 40; i++) toy.flush(Array.from({ length: 16 }, (_, j) => key(i * 100 + j)))
    await compactor.idle()
    expect(toy.done).toEqual([])
    expect(compactor.stats().compactionMoves).toBeGreaterThan(20)
    expect(toy.levels[4].length).toBeGreaterThan(30)
  })

  it('waits longer from failure to failure, and keeps the inputs', async () => {
    const toy = new ToyLevels(1)
    const compactor = new Compactor(toy, toyOptions)
    toy.failure = () => new Error('no')
    for (let i = 0; i < 3; i++) toy.flush([key(1), key(5)])
    compactor.poke()
    for (let i = 0; i < 9; i++) {
      await toy.clock.run(100)
      expect(toy.failures).toHaveLength(i + 1)
      toy.clock.advance(toy.failures.at(-1)!.retryInMs)
    }
    await toy.clock.run(100)
    const waits = toy.failures.map(({ retryInMs }) => retryInMs / 1000)
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60, 60])
    expect(toy.discarded).toBe(10)
    expect(toy.levels[0]).toHaveLength(3)
    toy.failure = undefined
    await toy.clock.run(60_000, 10_000)
    await compactor.idle()
    expect(toy.levels[0]).toHaveLength(0)
    expect(toy.done).toHaveLength(1)
  })

  it('goes on without a table that cannot be read, and never moves what is newer below it', async () => {
    const toy = new ToyLevels(1)
    const compactor = new Compactor(toy, toyOptions)
    const bad = toy.flush([key(1), key(5)])
    toy.flush([key(5), key(9)])
    toy.failure = ({ runs }) => {
      if (!runs.flat().some(({ number }) => number === bad.number)) return undefined
      const facts = { path: `/lsm/${tableName(bad.number)}` }
      return new KintsugiError('KINTSUGI_CORRUPTION', 'damaged', facts)
    }
    compactor.poke()
    await toy.clock.run(2000, 100)
    expect(toy.failures).toHaveLength(1)
    expect(compactor.stats().compactionTablesSetAside).toBe(1)
    for (let i = 0; i < 4; i++) toy.flush([key(20), key(30)])
    await compactor.idle()
    expect(toy.levels[0].map(({ number }) => number)).toEqual([2, 1])
    expect(toy.levels[4]).toHaveLength(1)
    await compactor.compact(everything, quiet)
    expect(toy.levels[0]).toHaveLength(2)
  })

  it('stops writes only while a compaction can help', async () => {
    const toy = new ToyLevels(1)
    const compactor = new Compactor(toy, toyOptions)
    const levels = () => compactor.pressure()
    for (let i = 0; i < 5; i++) toy.flush([key(1)])
    expect(levels()).toBe('none')
    toy.flush([key(1)])
    expect(levels()).toBe('slowdown')
    for (let i = 0; i < 6; i++) toy.flush([key(1)])
    expect(levels()).toBe('stop')
    toy.failure = () => new Error('no')
    compactor.poke()
    expect(levels()).toBe('stop')
    await toy.clock.run(100)
    expect(levels()).toBe('slowdown')
    const asleep = new Compactor(toy, { ...toyOptions, maxBackgroundJobs: 0 })
    asleep.poke()
    expect(asleep.pressure()).toBe('none')
    expect(asleep.stats().compactionsRunning).toBe(0)
  })

  it('brings a range to the bottom when asked, and reports how far it is', async () => {
    const toy = new ToyLevels(3)
    const compactor = new Compactor(toy, { ...toyOptions, maxBackgroundJobs: 0 })
    const random = new SeededRandom(3)
    for (let i = 0; i < 100; i++) {
      toy.flush(Array.from({ length: 30 }, () => key(random.below(3000))))
      if (i % 10 === 9) await compactor.compact(everything, quiet, 0)
    }
    expect(toy.levels[0]).toHaveLength(0)
    const steps: number[] = []
    const report = (done: number) => void steps.push(done)
    await compactor.compact(everything, { report, signal: undefined })
    expect(steps.length).toBeGreaterThan(0)
    expect(toy.levels.slice(0, -1).flat()).toEqual([])
    const held = toy.levels.at(-1)!.flatMap(({ number }) => [...toy.contents.get(number)!.keys()])
    expect(held).toEqual([...toy.newest.keys()].sort())
  })

  it('ends by the signal and by close, and settles everything', async () => {
    const toy = new ToyLevels(1)
    const compactor = new Compactor(toy, toyOptions)
    for (let i = 0; i < 3; i++) toy.flush([key(1), key(2)])
    const ending = new AbortController()
    const asked = compactor.compact(everything, { report: () => {}, signal: ending.signal })
    ending.abort()
    await expect(asked).rejects.toMatchObject({ code: 'KINTSUGI_ABORTED' })
    compactor.poke()
    const again = compactor.compact(everything, quiet)
    const closed = compactor.close()
    await expect(again).rejects.toMatchObject({ code: 'KINTSUGI_ABORTED' })
    await closed
    expect(toy.levels[0]).toHaveLength(3)
    expect(toy.failures).toEqual([])
    compactor.poke()
    expect(compactor.stats().compactionsRunning).toBe(0)
  })

  it('keeps the process alive while somebody waits, and not longer', async () => {
    // Its own alone: others of the process come and go as they like.
    const started = vi.spyOn(globalThis, 'setInterval')
    const stopped = vi.spyOn(globalThis, 'clearInterval')
    onTestFinished(() => {
      started.mockRestore()
      stopped.mockRestore()
    })
    const isRunning = (timer: NodeJS.Timeout) =>
      timer.hasRef() && !stopped.mock.calls.some(([other]) => other === timer)
    const timers = () => started.mock.results.filter(({ value }) => isRunning(value)).length
    const toy = new ToyLevels(1)
    const compactor = new Compactor(toy, toyOptions)
    const before = timers()
    for (let i = 0; i < 3; i++) toy.flush([key(1), key(2)])
    compactor.poke()
    expect(timers()).toBe(before)
    const asked = compactor.compact(everything, quiet)
    expect(timers()).toBe(before + 1)
    await asked
    expect(timers()).toBe(before)
    for (let i = 0; i < 12; i++) toy.flush([key(1), key(2)])
    compactor.poke()
    expect(timers()).toBe(before + 1)
    await compactor.idle()
    expect(timers()).toBe(before)
    await compactor.close()
  })
})
