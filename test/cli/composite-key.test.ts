import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeParts, encodeParts, encodePartsPrefix } from '../../dist/cli/composite-key.js'

// Mostly the bytes that matter: separator, escapes, and their neighbours.
const part = fc
  .array(fc.constantFrom(0, 1, 2, 3, 0x61, 0xff), { maxLength: 5 })
  .map((bytes) => Buffer.from(bytes))
const parts = fc.array(part, { minLength: 2, maxLength: 4 })

function compareParts(a: Buffer[], b: Buffer[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = Buffer.compare(a[i], b[i])
    if (order !== 0) return order
  }
  return Math.sign(a.length - b.length)
}

describe('keys of several parts', () => {
  test('read as the parts with zero bytes between them', () => {
    const key = encodeParts([Buffer.from('2B'), Buffer.from('AER'), Buffer.from('KZN')])
    expect(key.toString('latin1')).toBe('2B\0AER\0KZN')
    expect(encodeParts([Buffer.from([0, 1]), Buffer.from([2])]).toString('hex')).toBe(
      '010101020002'
    )
  })

  test('of one part are that part, whatever bytes it has', () => {
    expect(encodeParts([Buffer.from([0, 1, 2])]).toString('hex')).toBe('000102')
  })

  test('can be taken apart again', () => {
    fc.assert(
      fc.property(parts, (given) => {
        expect(decodeParts(encodeParts(given))).toEqual(given)
      }),
      { numRuns: 3000 }
    )
  })

  test('order as their parts do', () => {
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        const order = Math.sign(Buffer.compare(encodeParts(a), encodeParts(b)))
        expect(order).toBe(compareParts(a, b))
      }),
      { numRuns: 5000 }
    )
  })

  test('share a prefix exactly when their first parts are equal', () => {
    fc.assert(
      fc.property(parts, part, (given, first) => {
        const key = encodeParts(given)
        const prefix = encodePartsPrefix([first])
        const starts = key.subarray(0, prefix.length).equals(prefix)
        expect(starts).toBe(given[0].equals(first))
      }),
      { numRuns: 3000 }
    )
  })

  test('that are malformed are told', () => {
    expect(decodeParts(Buffer.from([1]))).toBeUndefined()
    expect(decodeParts(Buffer.from([0x61, 1, 3]))).toBeUndefined()
  })
})
