import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { EntryKind, newestSeq } from '../../../../dist/memtable/entry.js'
import { Found, Lookup } from '../../../../dist/memtable/lookup.js'
import { keyOf } from '../../../../dist/backends/lsm/table/index-page.js'
import { Table } from '../../../../dist/backends/lsm/table/table.js'
import { TableCursor } from '../../../../dist/backends/lsm/table/table-cursor.js'
import { TableEnv } from '../../../../dist/backends/lsm/table/table-env.js'
import { compareBytes } from '../../../../dist/base/bytes.js'
import { CopyPool } from '../../../../dist/page/copy-pool.js'
import { entryAt } from '../../../../dist/page/read.js'
import { MemVfs } from '../../../../dist/vfs/mem-vfs.js'
import type { Vfs } from '../../../../dist/vfs/vfs.js'
import {
  checksum,
  emptyVfs,
  keyHash,
  path,
  shapes,
  storeId,
  versionLists,
  writeTable
} from './table-harness.js'
import type { Version } from './table-harness.js'

const pool = new CopyPool()

function envOf(vfs: Vfs, blockBytes: number, cacheBytes = 1 << 20): TableEnv {
  return new TableEnv({ vfs, storeId, checksum, blockBytes, cacheBytes, slabBytes: 1 << 16 })
}

/** Value, `null` for a tombstone, undefined where there is nothing; waits in either way. */
async function get(
  table: Table,
  key: Buffer,
  maxSeq: number,
  wait: boolean
): Promise<Buffer | null | undefined> {
  const lookup = new Lookup()
  keyHash.hash(key, 0, key.length)
  for (let turns = 0; ; turns++) {
    expect(turns).toBeLessThan(20)
    const found = table.find(key, keyHash, maxSeq, lookup, wait)
    if (found === Found.absent) return undefined
    if (found === Found.present) {
      return lookup.kind === EntryKind.delete ? null : lookup.value(pool)
    }
    expect(wait).toBe(false)
    await table.load(lookup)
    keyHash.hash(key, 0, key.length)
  }
}

function expected(
  versions: readonly Version[],
  key: Buffer,
  maxSeq: number
): Buffer | null | undefined {
  const version = versions.find((one) => one.key.equals(key) && one.seq <= maxSeq)
  return version === undefined ? undefined : (version.value ?? null)
}

/** The visible versions in the order of a cursor. */
async function walk(
  table: Table,
  from: Buffer | undefined,
  reverse: boolean,
  maxSeq: number,
  wait: boolean
): Promise<{ key: Buffer; value: Buffer | null }[]> {
  const cursor = new TableCursor(table)
  const lookup = new Lookup()
  const seen: { key: Buffer; value: Buffer | null }[] = []
  try {
    let isThere = cursor.seek(from, reverse, wait)
    for (;;) {
      if (isThere === null) {
        await cursor.load()
        isThere =
          seen.length === 0 && cursor.count === 0
            ? cursor.seek(from, reverse, wait)
            : cursor.next(wait)
        continue
      }
      if (!isThere) return seen
      const found = cursor.find(maxSeq, lookup, wait)
      if (found === Found.notResident) {
        await cursor.load()
        continue
      }
      if (found === Found.present) {
        const key = keyOf(
          cursor.memory,
          entryAt(cursor.memory, cursor.region, cursor.index),
          cursor.longKeys
        )
        seen.push({ key, value: lookup.kind === EntryKind.delete ? null : lookup.value(pool) })
      }
      isThere = cursor.next(wait)
    }
  } finally {
    cursor.close()
  }
}

describe('a table', () => {
  it('answers like the sorted versions in it, at every sequence number, waiting or not', async () => {
    await fc.assert(
      fc.asyncProperty(versionLists, shapes, fc.boolean(), async (versions, shape, wait) => {
        const vfs = emptyVfs()
        const meta = await writeTable(vfs, versions, shape)
        const table = new Table(envOf(vfs, shape.blockBytes, 32 << 10), path, meta)
        for (const { key, seq } of versions) {
          for (const maxSeq of [seq, seq - 1, newestSeq]) {
            expect(await get(table, key, maxSeq, wait)).toEqual(expected(versions, key, maxSeq))
          }
          const absent = Buffer.concat([key, Buffer.from([0])])
          expect(await get(table, absent, newestSeq, wait)).toEqual(
            expected(versions, absent, newestSeq)
          )
        }
        table.drop()
        expect(table.env.files.openCount).toBe(0)
        expect(table.env.cache.residentCount).toBe(0)
        expect(table.env.cache.largeBytes).toBe(0)
      }),
      { numRuns: 100 }
    )
  })

  it('is walked in both directions from anywhere', async () => {
    await fc.assert(
      fc.asyncProperty(
        versionLists,
        shapes,
        fc.boolean(),
        fc.nat(),
        async (versions, shape, wait, pick) => {
          const vfs = emptyVfs()
          const meta = await writeTable(vfs, versions, shape)
          const table = new Table(envOf(vfs, shape.blockBytes, 32 << 10), path, meta)
          const { key, seq } = versions[pick % versions.length]
          for (const from of [undefined, key, Buffer.concat([key, Buffer.from([7])])]) {
            for (const maxSeq of [seq, newestSeq]) {
              const visible = new Map<string, { key: Buffer; value: Buffer | null }>()
              for (const one of versions) {
                const name = one.key.toString('hex')
                if (one.seq > maxSeq || visible.has(name)) continue
                visible.set(name, { key: one.key, value: one.value ?? null })
              }
              const all = [...visible.values()]
              const ahead = all.filter((one) => !from || compareBytes(one.key, from) >= 0)
              const behind = all.filter((one) => !from || compareBytes(one.key, from) <= 0)
              expect(await walk(table, from, false, maxSeq, wait)).toEqual(ahead)
              expect(await walk(table, from, true, maxSeq, wait)).toEqual(behind.reverse())
            }
          }
          table.drop()
          expect(table.env.cache.residentCount).toBe(0)
        }
      ),
      { numRuns: 80 }
    )
  })

  it('reads what the operating system has in memory without waiting', async () => {
    const vfs = new MemVfs({ cachedReads: 'all' })
    vfs.mkdirSync('/store')
    const versions = Array.from({ length: 300 }, (_, i) => ({
      key: Buffer.from(`k${String(i).padStart(5, '0')}`),
      seq: i + 1,
      value: Buffer.alloc(50, i)
    }))
    const meta = await writeTable(vfs, versions, { blockBytes: 1024, compression: 'lz4' })
    const table = new Table(envOf(vfs, 1024), path, meta)
    const lookup = new Lookup()
    keyHash.hash(versions[0].key, 0, 6)
    expect(table.find(versions[0].key, keyHash, newestSeq, lookup, false)).toBe(Found.notResident)
    await table.load(lookup)
    for (const { key, value } of versions) {
      keyHash.hash(key, 0, key.length)
      expect(table.find(key, keyHash, newestSeq, lookup, false)).toBe(Found.present)
      expect(lookup.value(pool)).toEqual(value)
    }
  })

  it('keeps within the budget of the cache and closes files that are used least', async () => {
    const vfs = emptyVfs()
    const env = new TableEnv({
      vfs,
      storeId,
      checksum,
      blockBytes: 1024,
      cacheBytes: 64 << 10,
      maxOpenFiles: 3,
      slabBytes: 1 << 12
    })
    const tables: Table[] = []
    const keys = Array.from({ length: 400 }, (_, i) =>
      Buffer.from(`k${String(i).padStart(5, '0')}`)
    )
    for (let number = 1; number <= 8; number++) {
      const at = `/store/${number}`
      const versions = keys.map((key) => ({ key, seq: number, value: Buffer.alloc(60, number) }))
      const shape = { blockBytes: 1024, compression: 'none', number } as const
      tables.push(new Table(env, at, await writeTable(vfs, versions, shape, at)))
    }
    for (let i = 0; i < 2000; i++) {
      const number = 1 + ((i * 7) % 8)
      const key = keys[(i * 37) % keys.length]
      expect(await get(tables[number - 1], key, newestSeq, i % 2 === 0)).toEqual(
        Buffer.alloc(60, number)
      )
      expect(env.files.openCount).toBeLessThanOrEqual(3)
    }
    expect(env.cache.allocatedBytes).toBeLessThanOrEqual(80 << 10)
    expect(env.cache.filterBytes).toBeLessThanOrEqual(16 << 10)
    for (const table of tables) table.drop()
    expect(env.files.openCount).toBe(0)
  })

  it('stays open for a read in flight', async () => {
    const vfs = emptyVfs()
    const key = Buffer.from('key')
    const versions = [{ key, seq: 1, value: Buffer.from('value') }]
    const meta = await writeTable(vfs, versions, { blockBytes: 1024, compression: 'none' })
    const table = new Table(envOf(vfs, 1024), path, meta)
    table.retain()
    const reading = get(table, key, newestSeq, false)
    table.drop()
    expect(await reading).toEqual(Buffer.from('value'))
    table.release()
    expect(table.env.files.openCount).toBe(0)
  })
})
