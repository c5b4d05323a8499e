import { describe, expect, it } from 'vitest'

import { KeyHash } from '../../dist/memtable/key-hash.js'

const storeId = Buffer.from('00112233445566778899aabbccddeeff', 'hex')

function hashOf(hash: KeyHash, key: Uint8Array): string {
  hash.hash(key, 0, key.length)
  return `${hash.high >>> 0}:${hash.low >>> 0}`
}

describe('the hash of keys', () => {
  it('stays what it is, since filters on disk depend on it', () => {
    const hash = new KeyHash(storeId)
    expect(
      ['', 'a', 'key', 'exactly8', 'user:0000000001'].map((key) => hashOf(hash, Buffer.from(key)))
    ).toMatchInlineSnapshot(`
      [
        "3983018342:3916267459",
        "3621771469:3745440132",
        "778624994:3440172174",
        "3656519515:1026176749",
        "3532445042:1040708729",
      ]
    `)
  })

  it('looks at the given bytes alone, and at all of them', () => {
    const hash = new KeyHash(storeId)
    const key = Buffer.from('0123456789abcdefghij')
    for (let start = 0; start < 8; start++) {
      for (let end = start; end <= key.length; end++) {
        hash.hash(key, start, end)
        const inPlace = `${hash.high >>> 0}:${hash.low >>> 0}`
        expect(hashOf(hash, key.subarray(start, end))).toBe(inPlace)
        for (let i = start; i < end; i++) {
          const changed = Buffer.from(key.subarray(start, end))
          changed[i - start] ^= 0x80
          expect(hashOf(hash, changed)).not.toBe(inPlace)
        }
      }
    }
  })

  it('differs from store to store', () => {
    const other = new KeyHash(Buffer.alloc(16, 7))
    const key = Buffer.from('user:0000000001')
    expect(hashOf(other, key)).not.toBe(hashOf(new KeyHash(storeId), key))
  })

  it('spreads keys that differ in few bits evenly, in every byte of both halves', () => {
    const hash = new KeyHash(storeId)
    const count = 1 << 16
    const buckets = Array.from({ length: 8 }, () => new Uint32Array(256))
    const seen = new Set<string>()
    const key = Buffer.alloc(16)
    for (let i = 0; i < count; i++) {
      key.writeUInt32BE(i, 12)
      seen.add(hashOf(hash, key))
      for (let byte = 0; byte < 4; byte++) {
        buckets[byte][(hash.low >>> (8 * byte)) & 255]++
        buckets[byte + 4][(hash.high >>> (8 * byte)) & 255]++
      }
    }
    expect(seen.size).toBe(count)
    for (const counts of buckets) {
      const expected = count / 256
      let chiSquare = 0
      for (const n of counts) chiSquare += (n - expected) ** 2 / expected
      // 255 degrees of freedom: above 400 about once in 10^8 for an even spread.
      expect(chiSquare).toBeLessThan(400)
    }
  })
})
