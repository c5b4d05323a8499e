import { describe, expect, it } from 'vitest'
import { storedKey } from '../../../dist/backends/level/stored-key.js'
import { StoredValues } from '../../../dist/backends/level/stored-value.js'
import { StoredValue } from '../../../dist/backends/level/format.js'
import { Checksum } from '../../../dist/codec/checksum.js'

const storeId = Buffer.alloc(16, 3)

async function made(text: string, seq: number) {
  const values = new StoredValues(storeId, await Checksum.create())
  const key = storedKey(Buffer.from('key'))
  const stored = Buffer.alloc(StoredValue.value + text.length)
  stored.write(text, StoredValue.value, 'latin1')
  values.seal(stored, key, seq)
  return { values, key, stored }
}

describe('a stored value', () => {
  it.each([1, 127, 128, 2 ** 32, 2 ** 48 + 5, Number.MAX_SAFE_INTEGER])(
    'carries its value and the commit number %d',
    async (seq) => {
      const { values, key, stored } = await made('some value', seq)
      expect(values.seqOf(stored)).toBe(seq)
      expect(values.open(stored, key, '/db').toString()).toBe('some value')
      // Reading changes nothing.
      expect(values.open(stored, key, '/db').toString()).toBe('some value')
    }
  )

  it('stays text where it is text', async () => {
    for (let seq = 1; seq < 500; seq++) {
      const { stored } = await made('größe', seq)
      expect(stored.subarray(0, StoredValue.value).every((byte) => byte < 0x80)).toBe(true)
    }
  })

  it('is not believed with any bit flipped, cut, under another key or in another store', async () => {
    const { values, key, stored } = await made('a value of some length', 77)
    for (let bit = 0; bit < 8 * stored.length; bit++) {
      const damaged = Buffer.from(stored)
      damaged[bit >> 3]! ^= 1 << (bit & 7)
      const before = Buffer.from(damaged)
      expect(values.proves(damaged, key), `bit ${bit}`).toBe(false)
      expect(damaged).toEqual(before)
    }
    for (let length = 0; length < stored.length; length++) {
      expect(values.proves(stored.subarray(0, length), key)).toBe(false)
    }
    for (const other of ['kez', 'ke', 'key2', '']) {
      expect(values.proves(stored, storedKey(Buffer.from(other)))).toBe(false)
    }
    const elsewhere = new StoredValues(Buffer.alloc(16, 4), await Checksum.create())
    expect(elsewhere.proves(stored, key)).toBe(false)
    expect(values.proves(stored, key)).toBe(true)
  })
})
