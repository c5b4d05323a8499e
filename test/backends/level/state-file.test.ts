import { describe, expect, it } from 'vitest'
import { StateFile } from '../../../dist/backends/level/state-file.js'
import { Checksum } from '../../../dist/codec/checksum.js'
import { MemVfs } from '../../../dist/vfs/mem-vfs.js'
import { failure } from '../../helpers/store.js'

const storeId = Buffer.alloc(16, 5)
const slotBytes = 4096

async function written(): Promise<{ bytes: Buffer; checksum: Checksum }> {
  const checksum = await Checksum.create()
  const vfs = new MemVfs()
  vfs.mkdirSync('/s')
  const first = { durableSeq: 3, files: [{ name: '000003.log', sizeBytes: 77 }] }
  const file = await StateFile.create(vfs, '/s', storeId, checksum, first)
  await file.publish({ durableSeq: 10 })
  await file.publish({ durableSeq: 20, unverified: 'LevelDB repaired it' })
  expect(file.retirableSeq).toBe(10)
  await file.close()
  return { bytes: vfs.medium.read('/s/STATE'), checksum }
}

async function openWith(bytes: Buffer, checksum: Checksum, id: Uint8Array = storeId) {
  const vfs = new MemVfs()
  vfs.mkdirSync('/s')
  const file = vfs.openSync('/s/STATE', 'create')
  file.writeSync(bytes, 0)
  file.closeSync()
  return StateFile.open(vfs, '/s', id, checksum, false)
}

describe('the state of a level store', () => {
  it('is the newer of two slots, and knows how old the other is', async () => {
    const { bytes, checksum } = await written()
    const file = await openWith(bytes, checksum)
    expect(file.state).toMatchObject({ durableSeq: 20, unverified: 'LevelDB repaired it' })
    expect(file.state.files).toEqual([{ name: '000003.log', sizeBytes: 77 }])
    expect(file.retirableSeq).toBe(10)
    expect(file.findings).toEqual([])
  })

  it('survives any flipped bit in one slot by the other, and says so', async () => {
    const { bytes, checksum } = await written()
    for (let bit = 0; bit < 16 * slotBytes; bit += bit % slotBytes < 900 ? 1 : 61) {
      const slot = Math.floor(bit / (8 * slotBytes))
      const damaged = Buffer.from(bytes)
      damaged[bit >> 3]! ^= 1 << (bit & 7)
      const file = await openWith(damaged, checksum)
      // The last write went to the second slot... of two that began with the second.
      const isNewest = slot === 1
      expect(file.state.durableSeq, `bit ${bit}`).toBe(isNewest ? 10 : 20)
      expect(file.retirableSeq).toBe(0)
      expect(file.findings).toMatchObject([{ kind: 'state-slot', severity: 'warning' }])
      // The next write goes to the damaged one.
      await file.publish({ durableSeq: 30 })
      expect(file.findings).toEqual([])
      expect(await file.check()).toEqual([])
      expect(file.retirableSeq).toBe(isNewest ? 10 : 20)
    }
  })

  it('is none where both slots are damaged, empty or cut off', async () => {
    const { bytes, checksum } = await written()
    const both = Buffer.from(bytes)
    both[100]! ^= 1
    both[slotBytes + 100]! ^= 1
    for (const damaged of [both, Buffer.alloc(0), bytes.subarray(0, 50), Buffer.alloc(8192)]) {
      const error = await failure(() => openWith(damaged, checksum))
      expect(error.code).toBe('KINTSUGI_CORRUPTION')
      expect(error.message).toContain('kintsugi repair')
    }
    const foreign = await failure(() => openWith(bytes, checksum, Buffer.alloc(16, 6)))
    expect(foreign.code).toBe('KINTSUGI_CORRUPTION')
  })
})
