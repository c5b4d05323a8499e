import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compressBlock, Compression, decompressBlock } from '../../dist/codec/compression.js'

const blocks = fc
  .array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 50 })))
  .map((parts) => Buffer.concat(parts.flatMap(([bytes, times]) => Array(times).fill(bytes))))

const corruption = expect.objectContaining({ code: 'KINTSUGI_CORRUPTION' })

function errorOf(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    return error
  }
}

describe('block compression', () => {
  it('gives back what went in', () => {
    fc.assert(
      fc.property(blocks, (block) => {
        const { compression, bytes } = compressBlock(block)
        expect(decompressBlock(compression, Buffer.from(bytes), block.length)).toEqual(block)
      })
    )
  })

  it('is used where it saves an eighth, and otherwise left out', () => {
    expect(compressBlock(Buffer.alloc(4096, 'ab')).compression).toBe(Compression.lz4)
    const noise = Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * i * 2654435761) >>> 11))
    const { compression, bytes } = compressBlock(noise.subarray(0, 40))
    expect(compression).toBe(Compression.none)
    expect(bytes).toEqual(noise.subarray(0, 40))
  })

  it('of another size, kind or content is corruption, never a crash', () => {
    const block = Buffer.alloc(4096, 'kintsugi')
    const { compression, bytes } = compressBlock(block)
    const stored = Buffer.from(bytes)
    expect(errorOf(() => decompressBlock(compression, stored, 4095))).toEqual(corruption)
    expect(errorOf(() => decompressBlock(7, stored, 4096))).toEqual(corruption)
    expect(errorOf(() => decompressBlock(Compression.none, stored, 4096))).toEqual(corruption)
    for (let length = 0; length < stored.length; length++) {
      const cut = stored.subarray(0, length)
      expect(errorOf(() => decompressBlock(compression, cut, 4096))).toEqual(corruption)
    }
    fc.assert(
      fc.property(fc.nat(8 * stored.length - 1), (bit) => {
        const damaged = Buffer.from(stored)
        damaged[bit >> 3] ^= 1 << (bit & 7)
        // Damage is found by the checksum before; here it must only end in order.
        const result = errorOf(() => decompressBlock(compression, damaged, 4096))
        if (Buffer.isBuffer(result)) expect(result).toHaveLength(4096)
        else expect(result).toEqual(corruption)
      })
    )
  })
})
