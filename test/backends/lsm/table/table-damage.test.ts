import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { EntryKind, newestSeq } from '../../../../dist/memtable/entry.js'
import { spanHolds } from '../../../../dist/memtable/key-span.js'
import { Found, Lookup } from '../../../../dist/memtable/lookup.js'
import { RangeTombstones } from '../../../../dist/memtable/range-tombstones.js'
import type { TableMeta } from '../../../../dist/backends/lsm/table-meta.js'
import { BlockDecoder } from '../../../../dist/backends/lsm/table/block-decoder.js'
import { BlockMemory } from '../../../../dist/backends/lsm/table/block-memory.js'
import { BlockBuilder } from '../../../../dist/backends/lsm/table/block-builder.js'
import { BlockUnpacker } from '../../../../dist/backends/lsm/table/block-unpacker.js'
import { checkTable, readFooter } from '../../../../dist/backends/lsm/table/table-check.js'
import { salvageTable } from '../../../../dist/backends/lsm/table/table-salvage.js'
import type { SalvagedTable } from '../../../../dist/backends/lsm/table/table-salvage.js'
import { Table } from '../../../../dist/backends/lsm/table/table.js'
import { TableEnv } from '../../../../dist/backends/lsm/table/table-env.js'
import { isCorruption, KintsugiError } from '../../../../dist/errors.js'
import { CopyPool } from '../../../../dist/page/copy-pool.js'
import { validatePage } from '../../../../dist/page/validate.js'
import type { MemVfs } from '../../../../dist/vfs/mem-vfs.js'
import {
  checksum,
  emptyVfs,
  inOrder,
  keyHash,
  path,
  scanTable,
  storeId,
  writeTable
} from './table-harness.js'
import type { Version } from './table-harness.js'

const context = { storeId, checksum }
const silent = { report() {}, signal: undefined }
const pool = new CopyPool()
const tombstones = new RangeTombstones()
tombstones.add(Buffer.from('key:05'), Buffer.from('key:07'), 500)

const versions: Version[] = inOrder(
  Array.from({ length: 70 }, (_, i) => ({
    key: Buffer.from(`key:${String(i >> 1).padStart(2, '0')}`),
    seq: 100 + ((i * 37) % 90),
    value: i % 9 === 4 ? undefined : Buffer.alloc(i === 20 ? 400 : 30, i)
  }))
)

async function small(): Promise<{ vfs: MemVfs; meta: TableMeta; bytes: Buffer }> {
  const vfs = emptyVfs()
  const meta = await writeTable(vfs, versions, { blockBytes: 1024, compression: 'lz4', tombstones })
  const bytes = Buffer.alloc(meta.sizeBytes)
  const file = vfs.openSync(path, 'read')
  file.readSync(bytes, 0)
  file.closeSync()
  return { vfs, meta, bytes }
}

function put(vfs: MemVfs, bytes: Uint8Array): void {
  if (vfs.statSync(path) !== undefined) vfs.unlinkSync(path)
  const file = vfs.openSync(path, 'create')
  file.writeSync(bytes, 0)
  file.closeSync()
}

function readAll(vfs: MemVfs, meta: TableMeta): void {
  const env = new TableEnv({
    vfs,
    ...context,
    blockBytes: 1024,
    cacheBytes: 1 << 16,
    slabBytes: 4096
  })
  const table = new Table(env, path, meta)
  const lookup = new Lookup()
  for (const { key, seq, value } of versions) {
    keyHash.hash(key, 0, key.length)
    try {
      expect(table.find(key, keyHash, seq, lookup, true)).toBe(Found.present)
      expect(lookup.seq).toBe(seq)
      expect(lookup.kind).toBe(value === undefined ? EntryKind.delete : EntryKind.put)
      if (value) expect(lookup.value(pool).equals(value)).toBe(true)
    } catch (error) {
      if (!isCorruption(error)) throw error
      expect(error.facts.path).toBe(path)
      const { lowKey, highKey } = error.facts
      if (lowKey && highKey) expect(spanHolds({ low: lowKey, high: highKey }, key)).toBe(true)
    }
  }
  table.drop()
}

async function salvage(vfs: MemVfs): Promise<{ kept: Version[]; table: SalvagedTable }> {
  const walk = salvageTable(vfs, path, 7, context)
  const kept: Version[] = []
  for (;;) {
    const step = await walk.next()
    if (step.done === true) return { kept, table: step.value }
    const { key, seq, kind, value } = step.value
    kept.push({ key, seq, value: kind === EntryKind.delete ? undefined : value })
  }
}

const name = ({ key, seq, value }: Version): string =>
  `${key.toString('hex')}@${seq}=${value?.toString('hex')}`
const names = new Set(versions.map(name))

/** What was salvaged is true, and what was not is named. */
async function expectHonestSalvage(vfs: MemVfs, what: string): Promise<void> {
  const { kept, table } = await salvage(vfs)
  const keptNames = new Set(kept.map(name))
  for (const one of keptNames) expect(names.has(one), what).toBe(true)
  const isNamed = (key: Buffer): boolean => table.lost.some((span) => spanHolds(span, key))
  for (const one of versions) {
    if (!keptNames.has(name(one))) expect(isNamed(one.key), `${what}: ${name(one)}`).toBe(true)
  }
  if (table.tombstones.isEmpty) expect(isNamed(Buffer.from('key:06')), what).toBe(true)
}

describe('a damaged table', () => {
  it('is told by every single bit, never gives a wrong answer, and is salvaged honestly', async () => {
    const { vfs, meta, bytes } = await small()
    for (let at = 0; at < bytes.length; at++) {
      const damaged = Buffer.from(bytes)
      damaged[at] ^= 1 << (at % 8)
      put(vfs, damaged)
      const what = `byte ${at}`
      const findings = await checkTable(vfs, path, meta, context, 'comprehensive', silent)
      expect(findings.length, what).toBeGreaterThan(0)
      readAll(vfs, meta)
      await expectHonestSalvage(vfs, what)
    }
  })

  it('is told when it was cut, zeroed in a sector or its blocks were swapped', async () => {
    const { vfs, meta, bytes } = await small()
    const cases: [string, Buffer][] = []
    for (let length = 0; length < bytes.length; length += 61) {
      cases.push([`cut at ${length}`, bytes.subarray(0, length)])
    }
    for (let at = 0; at + 512 <= bytes.length; at += 512) {
      const zeroed = Buffer.from(bytes)
      zeroed.fill(0, at, at + 512)
      cases.push([`zeros at ${at}`, zeroed])
      const swapped = Buffer.from(bytes)
      swapped.set(bytes.subarray(0, 512), at)
      swapped.set(bytes.subarray(at, at + 512), 0)
      if (at > 0) cases.push([`swapped with ${at}`, swapped])
    }
    for (const [what, damaged] of cases) {
      put(vfs, damaged)
      const findings = await checkTable(vfs, path, meta, context, 'comprehensive', silent)
      expect(findings.length, what).toBeGreaterThan(0)
      readAll(vfs, meta)
      await expectHonestSalvage(vfs, what)
    }
  })

  it('gives back everything while it is whole', async () => {
    const { vfs, meta } = await small()
    expect(await checkTable(vfs, path, meta, context, 'comprehensive', silent)).toEqual([])
    expect(await checkTable(vfs, path, undefined, context, 'standard', silent)).toEqual([])
    expect(await readFooter(vfs, path, context)).toEqual(meta)
    expect(await scanTable(vfs, meta)).toEqual(versions)
    const { kept, table } = await salvage(vfs)
    expect(kept).toEqual(versions)
    expect(table).toMatchObject({ lost: [], lostBytes: 0 })
    expect(table.tombstones.spans()).toEqual(tombstones.spans())
  })

  it('of another store, number, time or version is told as what it is', async () => {
    const { vfs, meta, bytes } = await small()
    const expectFailure = async (how: RegExp, use = context, number = 7): Promise<void> => {
      await expect(readFooter(vfs, path, use, number)).rejects.toThrow(how)
    }
    await expectFailure(/belongs to another store/, { storeId: Buffer.alloc(16, 1), checksum })
    await expectFailure(/it is table 7/, context, 8)
    const stale = { ...meta, sumLow: meta.sumLow ^ 1 }
    const [finding] = await checkTable(vfs, path, stale, context, 'basic', silent)
    expect(finding.message).toMatch(/it is stale/)
    const newer = Buffer.from(bytes)
    newer.writeUInt32LE(2, bytes.length - 16)
    const footer = newer.subarray(bytes.length - 256)
    checksum.hash(storeId, 0, 0)
    checksum.hash(footer.subarray(8), checksum.low, checksum.high)
    footer.writeUInt32LE(checksum.low, 0)
    footer.writeUInt32LE(checksum.high, 4)
    put(vfs, newer)
    await expect(readFooter(vfs, path, context)).rejects.toMatchObject({
      code: 'KINTSUGI_UNSUPPORTED_VERSION'
    })
    vfs.unlinkSync(path)
    const [missing] = await checkTable(vfs, path, meta, context, 'basic', silent)
    expect(missing.kind).toBe('missing-table')
  })
})

describe('the unpacking of a block', () => {
  it('makes a right page or says what is wrong, whatever the bytes are', () => {
    const builder = new BlockBuilder(1024)
    const memory = new BlockMemory(new ArrayBuffer(4096))
    const unpacker = new BlockUnpacker(new BlockDecoder(), 1024)
    let pages = 0
    let problems = 0
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }),
        fc.nat(2),
        (changes, cut) => {
          builder.reset()
          for (const { key, seq, value } of versions.slice(0, 20)) {
            const isOlder =
              builder.count > 0 && key.equals(builder.lastKey.subarray(0, builder.lastKeyBytes))
            const bytes = value ?? Buffer.alloc(0)
            const kind = value === undefined ? EntryKind.delete : EntryKind.put
            if (isOlder) builder.addOlder(seq, kind, bytes, 0, bytes.length)
            else if (!builder.add(key, 0, key.length, seq, kind, bytes, 0, bytes.length)) break
          }
          const packed = Buffer.from(builder.finish())
          for (const [at, byte] of changes) packed[at % packed.length] = byte
          memory.u8.fill(0xee)
          const wrong = unpacker.unpack(packed.subarray(0, packed.length - cut), memory, 1024, 0)
          if (wrong === undefined) {
            pages++
            // Holes are not counted in these pages; everything else has to be right.
            const words = memory.u32
            words[257] |= (1024 - (words[257] & 0xffff) - used(memory)) << 16
            expect(validatePage(memory, 1024, 1024)).toBeUndefined()
          } else problems++
          for (const at of [0, 1023, 2048, 4095]) expect(memory.u8[at]).toBe(0xee)
        }
      ),
      { numRuns: 3000 }
    )
    expect(pages).toBeGreaterThan(100)
    expect(problems).toBeGreaterThan(100)
  })
})

/** Bytes of the entries of the page at 1024. */
function used({ u32 }: BlockMemory): number {
  const count = u32[256] & 0xffff
  let bytes = 0
  for (let i = 0; i < count; i++) {
    const word = u32[(1024 + u32[260 + 2 * i + 1]) >>> 2]
    bytes += 4 + (((word & 0x7fff) + 3) & ~3) + ((word >>> 15) & 1) * 16
    bytes += (((word >>> 16) & 0x7fff) + 3) & ~3
  }
  return bytes
}

it('reads newest versions where nobody asks for older ones', async () => {
  const { vfs, meta } = await small()
  const env = new TableEnv({ vfs, ...context, blockBytes: 1024, cacheBytes: 1 << 16 })
  const table = new Table(env, path, meta)
  const lookup = new Lookup()
  keyHash.hash(versions[0].key, 0, 6)
  expect(table.find(versions[0].key, keyHash, newestSeq, lookup, true)).toBe(Found.present)
  expect(lookup.seq).toBe(versions[0].seq)
  expect(() => table.find(versions[0].key, keyHash, newestSeq, lookup, true)).not.toThrow(
    KintsugiError
  )
  table.drop()
})
