import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { newestSeq } from '../../../../dist/memtable/entry.js'
import { Lookup } from '../../../../dist/memtable/lookup.js'
import { BlockSeal } from '../../../../dist/backends/lsm/table/block-seal.js'
import { checkTable } from '../../../../dist/backends/lsm/table/table-check.js'
import { Table } from '../../../../dist/backends/lsm/table/table.js'
import { TableCursor } from '../../../../dist/backends/lsm/table/table-cursor.js'
import { TableEnv } from '../../../../dist/backends/lsm/table/table-env.js'
import { isCorruption } from '../../../../dist/errors.js'
import {
  checksum,
  emptyVfs,
  keyHash,
  path,
  scanTable,
  storeId,
  writeTable
} from './table-harness.js'

const context = { storeId, checksum }
const versions = Array.from({ length: 900 }, (_, i) => ({
  key: Buffer.from(`key:${String(i).padStart(4, '0')}`),
  seq: i + 1,
  value: Buffer.alloc(i % 50 === 0 ? 600 : 20, i)
}))

function expectTyped(work: () => void): void {
  try {
    work()
  } catch (error) {
    if (!isCorruption(error)) throw error
  }
}

describe('blocks whose checksums are right and whose contents are not', () => {
  it('lead to typed errors or to answers, nothing else', async () => {
    const vfs = emptyVfs()
    const meta = await writeTable(vfs, versions, { blockBytes: 1024, compression: 'none' })
    const bytes = Buffer.alloc(meta.sizeBytes)
    const file = vfs.openSync(path, 'readwrite')
    file.readSync(bytes, 0)
    const seal = new BlockSeal(path, 7, storeId, checksum)
    const blocks: { at: number; bytes: number; kind: number }[] = []
    for (let at = 0; at < bytes.length - 256;) {
      const size = 32 + bytes.readUInt32LE(at + 16)
      blocks.push({ at, bytes: size, kind: bytes[at + 12] })
      at += Math.ceil(size / 8) * 8
    }
    // Data and large values, then index blocks, which are tried more often.
    const indexes = blocks.filter(({ kind }) => kind === 2)
    expect(indexes.length).toBeGreaterThan(1)
    const anyBlock = fc.oneof(fc.constantFrom(...blocks), fc.constantFrom(...indexes))
    const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 })
    await fc.assert(
      fc.asyncProperty(anyBlock, changes, async (block, changed) => {
        const hostile = Buffer.from(bytes)
        const whole = hostile.subarray(block.at, block.at + block.bytes)
        for (const [at, byte] of changed) whole[32 + (at % (block.bytes - 32))] = byte
        seal.seal(whole, block.at / 8, whole[12] as 1, whole[14], 0, block.bytes - 32)
        file.writeSync(hostile, 0)
        const env = new TableEnv({ vfs, ...context, blockBytes: 1024, cacheBytes: 1 << 16 })
        const table = new Table(env, path, meta)
        const lookup = new Lookup()
        for (let i = 0; i < versions.length; i += 23) {
          const { key } = versions[i]
          keyHash.hash(key, 0, key.length)
          expectTyped(() => table.find(key, keyHash, newestSeq, lookup, true))
        }
        for (const reverse of [false, true]) {
          const cursor = new TableCursor(table)
          let steps = 0
          expectTyped(() => {
            for (let is = cursor.seek(undefined, reverse, true); is; is = cursor.next(true)) {
              expect(++steps).toBeLessThan(5000)
              cursor.find(newestSeq, lookup, true)
            }
          })
          cursor.close()
        }
        table.drop()
        expect(env.cache.residentCount).toBe(0)
        await scanTable(vfs, meta).catch((error: unknown) => expect(isCorruption(error)).toBe(true))
        const progress = { report() {}, signal: undefined }
        await checkTable(vfs, path, meta, context, 'comprehensive', progress)
      }),
      { numRuns: 250 }
    )
    file.closeSync()
  })
})
