import { describe, expect, it } from 'vitest'
import { checkBlock, type BlockBounds } from '../../../../dist/backends/level/files/block-order.js'

const unbounded: BlockBounds = { after: undefined, first: undefined, to: undefined }

/** With its trailer: type, and sequence number above. */
function key(text: string, seq = 1, type = 1): Buffer {
  const trailer = Buffer.alloc(8)
  trailer.writeBigUInt64LE((BigInt(seq) << 8n) | BigInt(type))
  return Buffer.concat([Buffer.from(text), trailer])
}

/** A block of short entries that share nothing, each with the value `v`, and one restart. */
function blockOf(...keys: Buffer[]): Buffer {
  const entries = keys.map((each) => Buffer.from([0, each.length, 1, ...each, 118]))
  return Buffer.concat([...entries, Buffer.from([0, 0, 0, 0, 1, 0, 0, 0])])
}

const [a, b, c] = ['a', 'b', 'c'].map((text) => key(text))

describe('a data block of LevelDB', () => {
  it('is in its place where its keys ascend from its first one to its last one', () => {
    const contents = blockOf(a, key('b', 7), b, key('b', 0, 0), c)
    expect(checkBlock(contents, unbounded)).toEqual(c)
    const after = key('a', 2)
    expect(checkBlock(contents, { after, first: a, to: c, last: c })).toEqual(c)
    expect(checkBlock(contents, { ...unbounded, to: key('d') })).toEqual(c)
    const seen: string[] = []
    checkBlock(contents, unbounded, (entry) => seen.push(entry.key.toString('latin1', 0, 1)))
    expect(seen.join('')).toBe('abbbc')
  })

  it.each<[string, Buffer[], Partial<BlockBounds>]>([
    ['keys are out of order', [a, c, b], {}],
    ['keys are out of order', [a, b, key('b', 7)], {}],
    ['keys are out of order', [a, a], {}],
    ['keys are out of order', [a, b], { after: a }],
    ['its first key is not the one', [b, c], { first: a }],
    ['its first key is not the one', [b, c], { after: a, first: key('b', 2) }],
    ['has keys behind its bound', [a, b, c], { to: b }],
    ['its last key is not the one', [a, b], { to: c, last: c }],
    ['has no entries', [], {}],
    ['has no entries', [], { after: a, to: b }],
    ['unknown type 2', [a, key('b', 1, 2)], {}],
    ['too short a key', [Buffer.from('seven b')], {}]
  ])('is damaged where %s', (message, keys, bounds) => {
    const check = () => checkBlock(blockOf(...keys), { ...unbounded, ...bounds })
    expect(check).toThrow(expect.objectContaining({ code: 'KINTSUGI_CORRUPTION' }))
    expect(check).toThrow(message)
  })
})
