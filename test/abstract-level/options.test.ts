import { describe, expect, it } from 'vitest'
import { openRequestOf, type OpenOptions } from '../../dist/abstract-level/options.js'
import { KintsugiError } from '../../dist/index.js'
import { failure, useDatabases } from './databases.js'

const databases = useDatabases()
const KiB = 1024
const MiB = 1024 * KiB
const resolved = (options: OpenOptions) => openRequestOf('/db', options).options

describe('options of LevelDB', () => {
  it('have the names of their own in the store', () => {
    expect(resolved({ cacheSize: 8 * MiB }).cacheBytes).toBe(8 * MiB)
    expect(resolved({ writeBufferSize: 4 * MiB }).memtableBytes).toBe(4 * MiB)
    expect(resolved({ blockSize: 4096 }).blockBytes).toBe(4096)
    expect(resolved({ compression: true }).compression).toBe('lz4')
    expect(resolved({ compression: false }).compression).toBe('none')
    expect(resolved({ createIfMissing: false }).createIfMissing).toBe(false)
    expect(resolved({ errorIfExists: true }).errorIfExists).toBe(true)
  })

  it('are fitted to what there is', () => {
    expect(resolved({ cacheSize: 0 }).cacheBytes).toBe(MiB)
    expect(resolved({ writeBufferSize: 1 }).memtableBytes).toBe(64 * KiB)
    expect(resolved({ writeBufferSize: 2 ** 40 }).memtableBytes).toBe(1024 * MiB)
    for (const [given, expected] of [
      [0, 1],
      [500, 1],
      [5000, 4],
      [7000, 8],
      [16_384, 16],
      [1e9, 32]
    ]) {
      expect(resolved({ blockSize: given! }).blockBytes).toBe(expected! * KiB)
    }
  })

  it('without a counterpart are ignored, and so are those of others', () => {
    const ignored = {
      maxOpenFiles: 1000,
      blockRestartInterval: 16,
      maxFileSize: 2 * MiB,
      multithreading: true,
      passive: false,
      prefix: 'anything'
    }
    expect(resolved(ignored)).toEqual(resolved({}))
  })

  it('of the store itself are taken as they are, and win', () => {
    expect(resolved({}).durability).toBe('os')
    expect(resolved({ durability: 'memory' }).durability).toBe('memory')
    expect(resolved({ cacheBytes: 2 * MiB, cacheSize: 8 * MiB }).cacheBytes).toBe(2 * MiB)
    expect(resolved({ compression: ['none', 'lz4'] }).compression).toEqual(['none', 'lz4'])
    expect(resolved({ profile: 'low-memory' }).memtableBytes).toBe(16 * MiB)
    expect(openRequestOf('/db', { backend: 'lsm' }).backend).toBe('lsm')
    expect(resolved({ readOnly: true, walSegmentBytes: MiB }).walSegmentBytes).toBe(MiB)
  })

  it('that make no sense are refused by the name that was given', async () => {
    for (const [name, value] of [
      ['cacheSize', 'large'],
      ['writeBufferSize', -1],
      ['blockSize', NaN],
      ['compression', 'zip'],
      ['durability', 'maybe'],
      ['cacheBytes', 1],
      ['backend', 'rocks'],
      ['readOnly', 1]
    ] as const) {
      const options = { backend: 'btree', [name]: value } as OpenOptions
      const error = await failure(() => databases.make().open(options))
      expect(error.code).toBe('LEVEL_DATABASE_NOT_OPEN')
      expect(error.cause?.code).toBe('LEVEL_INVALID_ARGUMENT')
      expect(error.cause?.cause).toBeInstanceOf(KintsugiError)
      expect(error.cause?.message).toContain(`'${name}'`)
    }
  })

  it('may change from opening to opening, the block size too', async () => {
    const db = databases.make({ blockSize: 4096, cacheSize: 8 * MiB, compression: false })
    await db.put('a', '1')
    await db.close()
    await db.open({ blockSize: 16_384, cacheSize: 16 * MiB, compression: true })
    expect(await db.get('a')).toBe('1')
  })
})
