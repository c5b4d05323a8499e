import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../dist/base/random.js'
import { repair } from '../../dist/index.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { failure, failureCode, useStores } from '../helpers/store.js'
import { backendFiles } from '../helpers/tested-backend.js'

const stores = useStores()

const walFiles = (paths: readonly string[]) => paths.filter((path) => path.includes('/wal/'))

describe('persist', () => {
  it('leaves nothing to replay', async () => {
    const { store, vfs } = await stores.memory()
    for (let i = 0; i < 50; i++) await store.put(`k${i}`, Buffer.alloc(200, i))
    await store.persist()
    expect(store.stats().durableSeq).toBe(50)
    const { store: again } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    expect(again.recovery.replayedCommits).toBe(0)
    expect(again.seq).toBe(50)
  })

  it('retires the log that nobody needs any more', async () => {
    const { store, vfs } = await stores.memory()
    let most = 0
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 40; i++) await store.put(`k${i}`, Buffer.alloc(500, round))
      await store.persist()
      most = Math.max(most, walFiles(vfs.medium.paths()).length)
    }
    // Each round fills five segments; those of the last two persists and a stock of spares stay.
    expect(walFiles(vfs.medium.paths()).length).toBeLessThan(30)
    expect(most).toBeLessThan(40)
  })

  it('starts by itself by changed bytes, by log and by time', async () => {
    const { store, clock } = await stores.memory({ persistIntervalMs: 1000 })
    const persists: number[] = []
    store.events.on('persist', ({ seq }) => persists.push(seq))
    await store.put('k', 'v')
    await clock.run(1200, 50)
    expect(persists).toEqual([1])
    await clock.run(3000, 50)
    expect(persists).toEqual([1])
    for (let i = 0; i < 40; i++) await store.put(`k${i}`, Buffer.alloc(3000, i))
    await clock.run(200, 50)
    expect(persists.length).toBeGreaterThan(1)
    expect(store.stats().persists).toBe(persists.length)
  })

  it('may be asked for by many at once, and while writes go on', async () => {
    const { store, vfs } = await stores.memory()
    const work: Promise<unknown>[] = []
    for (let i = 0; i < 100; i++) {
      work.push(store.put(`k${i}`, Buffer.alloc(300, i)))
      if (i % 10 === 0) work.push(store.persist())
    }
    await Promise.all(work)
    const { store: again } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    expect(again.seq).toBe(100)
  })
})

describe('compact', () => {
  it('gives back the space of what is gone', async () => {
    const { store, vfs } = await stores.memory()
    const sizeOf = () =>
      vfs.medium
        .paths()
        .filter((path) => path.includes(backendFiles))
        .reduce((sum, path) => sum + vfs.medium.read(path).length, 0)
    for (let i = 0; i < 500; i++) {
      await store.put(`k${i}`, Buffer.alloc(1000, i), { durability: 'memory' })
    }
    await store.persist()
    const full = sizeOf()
    await store.clear({ gte: 'k1', lt: 'k9' })
    await store.compact()
    expect([...store.keys()].length).toBeGreaterThan(0)
    expect(await store.verify('comprehensive')).toEqual([])
    await store.close()
    expect(sizeOf()).toBeLessThan(full / 2)
  })

  it('keeps everything, of a range or of all, while others write and read', async () => {
    const { store } = await stores.memory()
    const keyOf = (i: number) => `k${String(i).padStart(4, '0')}`
    for (let i = 0; i < 800; i++) {
      await store.put(keyOf(i), Buffer.alloc(200, i), { durability: 'memory' })
    }
    await store.persist()
    for (let i = 0; i < 800; i += 3) await store.del(keyOf(i), { durability: 'memory' })
    const snapshot = store.snapshot()
    const before = [...snapshot.keys()].map(String)
    const work: Promise<unknown>[] = [store.compact({ gte: keyOf(100), lt: keyOf(400) })]
    for (let i = 0; i < 100; i++) work.push(store.put(keyOf(i * 8), 'new'))
    work.push(store.compact())
    await Promise.all(work)
    expect([...snapshot.keys()].map(String)).toEqual(before)
    snapshot.close()
    for (let i = 0; i < 800; i++) {
      const value = store.getSync(keyOf(i))
      if (i % 8 === 0) expect(value?.toString()).toBe('new')
      else if (i % 3 === 0) expect(value).toBeUndefined()
      else expect(value).toEqual(Buffer.alloc(200, i))
    }
  })

  it('of a level is refused where the level cannot be one, and where there are none', async () => {
    const { store } = await stores.memory({ backend: 'btree' })
    for (const level of [-1, 1.5, '1', null] as never[]) {
      const error = await failure(() => store.compact({ level }))
      expect([error.code, error.facts.option]).toEqual(['KINTSUGI_INVALID_OPTION', 'level'])
    }
    expect((await failure(() => store.compact({ level: 1 }))).code).toBe('KINTSUGI_NOT_SUPPORTED')
  })

  it('can be stopped by a signal, and reports its progress', async () => {
    const { store } = await stores.memory()
    for (let i = 0; i < 300; i++) {
      await store.put(`k${i}`, Buffer.alloc(1000, i), { durability: 'memory' })
    }
    await store.persist()
    const signal = AbortSignal.abort(new Error('no'))
    const works = [
      () => store.compact({ signal }),
      () => store.verify('basic', { signal }),
      () => repair('/nowhere', { vfs: new MemVfs(), signal })
    ]
    for (const work of works) {
      expect((await failure(work)).code, String(work)).toBe('KINTSUGI_ABORTED')
    }
    const reports: [number, number, string][] = []
    await store.compact({ onProgress: (...report) => reports.push(report) })
    for (const [done, total, unit] of reports) {
      expect(done).toBeGreaterThanOrEqual(0)
      expect(total === 0 || done <= total).toBe(true)
      expect(unit).toMatch(/\w+/)
    }
    expect([...store.keys()]).toHaveLength(300)
  })
})

describe('verify', () => {
  it('finds nothing in a sound store, at any level and any time', async () => {
    const { store, clock } = await stores.memory()
    for (const level of ['basic', 'standard', 'comprehensive'] as const) {
      expect(await store.verify(level)).toEqual([])
    }
    for (let i = 0; i < 200; i++) {
      await store.put(`k${i % 70}`, Buffer.alloc((i * 97) % 3000, i), { durability: 'memory' })
      if (i % 30 === 29) void store.persist()
      if (i % 25 === 0) {
        const level = (['basic', 'standard', 'comprehensive'] as const)[i % 3]
        expect(await store.verify(level)).toEqual([])
      }
      if (i % 40 === 0) await clock.run(30)
    }
    await store.clear()
    expect(await store.verify()).toEqual([])
  })

  it('names what is damaged of the data, and reads of it fail with a type', async () => {
    const { store, vfs } = await stores.memory({ expectDamage: true })
    for (let i = 0; i < 400; i++) {
      await store.put(`k${i}`, Buffer.alloc(200, i), { durability: 'memory' })
    }
    await store.close()
    const clone = vfs.crashClone('nothing')
    for (const path of clone.medium.paths().filter((name) => /tree\.pages|\.sst$/.test(name))) {
      const size = clone.medium.read(path).length
      // The meta pages are told in other tests.
      const first = path.endsWith('tree.pages') ? 3 * 4096 : 0
      for (let at = first; at < size - 2016; at += 4096) {
        clone.medium.overwrite(path, Buffer.alloc(16, 0xab), at + 2000)
      }
    }
    const outcome = await stores
      .memory({ vfs: clone, expectDamage: true })
      .catch((error: { code: string }) => error.code)
    if (typeof outcome === 'string') {
      expect(outcome).toBe('KINTSUGI_CORRUPTION')
      return
    }
    const { store: again } = outcome
    const findings = await again.verify('standard')
    expect(findings.length).toBeGreaterThan(0)
    for (const finding of findings) {
      expect(finding.path).toContain(backendFiles)
      expect(finding.kind).toMatch(/^[a-z]+(-[a-z]+)*$/)
    }
    expect(await failureCode(() => [...again.keys()])).toBe('KINTSUGI_CORRUPTION')
  })
})

describe('figures', () => {
  it('are all numbers', async () => {
    const { store } = await stores.memory()
    await store.put('k', 'v')
    await store.persist()
    const stats = store.stats()
    for (const [name, value] of Object.entries(stats)) {
      expect(Number.isFinite(value), name).toBe(true)
    }
    expect(stats).toMatchObject({ seq: 1, durableSeq: 1, commits: 1, operations: 1, persists: 1 })
    const iterator = store.keys()
    const snapshot = store.snapshot()
    expect(store.stats()).toMatchObject({ openIterators: 1, openSnapshots: 1 })
    iterator.close()
    snapshot.close()
  })

  it('tell the size of a range roughly', async () => {
    const { store } = await stores.memory()
    const random = new SeededRandom(1)
    for (let i = 0; i < 400; i++) {
      const noise = random.fill(Buffer.alloc(1000))
      await store.put(`k${String(i).padStart(4, '0')}`, noise, { durability: 'memory' })
    }
    await store.persist()
    const all = await store.approximateSize()
    expect(all).toBeGreaterThan(200_000)
    expect(all).toBeLessThan(2_000_000)
    const half = await store.approximateSize({ gte: 'k0000', lt: 'k0200' })
    expect(half).toBeGreaterThan(all / 5)
    expect(half).toBeLessThanOrEqual(all)
    expect(await store.approximateSize({ gte: 'x' })).toBeLessThan(all / 10)
  })
})
