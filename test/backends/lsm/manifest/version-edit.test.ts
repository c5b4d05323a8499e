import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EditField, TableField } from '../../../../dist/backends/lsm/manifest/format.js'
import {
  decodeEdit,
  encodedEditBytes,
  encodeEdit,
  type VersionEdit
} from '../../../../dist/backends/lsm/manifest/version-edit.js'
import type { TableMeta } from '../../../../dist/backends/lsm/table-meta.js'
import { compareBytes } from '../../../../dist/base/bytes.js'
import { KintsugiError } from '../../../../dist/errors.js'
import { codeOf, tableOf } from './fixture.js'

function encoded(edit: VersionEdit): Buffer {
  const bytes = Buffer.alloc(encodedEditBytes(edit), 0xee)
  encodeEdit(edit, bytes, 0)
  return bytes
}

const number = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER - 1 })
const count = fc.maxSafeNat()
const word = fc.nat(0xffff_ffff)
const key = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes))
const level = fc.nat(63)

const table: fc.Arbitrary<TableMeta> = fc
  .record({
    number,
    level,
    sizeBytes: count,
    sumLow: word,
    sumHigh: word,
    seqs: fc.tuple(count, count),
    counts: fc.tuple(count, count),
    rangeTombstones: word,
    rawBytes: count,
    keys: fc.tuple(key, key),
    hasHigh: fc.boolean(),
    isLast: fc.boolean(),
    inputs: fc.array(number, { maxLength: 5 }),
    firstOutput: number
  })
  .map(({ seqs, counts, keys, hasHigh, isLast, inputs, firstOutput, ...rest }) => {
    const [low, high] = keys.sort(compareBytes)
    const ordered = compareBytes(low, high) < 0
    return {
      ...rest,
      minSeq: Math.min(...seqs),
      maxSeq: Math.max(...seqs),
      deletes: Math.min(...counts),
      entries: Math.max(...counts),
      low,
      high: hasHigh && ordered ? high : undefined,
      job: { firstOutput: Math.min(firstOutput, rest.number), isLast, inputs }
    }
  })

const edit: fc.Arbitrary<VersionEdit> = fc
  .record({
    added: fc.array(table, { maxLength: 4 }),
    removed: fc.array(number, { maxLength: 4 }),
    retired: fc.array(number, { maxLength: 4 }),
    leftovers: fc.array(fc.record({ number, level, maxSeq: count, isRetired: fc.boolean() }), {
      maxLength: 3
    }),
    durableSeq: fc.option(count, { nil: undefined }),
    nextTable: fc.option(count, { nil: undefined }),
    snapshot: fc.constantFrom(true as const, undefined)
  })
  .map(({ durableSeq, nextTable, snapshot, ...rest }) => ({
    ...rest,
    ...(durableSeq !== undefined && { durableSeq }),
    ...(nextTable !== undefined && { nextTable }),
    ...(snapshot && { snapshot })
  }))

describe('a version edit', () => {
  it('is read as it was written, anywhere in memory', () => {
    fc.assert(
      fc.property(edit, fc.nat(20), (written, start) => {
        const bytes = Buffer.alloc(start + encodedEditBytes(written) + 7, 0xee)
        encodeEdit(written, bytes, start)
        expect(decodeEdit(bytes, start, bytes.length - 7)).toEqual(written)
        expect(bytes.subarray(bytes.length - 7)).toEqual(Buffer.alloc(7, 0xee))
      })
    )
  })

  it('keeps nothing of the bytes it is read from', () => {
    const bytes = encoded({ added: [tableOf(1)], removed: [], retired: [], leftovers: [] })
    const decoded = decodeEdit(bytes, 0, bytes.length)
    bytes.fill(0)
    expect(Buffer.from(decoded.added[0].low).toString()).toBe('a')
  })

  const typed = (bytes: Buffer, start = 0, end = bytes.length): void => {
    try {
      decodeEdit(bytes, start, end)
    } catch (error) {
      expect(error).toBeInstanceOf(KintsugiError)
      expect((error as KintsugiError).code).toMatch(/CORRUPTION|UNSUPPORTED_VERSION/)
    }
  }

  it('cut short is told, wherever', async () => {
    await fc.assert(
      fc.asyncProperty(edit, fc.nat(), async (written, cut) => {
        const bytes = encoded(written)
        const code = await codeOf(() => decodeEdit(bytes, 0, cut % bytes.length))
        expect(code).toBe('KINTSUGI_CORRUPTION')
      })
    )
  })

  it('of hostile bytes is an edit or a typed error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => typed(Buffer.from(bytes))),
      { numRuns: 300 }
    )
    const spoiled = fc.tuple(
      edit,
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 })
    )
    fc.assert(
      fc.property(spoiled, ([written, changes]) => {
        const bytes = encoded(written)
        for (const [at, value] of changes) bytes[at % bytes.length] = value
        typed(bytes)
      }),
      { numRuns: 1000 }
    )
  })

  it('of a newer version, or with flags that are not known, is unsupported', async () => {
    const plain = { added: [tableOf(1)], removed: [], retired: [], leftovers: [] }
    const spoil = (change: (bytes: Buffer) => void) => {
      const bytes = encoded(plain)
      change(bytes)
      return codeOf(() => decodeEdit(bytes, 0, bytes.length))
    }
    expect(await spoil((bytes) => bytes.writeUInt16LE(2, EditField.version))).toMatch(/UNSUPPORTED/)
    expect(await spoil((bytes) => bytes.writeUInt16LE(8, EditField.flags))).toMatch(/UNSUPPORTED/)
    const tableFlags = 40 + TableField.flags
    expect(await spoil((bytes) => bytes.writeUInt16LE(4, tableFlags))).toMatch(/UNSUPPORTED/)
    expect(await spoil((bytes) => bytes.writeUInt16LE(0, EditField.version))).toMatch(/CORRUPTION/)
  })

  it.each([
    ['a count beyond the end', (b: Buffer) => b.writeUInt32LE(0xffff_ffff, EditField.added)],
    ['a key beyond the end', (b: Buffer) => b.writeUInt32LE(0xffff_ffff, 40 + TableField.lowBytes)],
    ['inputs beyond the end', (b: Buffer) => b.writeUInt32LE(0x7fff_ffff, 40 + TableField.inputs)],
    ['a number above 2^53', (b: Buffer) => b.writeUInt32LE(0x20_0000, 40 + TableField.maxSeq + 4)],
    ['table number 0', (b: Buffer) => b.writeUInt32LE(0, 40 + TableField.number)],
    ['a level out of bounds', (b: Buffer) => b.writeUInt16LE(64, 40 + TableField.level)],
    ['a reserved field', (b: Buffer) => b.writeUInt32LE(1, EditField.zero)],
    ['a value that is not there', (b: Buffer) => b.writeUInt32LE(1, EditField.durableSeq)],
    ['an empty span', (b: Buffer) => b.write('z', 40 + 96)]
  ])('with %s is damaged', async (_, spoil) => {
    const bytes = encoded({ added: [tableOf(1)], removed: [], retired: [], leftovers: [] })
    spoil(bytes)
    expect(await codeOf(() => decodeEdit(bytes, 0, bytes.length))).toBe('KINTSUGI_CORRUPTION')
  })

  it('has the bytes that the format document shows', () => {
    const written: VersionEdit = {
      added: [
        {
          ...tableOf(5, 0, 'a', 'b'),
          sizeBytes: 4096,
          sumLow: 0x1111,
          sumHigh: 0x2222,
          minSeq: 8,
          maxSeq: 9,
          entries: 2,
          deletes: 1,
          rangeTombstones: 0,
          rawBytes: 30
        }
      ],
      removed: [],
      retired: [],
      leftovers: [],
      durableSeq: 9,
      nextTable: 6
    }
    expect(encoded(written).toString('hex')).toBe(
      [
        '0100 0600 01000000 00000000 00000000',
        '00000000 00000000 0900000000000000',
        '0600000000000000',
        '0500000000000000 0010000000000000',
        '11110000 22220000 0800000000000000',
        '0900000000000000 0200000000000000',
        '0100000000000000 1e00000000000000',
        '0500000000000000 00000000 01000000',
        '01000000 00000000 0000 0300 00000000',
        '61 62'
      ]
        .join('')
        .replaceAll(' ', '')
    )
  })
})
