import { describe, expect, it } from 'vitest'
import { optionNames, profileNames, resolveOptions } from '../../dist/options.js'
import { failure, useStores } from '../helpers/store.js'

const stores = useStores()

const MiB = 1024 * 1024

describe('a profile', () => {
  it('sets what the recovery of a machine in trouble asks for', () => {
    expect(resolveOptions({ profile: 'low-memory' })).toMatchObject({
      pageBytes: 4096,
      flushBytes: 64 * 1024,
      memtableBytes: 16 * MiB,
      maxLevels: 5,
      levelSizeMultiplier: 8,
      compactionThreshold: 2,
      cacheBytes: 64 * MiB,
      maxPendingBytes: 8 * MiB
    })
    expect(resolveOptions({ profile: 'safe-mode' })).toMatchObject({
      maxBackgroundJobs: 0,
      compression: 'lz4',
      cacheBytes: 128 * MiB,
      maxPendingBytes: 32 * MiB
    })
  })

  it('gives way to options that are given, and to none that is undefined', () => {
    const given = {
      profile: 'low-memory',
      cacheBytes: 5 * MiB,
      maxLevels: undefined as never
    } as const
    expect(resolveOptions(given)).toMatchObject({ cacheBytes: 5 * MiB, maxLevels: 5 })
  })

  it('has only values that are allowed when given', () => {
    for (const profile of profileNames) {
      const { profile: _, ...values } = resolveOptions({ profile })
      expect(resolveOptions({ ...values, profile })).toEqual({ ...values, profile })
      expect(Object.keys(values)).toHaveLength(optionNames.length - 1)
    }
  })

  it('that is called default changes nothing', () => {
    expect(resolveOptions({ profile: 'default' })).toEqual(resolveOptions({}))
  })

  it('makes a new store in its format, and leaves a store that is there in its own', async () => {
    const { store, vfs } = await stores.memory({ backend: 'btree', pageBytes: 8192 })
    for (let i = 0; i < 100; i++) await store.put(`k${i}`, Buffer.alloc(300, i))
    await store.close()
    const { store: again } = await stores.memory({
      vfs,
      backend: 'btree',
      pageBytes: undefined as never,
      profile: 'low-memory'
    })
    expect(again.getSync('k7')).toEqual(Buffer.alloc(300, 7))
    await again.put('more', 'of it')
    await again.close()
    const error = await failure(() => stores.memory({ vfs, backend: 'btree', pageBytes: 4096 }))
    expect([error.code, error.facts.option]).toEqual(['KINTSUGI_BACKEND_MISMATCH', 'pageBytes'])

    const { store: fresh, vfs: other } = await stores.memory({
      backend: 'btree',
      pageBytes: undefined as never,
      profile: 'low-memory'
    })
    await fresh.close()
    await stores.memory({ vfs: other, backend: 'btree', pageBytes: 4096 })
  })

  it('for trouble compacts nothing by itself, and what it is asked to', async () => {
    const { store } = await stores.memory({
      backend: 'lsm',
      profile: 'safe-mode',
      memtableBytes: 16 * 1024,
      pageBytes: undefined as never
    })
    const slowdowns: string[] = []
    for (const name of ['slowdown', 'stall'] as const)
      store.events.on(name, () => slowdowns.push(name))
    for (let round = 0; round < 30; round++) {
      for (let i = 0; i < 20; i++) await store.put(`k${i}`, Buffer.alloc(300, round))
      await store.persist()
    }
    expect(store.stats()).toMatchObject({ level0Files: 30, compactions: 0, compactionsRunning: 0 })
    expect(slowdowns).toEqual([])
    await store.compact()
    expect(store.stats()).toMatchObject({ level0Files: 0, files: 1 })
    expect(store.getSync('k7')).toEqual(Buffer.alloc(300, 29))
  })
})
