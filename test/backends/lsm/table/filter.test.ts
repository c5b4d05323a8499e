import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { Filter, FilterBuilder } from '../../../../dist/backends/lsm/table/filter.js'
import { mix } from '../../../../dist/base/random.js'

function build(count: number): Buffer | undefined {
  const builder = new FilterBuilder()
  for (let i = 0; i < count; i++) builder.add(mix(2 * i), mix(2 * i + 1))
  return builder.finish()
}

function decoded(bytes: Buffer | undefined): Filter {
  const filter = Filter.decode(bytes!)
  if (typeof filter === 'string') throw new Error(filter)
  return filter
}

describe('a filter', () => {
  it('never denies a key that is there, for any number of keys', () => {
    const counts = [...Array.from({ length: 130 }, (_, i) => i + 1), 1000, 4097, 30_000, 200_000]
    for (const count of counts) {
      const filter = decoded(build(count))
      for (let i = 0; i < count; i++) {
        if (!filter.mayHold(mix(2 * i), mix(2 * i + 1))) throw new Error(`${i} of ${count}`)
      }
    }
  })

  it('lets through fewer than one in 150 keys that are not there, at about nine bits a key', () => {
    const count = 200_000
    const bytes = build(count)!
    const filter = decoded(bytes)
    let passed = 0
    for (let i = count; i < 2 * count; i++) {
      if (filter.mayHold(mix(2 * i), mix(2 * i + 1))) passed++
    }
    expect(passed / count).toBeLessThan(1 / 150)
    expect((bytes.length * 8) / count).toBeLessThan(9.6)
  })

  it('is left out where two keys have the same hash', () => {
    const builder = new FilterBuilder()
    for (let i = 0; i < 100; i++) builder.add(mix(i), mix(-i))
    builder.add(mix(5), mix(-5))
    expect(builder.finish()).toBeUndefined()
  })

  it('is told from other bytes, whatever they are', () => {
    const whole = build(50)!
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(19), (bytes, at) => {
        const answer = Filter.decode(Buffer.from(bytes))
        if (typeof answer !== 'string') answer.mayHold(-1, -1)
        const changed = Buffer.from(whole)
        changed[at] ^= bytes[0] ?? 1
        const other = Filter.decode(changed)
        if (typeof other !== 'string') other.mayHold(-1, -1)
      })
    )
    expect(Filter.decode(whole.subarray(0, -1))).toBeTypeOf('string')
  })
})
