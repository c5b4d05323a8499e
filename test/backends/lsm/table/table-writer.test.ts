import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { RangeTombstones } from '../../../../dist/memtable/range-tombstones.js'
import { TableScanner } from '../../../../dist/backends/lsm/table/table-scanner.js'
import { compareBytes } from '../../../../dist/base/bytes.js'
import {
  checksum,
  emptyVfs,
  path,
  rest,
  scanTable,
  shapes,
  storeId,
  versionLists,
  writeTable
} from './table-harness.js'
import type { Version } from './table-harness.js'

const shape = { blockBytes: 1024, compression: 'lz4' } as const

describe('a table that was written', () => {
  it('gives back every version in order', async () => {
    await fc.assert(
      fc.asyncProperty(versionLists, shapes, async (versions, shape) => {
        const vfs = emptyVfs()
        const meta = await writeTable(vfs, versions, shape)
        expect(await scanTable(vfs, meta)).toEqual(versions)
      }),
      { numRuns: 150 }
    )
  })

  it('can be read from any key on', async () => {
    await fc.assert(
      fc.asyncProperty(versionLists, fc.nat(), async (versions, pick) => {
        const vfs = emptyVfs()
        const meta = await writeTable(vfs, versions, shape)
        const scanner = await TableScanner.open(vfs, path, meta, { storeId, checksum })
        for (const low of [
          versions[pick % versions.length].key,
          Buffer.concat([versions[pick % versions.length].key, Buffer.alloc(1)]),
          Buffer.alloc(0)
        ]) {
          await scanner.seek(low)
          const expected = versions.filter(({ key }) => compareBytes(key, low) >= 0)
          expect(await rest(scanner)).toEqual(expected)
        }
        await scanner.close()
      }),
      { numRuns: 60 }
    )
  })

  it('says what is in it', async () => {
    const vfs = emptyVfs()
    const versions: Version[] = [
      { key: Buffer.from('a'), seq: 9, value: Buffer.from('new') },
      { key: Buffer.from('a'), seq: 4, value: undefined },
      { key: Buffer.from('b'), seq: 5, value: Buffer.alloc(3000, 1) }
    ]
    const tombstones = new RangeTombstones()
    tombstones.add(Buffer.from('B'), Buffer.from('b0'), 20)
    const meta = await writeTable(vfs, versions, { ...shape, tombstones })
    expect(meta).toMatchObject({
      number: 7,
      level: 1,
      sizeBytes: vfs.statSync(path)?.sizeBytes,
      minSeq: 4,
      maxSeq: 20,
      entries: 3,
      deletes: 1,
      rangeTombstones: 1,
      rawBytes: 3006,
      low: Buffer.from('B'),
      high: Buffer.from('b0'),
      job: { firstOutput: 7, inputs: [3, 5], isLast: true }
    })
    const scanner = await TableScanner.open(vfs, path, meta, { storeId, checksum })
    expect(scanner.meta).toEqual(meta)
    expect(scanner.tombstones.spans()).toEqual(tombstones.spans())
    await scanner.close()
  })

  it('may consist of range tombstones alone, one of them without end', async () => {
    const vfs = emptyVfs()
    const tombstones = new RangeTombstones()
    tombstones.add(Buffer.from('x'), undefined, 3)
    const meta = await writeTable(vfs, [], { ...shape, tombstones })
    expect(meta).toMatchObject({ entries: 0, low: Buffer.from('x'), high: undefined, minSeq: 3 })
    expect(await scanTable(vfs, meta)).toEqual([])
  })

  it('keeps as many versions of a key as there are', async () => {
    const vfs = emptyVfs()
    const versions: Version[] = []
    for (const name of ['a', 'b', 'c']) {
      for (let seq = 500; seq > 0; seq--) {
        versions.push({
          key: Buffer.from(name),
          seq: seq * 2 ** 40,
          value: seq % 7 === 0 ? undefined : Buffer.alloc(seq % 5 === 0 ? 700 : 20, seq)
        })
      }
    }
    expect(await scanTable(vfs, await writeTable(vfs, versions, shape))).toEqual(versions)
  })

  it('takes the longest keys that there can be', async () => {
    const vfs = emptyVfs()
    const versions = Array.from({ length: 40 }, (_, i): Version => {
      const key = Buffer.alloc(65_535, 255)
      key[65_534] = i
      return { key, seq: i + 1, value: Buffer.from([i]) }
    })
    const read = await scanTable(vfs, await writeTable(vfs, versions, shape))
    expect(read.map(({ seq, value }) => [seq, value?.[0]])).toEqual(
      versions.map(({ seq, value }) => [seq, value?.[0]])
    )
    // Byte by byte in one call: comparing them as objects takes seconds.
    expect(read.every(({ key }, i) => key.equals(versions[i].key))).toBe(true)
  })
})
