import { describe, expect, it } from 'vitest'
import { decodeMeta, encodeMeta, type MetaPage } from '../../../dist/backends/btree/meta.js'
import { Checksum } from '../../../dist/codec/checksum.js'
import { MemVfs } from '../../../dist/vfs/mem-vfs.js'
import { ToyTree, toyOptions } from './toy-tree.js'

const checksum = await Checksum.create()
const storeId = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex')

const meta: MetaPage = {
  slot: 1,
  pageBytes: 8192,
  epoch: 7,
  persistNo: 2 ** 40 + 5,
  rootPage: 10,
  height: 3,
  rootSumLow: 0xffff_ffff,
  rootSumHigh: 1,
  entries: 2 ** 33,
  appliedSeq: 2 ** 52 + 1,
  freelistPage: 11,
  freelistPageCount: 1,
  freelistSumLow: 3,
  freelistSumHigh: 0x8000_0000,
  pageCount: 12,
  abandoned: [{ epoch: 3, firstPersistNo: 9, lastPersistNo: Number.MAX_SAFE_INTEGER }]
}

describe('a meta page', () => {
  it('stands on disk as the format says', async () => {
    const vfs = new MemVfs()
    vfs.mkdirSync('/btree')
    vfs.syncDirectorySync('/')
    const tree = await ToyTree.create(toyOptions(vfs, { storeId, pageBytes: 8192 }))
    await tree.pager.close()
    const page = vfs.medium.read('/btree/tree.pages').subarray(8192)
    const row = (offset: number) => page.subarray(offset, offset + 16).toString('hex')
    expect(page.subarray(8, 16).toString('latin1')).toBe('KINTBTR1')
    expect(row(0x10)).toBe('01000000000000000001020304050607')
    expect(row(0x20)).toBe('08090a0b0c0d0e0f0020000001000000')
    expect(row(0x30)).toBe('02000000000000000000000000000000')
    expect(row(0x60)).toBe('00000000000000000200000001000000')
  })

  it('comes back as it was written, in its own slot and store only', () => {
    const page = encodeMeta(meta, storeId, checksum)
    expect(decodeMeta(page, 1, storeId, checksum)).toEqual({ kind: 'valid', meta })
    expect(decodeMeta(page, 0, storeId, checksum).kind).toBe('damaged')
    expect(decodeMeta(page, 1, Buffer.alloc(16, 1), checksum)).toMatchObject({
      kind: 'damaged',
      reason: expect.stringContaining('another store') as string
    })
  })

  it('is not believed with any single bit wrong', () => {
    const page = encodeMeta(meta, storeId, checksum)
    for (let bit = 0; bit < 250 * 8; bit++) {
      page[bit >> 3] ^= 1 << (bit & 7)
      expect(['damaged', 'absent']).toContain(decodeMeta(page, 1, storeId, checksum).kind)
      page[bit >> 3] ^= 1 << (bit & 7)
    }
  })

  it('is not believed with impossible contents, though its checksum is right', () => {
    const wrong: Partial<MetaPage>[] = [
      { pageBytes: 5000 },
      { pageBytes: 512 },
      { pageCount: 1 },
      { height: 0 },
      { height: 40 },
      { rootPage: 1 },
      { rootPage: 12 },
      { freelistPage: 12 },
      { freelistPageCount: 0 },
      { freelistPageCount: 13 }
    ]
    for (const fields of wrong) {
      const page = encodeMeta({ ...meta, ...fields }, storeId, checksum)
      expect(decodeMeta(page, 1, storeId, checksum).kind, JSON.stringify(fields)).toBe('damaged')
    }
  })

  it('of a later format is told apart from damage', () => {
    const page = encodeMeta(meta, storeId, checksum)
    page.writeUInt32LE(2, 16)
    expect(decodeMeta(page, 1, storeId, checksum).kind).toBe('damaged')
    checksum.hash(storeId, 1, page.readUInt32LE(8))
    checksum.hash(page.subarray(8), checksum.low, checksum.high)
    page.writeUInt32LE(checksum.low, 0)
    page.writeUInt32LE(checksum.high, 4)
    expect(decodeMeta(page, 1, storeId, checksum).kind).toBe('newer')
  })
})
