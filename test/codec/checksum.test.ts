import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Checksum } from '../../dist/codec/checksum.js'

const checksum = await Checksum.create()

function hashOf(bytes: Uint8Array, seedLow = 0, seedHigh = 0): bigint {
  checksum.hash(bytes, seedLow, seedHigh)
  return (BigInt(checksum.high) << 32n) | BigInt(checksum.low)
}

describe('the checksum', () => {
  it('is XXH64, as published', () => {
    expect(hashOf(Buffer.alloc(0))).toBe(0xef46db3751d8e999n)
    expect(hashOf(Buffer.from('abc'))).toBe(0x44bc2cf5ad770999n)
  })

  it('differs with any bit of the bytes and of the seed', () => {
    const bits = fc.nat(63)
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 300 }), bits, bits, (bytes, at, of) => {
        const before = hashOf(bytes, 5, 9)
        expect(
          hashOf(
            bytes,
            (5 ^ (of < 32 ? 1 << of : 0)) >>> 0,
            (9 ^ (of < 32 ? 0 : 1 << (of - 32))) >>> 0
          )
        ).not.toBe(before)
        bytes[at >> 3] ^= 1 << (at & 7)
        expect(hashOf(bytes, 5, 9)).not.toBe(before)
      })
    )
  })
})
