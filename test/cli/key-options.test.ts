import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeParts } from '../../dist/cli/composite-key.js'
import { parseKey, parseRange, showKey } from '../../dist/cli/key-options.js'

interface Range {
  readonly gt?: Uint8Array
  readonly gte?: Uint8Array
  readonly lt?: Uint8Array
  readonly lte?: Uint8Array
}

function contains({ gt, gte, lt, lte }: Range, key: Buffer): boolean {
  return (
    (gt === undefined || Buffer.compare(key, gt) > 0) &&
    (gte === undefined || Buffer.compare(key, gte) >= 0) &&
    (lt === undefined || Buffer.compare(key, lt) < 0) &&
    (lte === undefined || Buffer.compare(key, lte) <= 0)
  )
}

const bytes = fc
  .array(fc.constantFrom(0, 1, 0x61, 0xfe, 0xff), { maxLength: 4 })
  .map((given) => Buffer.from(given))

describe('ranges of the command line', () => {
  test('by prefix hold exactly the keys that start with it, within the bounds given', () => {
    const bound = fc.constantFrom('gt', 'gte', 'lt', 'lte')
    const property = fc.property(bytes, bytes, bound, bytes, (prefix, key, name, limit) => {
      const hex = { keyEncoding: 'hex', prefix: prefix.toString('hex') } as const
      const starts = key.subarray(0, prefix.length).equals(prefix)
      expect(contains(parseRange(hex), key)).toBe(starts)
      const narrowed = parseRange({ ...hex, [name]: limit.toString('hex') })
      expect(contains(narrowed, key)).toBe(starts && contains({ [name]: limit }, key))
    })
    fc.assert(property, { numRuns: 5000 })
  })

  test('by parts hold exactly the keys whose first parts these are', () => {
    const parts = fc.array(bytes, { minLength: 2, maxLength: 3 })
    const property = fc.property(parts, bytes, (given, first) => {
      const range = parseRange({ keyEncoding: 'hex', parts: true, prefix: first.toString('hex') })
      expect(contains(range, encodeParts(given))).toBe(given[0].equals(first))
    })
    fc.assert(property, { numRuns: 3000 })
  })
})

describe('keys of the command line', () => {
  test('of several parts take commas inside quotes, and are shown the same way', () => {
    const options = { keyEncoding: 'utf8', parts: true } as const
    const key = parseKey('a,"b,c","d""e",', options)
    expect(key.toString()).toBe('a\0b,c\0d"e\0')
    expect(showKey(key, options)).toBe('a,"b,c","d""e",')
  })
})
