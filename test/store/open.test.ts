import { describe, expect, it } from 'vitest'
import { backendNames } from '../../dist/backends/registry.js'
import { open } from '../../dist/index.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import {
  deterministic,
  failure,
  failureCode,
  fingerprint,
  storePath,
  tiny,
  useStores
} from '../helpers/store.js'
import { testedBackend } from '../helpers/tested-backend.js'

const stores = useStores()

describe('opening', () => {
  it('creates a store with all parent directories where there is none', async () => {
    const { store, vfs } = await stores.memory({ path: '/some/where/deep' })
    expect(store.recovery).toMatchObject({ created: true, seq: 0, replayedCommits: 0 })
    expect(store.path).toBe('/some/where/deep')
    expect(vfs.readdirSync('/some/where/deep')).toEqual([
      'LOCK',
      'STORE-A',
      'STORE-B',
      `${testedBackend}-1`,
      'wal'
    ])
    await store.close()
    // All of it survives a power cut right away.
    const again = await stores.memory({ vfs: vfs.crashClone('nothing'), path: '/some/where/deep' })
    expect(again.store.recovery.created).toBe(false)
  })

  it('uses an empty directory, also one with lost+found', async () => {
    const vfs = new MemVfs()
    vfs.mkdirSync('/mount')
    vfs.mkdirSync('/mount/lost+found')
    const { store } = await stores.memory({ vfs, path: '/mount' })
    expect(store.recovery.created).toBe(true)
  })

  it('finds what was written before', async () => {
    const { store, vfs } = await stores.memory()
    await store.put('k', 'v')
    await store.close()
    const { store: again } = await stores.memory({ vfs })
    expect(again.getSync('k')).toEqual(Buffer.from('v'))
    expect(again.recovery).toMatchObject({
      created: false,
      clean: true,
      replayedCommits: 0,
      droppedBytes: 0,
      warnings: [],
      seq: 1
    })
    expect(again.seq).toBe(1)
  })

  it('says what it had to replay after a crash', async () => {
    const { store, vfs } = await stores.memory()
    for (let i = 0; i < 5; i++) await store.put(`k${i}`, 'v')
    const { store: again } = await stores.memory({ vfs: vfs.crashClone('everything') })
    expect(again.recovery).toMatchObject({
      created: false,
      clean: false,
      replayedCommits: 5,
      seq: 5
    })
    expect(again.recovery.replayedBytes).toBeGreaterThan(0)
    expect(again.recovery.epoch).toBeGreaterThan(store.recovery.epoch)
  })

  it('with createIfMissing false refuses where there is no store, and creates nothing', async () => {
    const vfs = new MemVfs()
    const code = await failureCode(() =>
      open(storePath, { ...deterministic(vfs), createIfMissing: false })
    )
    expect(code).toBe('KINTSUGI_STORE_MISSING')
    expect(vfs.operationCount).toBe(0)
    vfs.mkdirSync('/empty')
    const before = vfs.operationCount
    const second = await failureCode(() =>
      open('/empty', { ...deterministic(vfs), createIfMissing: false })
    )
    expect(second).toBe('KINTSUGI_STORE_MISSING')
    expect(vfs.operationCount).toBe(before)
  })

  it('with errorIfExists refuses where there is one, and leaves it as it is', async () => {
    const { store, vfs } = await stores.memory()
    await store.put('k', 'v')
    await store.close()
    const before = fingerprint(vfs)
    const error = await failure(() =>
      open(storePath, { ...deterministic(vfs), ...tiny, errorIfExists: true })
    )
    expect(error.code).toBe('KINTSUGI_STORE_EXISTS')
    expect(error.facts.path).toBe(storePath)
    expect(fingerprint(vfs)).toEqual(before)
    const { store: again } = await stores.memory({ vfs })
    expect(again.getSync('k')?.toString()).toBe('v')
  })

  it('keeps the page or block size a store was created with', async () => {
    const { store, vfs } = await stores.memory()
    await store.put('k', 'v')
    await store.close()
    const { pageBytes: _page, blockBytes: _block, ...withoutSizes } = tiny
    const implicit = await open(storePath, { ...deterministic(vfs), ...withoutSizes })
    expect(implicit.getSync('k')?.toString()).toBe('v')
    await implicit.close()
    const other = { pageBytes: 16_384, blockBytes: 16_384 }
    const error = await failure(() => open(storePath, { ...deterministic(vfs), ...tiny, ...other }))
    expect(error.code).toBe('KINTSUGI_BACKEND_MISMATCH')
    const again = await open(storePath, { ...deterministic(vfs), ...tiny })
    expect(again.getSync('k')?.toString()).toBe('v')
    await again.close()
  })

  it.each(backendNames.filter((name) => name !== testedBackend))(
    'refuses the backend %s for it, and changes nothing',
    async (backend) => {
      const { store, vfs } = await stores.memory()
      await store.put('k', 'v')
      await store.close()
      const before = fingerprint(vfs)
      for (const readOnly of [false, true]) {
        const options = { ...deterministic(vfs), ...tiny, backend, readOnly }
        const error = await failure(() => open(storePath, options))
        expect(error.code).toBe('KINTSUGI_BACKEND_MISMATCH')
        expect(error.message).toContain(`'${testedBackend}'`)
      }
      expect(fingerprint(vfs)).toEqual(before)
      const { store: again } = await stores.memory({ vfs })
      expect(again.getSync('k')?.toString()).toBe('v')
    }
  )

  it('takes other sizes of segments for the same store', async () => {
    const { store, vfs } = await stores.memory({ walSegmentBytes: 4096 })
    for (let i = 0; i < 30; i++) await store.put(`k${i}`, Buffer.alloc(500, i))
    const clone = vfs.crashClone('nothing')
    const { store: larger } = await stores.memory({ vfs: clone, walSegmentBytes: 65_536 })
    for (let i = 30; i < 60; i++) await larger.put(`k${i}`, Buffer.alloc(500, i))
    const again = clone.crashClone('nothing')
    const { store: smaller } = await stores.memory({ vfs: again, walSegmentBytes: 8192 })
    for (let i = 0; i < 60; i++) expect(smaller.getSync(`k${i}`)).toEqual(Buffer.alloc(500, i))
  })
})

describe('opening read-only', () => {
  it('refuses where there is no store, and creates nothing', async () => {
    const vfs = new MemVfs()
    const code = await failureCode(() => open(storePath, { ...deterministic(vfs), readOnly: true }))
    expect(code).toBe('KINTSUGI_STORE_MISSING')
    expect(vfs.medium.paths()).toEqual([])
  })

  it('shows everything a crash left, and writes nothing', async () => {
    const { store, vfs } = await stores.memory()
    for (let i = 0; i < 40; i++) await store.put(`k${i}`, Buffer.alloc(300, i))
    await store.persist()
    for (let i = 40; i < 60; i++) await store.put(`k${i}`, Buffer.alloc(300, i))
    const clone = vfs.crashClone('nothing')
    const before = fingerprint(clone)
    const operations = clone.operationCount
    const { store: reader } = await stores.memory({ vfs: clone, readOnly: true })
    for (let i = 0; i < 60; i++) expect(reader.getSync(`k${i}`)).toEqual(Buffer.alloc(300, i))
    expect([...reader.keys()]).toHaveLength(60)
    const snapshot = reader.snapshot()
    expect(snapshot.getSync('k0')).toEqual(Buffer.alloc(300, 0))
    snapshot.close()
    expect(await reader.verify('comprehensive')).toEqual([])
    await reader.close()
    expect(fingerprint(clone)).toEqual(before)
    // Only the lock file may have been touched.
    expect(clone.operationCount - operations).toBeLessThanOrEqual(1)
  })

  it('refuses every write', async () => {
    const { store, vfs } = await stores.memory()
    await store.put('k', 'v')
    await store.close()
    const { store: reader } = await stores.memory({ vfs, readOnly: true })
    const writes: (() => unknown)[] = [
      () => reader.put('a', 'b'),
      () => reader.del('k'),
      () => reader.batch([{ type: 'put', key: 'a', value: 'b' }]),
      () => reader.clear(),
      () => reader.putSync('a', 'b'),
      () => reader.delSync('k'),
      () => reader.batchSync([{ type: 'del', key: 'k' }]),
      () => reader.transaction((tx) => tx.put('a', 'b')),
      () => reader.persist(),
      () => reader.compact(),
      () => reader.flush()
    ]
    for (const write of writes) expect(await failureCode(write)).toBe('KINTSUGI_READ_ONLY')
    expect(reader.getSync('k')?.toString()).toBe('v')
  })

  it('lets several readers in together, and no writer beside them', async () => {
    const { store, vfs } = await stores.memory()
    await store.put('k', 'v')
    await store.close()
    const { store: first } = await stores.memory({ vfs, readOnly: true })
    const { store: second } = await stores.memory({ vfs, readOnly: true })
    expect(first.getSync('k')).toEqual(second.getSync('k'))
    expect(await failureCode(() => open(storePath, { ...deterministic(vfs), ...tiny }))).toBe(
      'KINTSUGI_LOCKED'
    )
    await first.close()
    await second.close()
    const { store: writer } = await stores.memory({ vfs })
    expect(
      await failureCode(() => open(storePath, { ...deterministic(vfs), ...tiny, readOnly: true }))
    ).toBe('KINTSUGI_LOCKED')
    await writer.put('k', 'w')
  })
})

describe('a second opener in the same process', () => {
  it('gets an error that names the owner, and harms nobody', async () => {
    const { store, vfs } = await stores.memory()
    await store.put('k', 'v')
    for (let i = 0; i < 3; i++) {
      const error = await failure(() => open(storePath, { ...deterministic(vfs), ...tiny }))
      expect(error.code).toBe('KINTSUGI_LOCKED')
      expect(error.facts.owner).toMatchObject({ pid: 1, host: 'memory' })
      expect(error.retryable).toBe(true)
    }
    await store.put('k', 'w')
    await store.close()
    const { store: again } = await stores.memory({ vfs })
    expect(again.getSync('k')?.toString()).toBe('w')
  })

  it('is refused on disk as well, by whatever path it comes', async () => {
    const directory = stores.directory()
    const store = await stores.disk(`${directory}/s`)
    for (const path of [`${directory}/s`, `${directory}/./s`, `${directory}/s/../s/`]) {
      const error = await failure(() => open(path))
      expect(error.code).toBe('KINTSUGI_LOCKED')
      expect(error.facts.owner?.pid).toBe(process.pid)
    }
    await store.put('k', 'v')
  })

  it('gets in once the first has closed, also when both wait at once', async () => {
    const { store, vfs } = await stores.memory()
    const closing = store.close()
    await closing
    const outcomes = await Promise.allSettled(
      Array.from({ length: 4 }, () => open(storePath, { ...deterministic(vfs), ...tiny }))
    )
    const won = outcomes.filter((outcome) => outcome.status === 'fulfilled')
    expect(won).toHaveLength(1)
    stores.track(won[0]!.value, false)
  })
})
