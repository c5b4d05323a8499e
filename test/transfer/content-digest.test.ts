import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import fc from 'fast-check'
import { ContentDigest } from '../../dist/transfer/content-digest.js'

type Entry = readonly [Uint8Array, Uint8Array]

function digestOf(entries: readonly Entry[]): ContentDigest & { readonly hex: string } {
  const digest = new ContentDigest()
  for (const [key, value] of entries) digest.add(key, value)
  return Object.assign(digest, { hex: digest.finish() })
}

/** The definition, word for word. */
function expected(entries: readonly Entry[]): string {
  const hash = createHash('sha256')
  for (const part of entries.flat()) {
    const length = Buffer.alloc(4)
    length.writeUInt32LE(part.length)
    hash.update(length).update(part)
  }
  return hash.digest('hex')
}

const bytes = (text: string): Buffer => Buffer.from(text)

describe('the content digest', () => {
  it('is SHA-256 of lengths, keys and values', () => {
    const part = fc.oneof(
      fc.uint8Array({ maxLength: 20 }),
      fc.uint8Array({ minLength: 65_000, maxLength: 66_000, size: 'max' })
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(part, part), { maxLength: 12 }), (entries) => {
        const digest = digestOf(entries)
        expect(digest.hex).toBe(expected(entries))
        expect(digest.entries).toBe(entries.length)
        expect(digest.bytes).toBe(entries.flat().reduce((sum, { length }) => sum + length, 0))
      }),
      { numRuns: 40 }
    )
  })

  it.each([65_527, 65_528, 65_531, 65_532, 65_533, 65_535, 65_536, 65_537, 131_072])(
    'is the same however the parts of an entry fall on its buffer: %i bytes before',
    (before) => {
      const entries: Entry[] = [
        [bytes(''), Buffer.alloc(Math.max(0, before - 8), 1)],
        [bytes('ab'), bytes('cd')],
        [bytes('e'), Buffer.alloc(65_536, 2)],
        [bytes('f'), Buffer.alloc(65_537, 3)]
      ]
      expect(digestOf(entries).hex).toBe(expected(entries))
    }
  )

  it('stays what it was: other versions compare with it', () => {
    expect(digestOf([]).hex).toBe(
      'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    )
    expect(digestOf([[bytes('key'), bytes('value')]]).hex).toBe(
      createHash('sha256').update('\x03\0\0\0key\x05\0\0\0value').digest('hex')
    )
  })

  it('tells the end of a key from the beginning of a value', () => {
    const whole = digestOf([[bytes('ab'), bytes('c')]]).hex
    expect(digestOf([[bytes('a'), bytes('bc')]]).hex).not.toBe(whole)
    expect(digestOf([[bytes(''), bytes('')]]).hex).not.toBe(digestOf([]).hex)
  })
})
