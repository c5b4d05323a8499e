import fc from 'fast-check'

import { EntryKind } from '../../../../dist/memtable/entry.js'
import { KeyHash } from '../../../../dist/memtable/key-hash.js'
import { RangeTombstones } from '../../../../dist/memtable/range-tombstones.js'
import type { TableMeta } from '../../../../dist/backends/lsm/table-meta.js'
import { TableScanner } from '../../../../dist/backends/lsm/table/table-scanner.js'
import { TableWriter } from '../../../../dist/backends/lsm/table/table-writer.js'
import { compareBytes } from '../../../../dist/base/bytes.js'
import { Checksum } from '../../../../dist/codec/checksum.js'
import { MemVfs } from '../../../../dist/vfs/mem-vfs.js'
import type { Vfs } from '../../../../dist/vfs/vfs.js'

export const storeId = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
export const checksum = await Checksum.create()
export const keyHash = new KeyHash(storeId)
export const path = '/store/000000000007.sst'

export interface Version {
  readonly key: Buffer
  readonly seq: number
  /** Undefined: a tombstone. */
  readonly value: Buffer | undefined
}

export interface TableShape {
  readonly blockBytes: number
  readonly compression: 'lz4' | 'none'
  readonly tombstones?: RangeTombstones
  readonly number?: number
}

export function emptyVfs(): MemVfs {
  const vfs = new MemVfs()
  vfs.mkdirSync('/store')
  return vfs
}

export async function writeTable(
  vfs: Vfs,
  versions: readonly Version[],
  { blockBytes, compression, tombstones, number = 7 }: TableShape,
  at = path
): Promise<TableMeta> {
  const writer = await TableWriter.create(vfs, at, {
    number,
    level: 1,
    storeId,
    checksum,
    keyHash,
    blockBytes,
    compression,
    job: { firstOutput: number, inputs: [3, 5] }
  })
  const padding = 3
  for (const { key, seq, value } of versions) {
    // Not at the beginning of their memory, as they come from arenas and blocks.
    const bytes = Buffer.concat([Buffer.alloc(padding), key, value ?? Buffer.alloc(0)])
    const keyEnd = padding + key.length
    const kind = value === undefined ? EntryKind.delete : EntryKind.put
    writer.add(bytes, padding, keyEnd, seq, kind, bytes, keyEnd, bytes.length)
    if (writer.isFull) await writer.drain()
  }
  if (tombstones) writer.addRangeTombstones(tombstones)
  return writer.finish(true)
}

export async function scanTable(vfs: Vfs, meta: TableMeta, at = path): Promise<Version[]> {
  const scanner = await TableScanner.open(vfs, at, meta, { storeId, checksum })
  try {
    return await rest(scanner)
  } finally {
    await scanner.close()
  }
}

/** All versions that the scanner has not passed. */
export async function rest(scanner: TableScanner): Promise<Version[]> {
  const versions: Version[] = []
  while (await scanner.next()) {
    await scanner.loadValue()
    const { key, keyEnd, seq, kind, value, valueStart, valueEnd } = scanner
    versions.push({
      key: Buffer.from(key.subarray(0, keyEnd)),
      seq,
      value:
        kind === EntryKind.delete ? undefined : Buffer.from(value.subarray(valueStart, valueEnd))
    })
  }
  return versions
}

/** In the order of a table: keys ascend, the versions of a key from new to old; no repetition. */
export function inOrder(versions: readonly Version[]): Version[] {
  const sorted = [...versions].sort((a, b) => compareBytes(a.key, b.key) || b.seq - a.seq)
  return sorted.filter(
    ({ key, seq }, i) => i === 0 || seq !== sorted[i - 1].seq || !key.equals(sorted[i - 1].key)
  )
}

const keys = fc.oneof(
  { weight: 8, arbitrary: fc.nat(60).map((n) => Buffer.from(`key:${String(n).padStart(4, '0')}`)) },
  { weight: 3, arbitrary: fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.nat(3), fc.integer({ min: 200, max: 2000 }))
      .map(([n, length]) => Buffer.concat([Buffer.alloc(length, 97), Buffer.from([n])]))
  }
)
const values = fc.oneof(
  { weight: 2, arbitrary: fc.constant(undefined) },
  { weight: 8, arbitrary: fc.uint8Array({ maxLength: 90 }).map((bytes) => Buffer.from(bytes)) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.nat(255), fc.integer({ min: 240, max: 5000 }))
      .map(([byte, length]) => Buffer.alloc(length, byte))
  }
)
const seqs = fc.oneof(
  { weight: 9, arbitrary: fc.integer({ min: 1, max: 500 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER - 1 }) }
)

export const versionLists = fc
  .array(fc.record({ key: keys, seq: seqs, value: values }), { minLength: 1, maxLength: 300 })
  .map(inOrder)

export const shapes = fc.record({
  blockBytes: fc.constantFrom(1024, 2048, 8192),
  compression: fc.constantFrom('lz4' as const, 'none' as const)
})
