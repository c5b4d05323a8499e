import fs from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { LevelDb } from '../../../dist/backends/level/level-db.js'
import { levelKind } from '../../../dist/backends/level/level-kind.js'
import { KintsugiError } from '../../../dist/errors.js'
import { MemVfs } from '../../../dist/vfs/mem-vfs.js'
import { failure, failureCode } from '../../helpers/store.js'
import {
  apply,
  clear,
  contextOn,
  create,
  databasePath,
  del,
  directory,
  emptyDisk,
  forThisTest,
  persist,
  progress,
  put,
  reopen,
  statePath,
  textOf
} from './level-harness.js'

/** LevelDB files themselves, by the library. */
async function rawLevel(path: string) {
  const { ClassicLevel } = await import('classic-level')
  const level = new ClassicLevel<Buffer, Buffer>(path, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer'
  })
  await level.open()
  return level
}

const storedKey = (key: string): Buffer => Buffer.from(`\x01${key}`, 'latin1')

describe('a level backend', () => {
  it('refuses file systems where LevelDB finds no files', async () => {
    const vfs = new MemVfs()
    vfs.mkdirSync(directory)
    const context = await contextOn(vfs)
    for (const attempt of ['create', 'open'] as const) {
      expect(await failureCode(() => levelKind[attempt](context))).toBe('KINTSUGI_NOT_SUPPORTED')
    }
  })

  it('says why cursors cannot wait and single levels are not compacted', async () => {
    const backend = await create(emptyDisk().vfs)
    apply(backend, 1, put('a', '1'))
    const view = backend.readView()
    const cursor = view.cursor({ range: {}, reverse: false, keys: true, values: true })
    const error = await failure(() => cursor.nextChunkSync(1))
    expect(error.code).toBe('KINTSUGI_NOT_SUPPORTED')
    expect(error.message).toContain('for await')
    cursor.close()
    view.close()
    const level = await failure(() => backend.compact({}, progress, 1))
    expect(level.code).toBe('KINTSUGI_NOT_SUPPORTED')
  })

  it('never shows a value that is not what was written there', async () => {
    const disk = emptyDisk()
    const backend = await create(disk.vfs)
    apply(backend, 1, put('a', 'first'), put('b', 'second'), put('c', 'third'))
    await persist(backend)
    await backend.close()
    const level = await rawLevel(join(disk.root, databasePath))
    // One value under another's key, whole as it is.
    const second = (await level.get(storedKey('b')))!
    await level.put(storedKey('a'), second, { sync: true })
    await level.close()
    const again = await reopen(disk.vfs)
    const key = Buffer.from('a')
    for (const read of [() => again.getSync(key), () => again.load(key)]) {
      const error = await failure(read)
      expect(error.code).toBe('KINTSUGI_CORRUPTION')
      expect(error.facts.lowKey).toEqual(key)
      expect(error.message).toContain('kintsugi repair')
    }
    const view = again.readView()
    const values: (Buffer | undefined | null)[] = [null, null]
    const many = () => view.loadMany([Buffer.from('b'), key], values)
    expect(await failureCode(many)).toBe('KINTSUGI_CORRUPTION')
    // Keys alone are vouched for by the same checksum.
    for (const options of [
      { keys: true, values: true },
      { keys: true, values: false }
    ]) {
      const cursor = view.cursor({ range: {}, reverse: false, ...options })
      const walk = async () => {
        while (cursor.tryNextChunk(10) !== undefined) await cursor.load()
      }
      expect(await failureCode(walk)).toBe('KINTSUGI_CORRUPTION')
      cursor.close()
    }
    view.close()
    expect(textOf(again, 'b')).toBe('second')
    expect(again.damagedRanges()).toMatchObject([{ lowKey: key }])
    const findings = await again.verify('comprehensive', progress)
    expect(findings.filter(({ severity }) => severity === 'error')).toHaveLength(1)
  })

  it('refuses a LevelDB that is older than what was synced', async () => {
    const disk = emptyDisk()
    const backend = await create(disk.vfs)
    apply(backend, 1, put('a', '1'))
    await persist(backend)
    const old = forThisTest(disk.copy())
    apply(backend, 2, put('a', '2'))
    await persist(backend)
    await backend.close()
    fs.rmSync(join(disk.root, databasePath), { recursive: true })
    fs.cpSync(join(old.root, databasePath), join(disk.root, databasePath), { recursive: true })
    const error = await failure(() => reopen(disk.vfs))
    expect(error.code).toBe('KINTSUGI_CORRUPTION')
    expect(error.message).toContain('kintsugi repair')
  })

  it('refuses a LevelDB whose own key was taken back, although its files are whole', async () => {
    const disk = emptyDisk()
    const backend = await create(disk.vfs)
    apply(backend, 1, put('a', '1'))
    await persist(backend)
    await backend.close()
    const level = await rawLevel(join(disk.root, databasePath))
    await level.del(Buffer.from('\0applied', 'latin1'), { sync: true })
    await level.close()
    const error = await failure(() => reopen(disk.vfs))
    expect(error.code).toBe('KINTSUGI_CORRUPTION')
    expect(error.message).toContain('should be at 1')
  })

  it('refuses a missing LevelDB directory and a missing state', async () => {
    const disk = emptyDisk()
    const backend = await create(disk.vfs)
    apply(backend, 1, put('a', '1'))
    await persist(backend)
    await backend.close()
    const copy = forThisTest(disk.copy())
    fs.rmSync(join(disk.root, databasePath), { recursive: true })
    expect(await failureCode(() => reopen(disk.vfs))).toBe('KINTSUGI_CORRUPTION')
    expect(disk.vfs.statSync(databasePath)).toBeUndefined()
    fs.rmSync(join(copy.root, statePath))
    expect(await failureCode(() => reopen(copy.vfs))).toBe('KINTSUGI_CORRUPTION')
  })

  it('falls back to the older state where the newer is damaged, and takes the log from there', async () => {
    const disk = emptyDisk()
    const backend = await create(disk.vfs)
    for (let seq = 1; seq <= 3; seq++) {
      apply(backend, seq, put('a', `${seq}`), put(`k${seq}`, 'v'), clear('k1', 'k2'))
      await persist(backend)
    }
    const { durableSeq, retirableSeq } = backend
    expect([durableSeq, retirableSeq]).toEqual([3, 2])
    await backend.close()
    const state = fs.readFileSync(join(disk.root, statePath))
    const generations = [0, 4096].map(
      (at) => /"generation":(\d+)/.exec(state.toString('latin1', at, at + 4096))![1]
    )
    const newest = Number(generations[0]) > Number(generations[1]) ? 0 : 4096
    state[newest + 40]! ^= 1
    fs.writeFileSync(join(disk.root, statePath), state)
    const again = await reopen(disk.vfs)
    // Opening has written the damaged slot anew.
    expect([again.durableSeq, again.retirableSeq]).toEqual([2, 2])
    apply(again, 3, put('a', '3'), put('k3', 'v'), clear('k1', 'k2'))
    expect([textOf(again, 'a'), textOf(again, 'k1'), textOf(again, 'k3')]).toEqual([
      '3',
      undefined,
      'v'
    ])
    expect(await persist(again)).toBe(3)
    expect(await again.verify('comprehensive', progress)).toEqual([])
  })

  it('stops writing when LevelDB cannot write, and keeps reading', async () => {
    const disk = emptyDisk()
    const backend = await create(disk.vfs)
    apply(backend, 1, put('a', '1'))
    await persist(backend)
    apply(backend, 2, put('a', '2'), put('b', '2'))
    const write = vi.spyOn(LevelDb.prototype, 'write')
    write.mockRejectedValueOnce(new KintsugiError('KINTSUGI_DISK_FULL', 'no room'))
    expect(await failureCode(() => persist(backend))).toBe('KINTSUGI_DISK_FULL')
    const calls = write.mock.calls.length
    expect(await failureCode(() => persist(backend))).toBe('KINTSUGI_READ_ONLY')
    expect(await failureCode(() => apply(backend, 3, del('a')))).toBe('KINTSUGI_READ_ONLY')
    expect(write.mock.calls.length).toBe(calls)
    write.mockRestore()
    expect([textOf(backend, 'a'), textOf(backend, 'b')]).toEqual(['2', '2'])
    await backend.close()
    const again = await reopen(disk.vfs)
    expect(again.durableSeq).toBe(1)
    expect(textOf(again, 'a')).toBe('1')
  })

  it('closes while reads, cursors and a persist are under way: they end, one way or the other', async () => {
    for (let round = 0; round < 10; round++) {
      const disk = emptyDisk()
      const backend = await create(disk.vfs)
      for (let seq = 1; seq <= 200; seq++) apply(backend, seq, put(`k${seq}`, 'v'.repeat(2000)))
      await persist(backend)
      for (let seq = 201; seq <= 300; seq++) apply(backend, seq, put(`k${seq}`, 'v'.repeat(2000)))
      const view = backend.readView()
      const cursor = view.cursor({ range: {}, reverse: round % 2 === 1, keys: true, values: true })
      expect(cursor.tryNextChunk(5)).toBeNull()
      const key = Buffer.from('k100')
      const underWay = [
        persist(backend),
        backend.load(key),
        view.load(key),
        view.loadMany([key, key], [null, null]),
        cursor.load(),
        backend.compact({}, progress)
      ]
      if (round % 3 > 0) await new Promise((resolve) => setTimeout(resolve, round))
      const closing = backend.close()
      const settled = await Promise.allSettled([...underWay, closing])
      for (const outcome of settled) {
        if (outcome.status === 'fulfilled') continue
        expect(outcome.reason).toBeInstanceOf(KintsugiError)
        expect((outcome.reason as KintsugiError).code).toBe('KINTSUGI_NOT_OPEN')
      }
      expect(settled.at(-1)!.status).toBe('fulfilled')
      expect(await failureCode(() => backend.load(key))).toBe('KINTSUGI_NOT_OPEN')
      expect(await failureCode(() => backend.getSync(Buffer.from('k1')))).toBe('KINTSUGI_NOT_OPEN')
      // What was open is closed afterwards, as a store that is dropped would.
      cursor.close()
      view.close()
      const again = await reopen(disk.vfs)
      expect(again.durableSeq).toBeGreaterThanOrEqual(200)
      await again.close()
    }
  })

  it('has LevelDB’s figures and its own, all of them numbers', async () => {
    const backend = await create(emptyDisk().vfs)
    for (let seq = 1; seq <= 50; seq++) apply(backend, seq, put(`k${seq}`, 'v'.repeat(500)))
    expect(backend.stats()).toMatchObject({ levelPersists: 0, unverified: 0, filesAtLevel0: 0 })
    expect(backend.stats().overlayBytes).toBeGreaterThan(25_000)
    await persist(backend)
    await backend.compact({}, progress)
    const stats = backend.stats()
    expect(stats).toMatchObject({ overlayBytes: 0, levelPersists: 1, levelWrittenEntries: 51 })
    const files = Object.keys(stats).filter((name) => name.startsWith('filesAtLevel'))
    expect(
      files.map((name) => stats[name]).reduce((sum, count) => sum! + count!, 0)
    ).toBeGreaterThan(0)
    expect(Object.values(stats).every(Number.isFinite)).toBe(true)
    expect(await backend.approximateSize({})).toBeGreaterThan(0)
    expect(await backend.approximateSize({ gte: Buffer.from('x'), lt: Buffer.from('a') })).toBe(0)
  })
})
