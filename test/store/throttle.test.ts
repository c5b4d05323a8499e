import { describe, expect, it } from 'vitest'
import type { Backend, Pressure } from '../../dist/backend/backend.js'
import type { CommitQueue } from '../../dist/store/commit-queue.js'
import { Throttle } from '../../dist/store/throttle.js'
import { Telemetry } from '../../dist/telemetry/telemetry.js'
import { TestClock } from '../helpers/test-clock.js'

function throttled() {
  const clock = new TestClock()
  const telemetry = new Telemetry('/store')
  const backend = { pressure: 'none' as Pressure, dirtyBytes: 5 }
  const held = new Set<string>()
  const queue = {
    hold: (reason: string, isHeld: boolean) => (isHeld ? held.add(reason) : held.delete(reason))
  }
  const events: unknown[] = []
  telemetry.events.on('slowdown', () => events.push('slowdown'))
  telemetry.events.on('slowdown-end', ({ durationMs }) => events.push(['slowdown-end', durationMs]))
  telemetry.events.on('stall', ({ reason }) => events.push(['stall', reason]))
  telemetry.events.on('stall-end', () => events.push('stall-end'))
  const throttle = new Throttle({
    backend: backend as unknown as Backend,
    queue: queue as unknown as CommitQueue,
    clock,
    telemetry
  })
  return { clock, telemetry, backend, held, events, throttle }
}

describe('a throttle', () => {
  it('lets everything through while nothing lags', () => {
    const { held, events, throttle } = throttled()
    for (let bytes = 0; bytes < 10; bytes++) throttle.check(bytes * 1_000_000)
    expect([...held]).toEqual([])
    expect(events).toEqual([])
  })

  it('pauses after each group for as long as its bytes take at the slow rate', async () => {
    const { clock, backend, held, events, throttle } = throttled()
    throttle.check(100_000)
    backend.pressure = 'slowdown'
    throttle.check(100_000 + 64 * 1024)
    expect([...held]).toEqual(['slowdown'])
    await clock.run(3, 3)
    expect([...held]).toEqual(['slowdown'])
    await clock.run(1, 1)
    expect([...held]).toEqual([])
    // Nothing written, nothing to pay for.
    throttle.check(100_000 + 64 * 1024)
    expect([...held]).toEqual([])
    expect(events).toEqual(['slowdown'])
  })

  it('stops writes that would lag too far, and tells how long it took', async () => {
    const { clock, telemetry, backend, held, events, throttle } = throttled()
    backend.pressure = 'stop'
    throttle.check(10)
    throttle.check(20)
    expect([...held]).toEqual(['compaction'])
    await clock.run(250, 5)
    backend.pressure = 'slowdown'
    throttle.check(20)
    expect([...held]).toEqual([])
    backend.pressure = 'none'
    throttle.check(20)
    expect(events).toEqual([
      ['stall', 'compaction'],
      'slowdown',
      'stall-end',
      ['slowdown-end', 250]
    ])
    expect(telemetry.counters).toMatchObject({ stalls: 1, stallMs: 250, slowdowns: 1 })
  })

  it('lets everything through when the store closes', () => {
    const { backend, held, throttle } = throttled()
    backend.pressure = 'slowdown'
    throttle.check(0)
    throttle.check(1_000_000)
    backend.pressure = 'stop'
    throttle.check(1_000_000)
    expect([...held].toSorted()).toEqual(['compaction', 'slowdown'])
    throttle.close()
    expect([...held]).toEqual([])
  })
})
