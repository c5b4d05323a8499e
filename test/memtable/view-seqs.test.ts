import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ViewSeqs } from '../../dist/memtable/view-seqs.js'

describe('the numbers of open views', () => {
  it('are those that were opened and not closed, ascending, each once', () => {
    const steps = fc.array(fc.tuple(fc.boolean(), fc.nat({ max: 2 }), fc.nat()), { maxLength: 300 })
    fc.assert(
      fc.property(steps, (drawn) => {
        const views = new ViewSeqs()
        const open: number[] = []
        let seq = 0
        for (const [opens, step, place] of drawn) {
          if (opens || open.length === 0) {
            seq += step
            views.open(seq)
            open.push(seq)
          } else {
            const [closed] = open.splice(place % open.length, 1)
            views.close(closed)
          }
          expect(views.newest).toBe(Math.max(0, ...open))
          expect(views.list()).toEqual([...new Set(open)].toSorted((a, b) => a - b))
        }
      })
    )
  })

  // The newest of them was found by a call with all of them as its arguments, which ended with a
  // RangeError where they were very many, so that a snapshot could not be closed.
  it('may be very many', () => {
    const views = new ViewSeqs()
    for (let seq = 1; seq <= 200_000; seq++) views.open(seq)
    views.close(200_000)
    expect(views.newest).toBe(199_999)
    for (let seq = 1; seq < 199_999; seq++) views.close(seq)
    expect(views.list()).toEqual([199_999])
  })
})
