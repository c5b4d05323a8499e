import { describe, expect, it } from 'vitest'
import { entriesOf, failureCode, useStores } from '../helpers/store.js'
import { turn } from '../helpers/test-clock.js'
import { testedBackend } from '../helpers/tested-backend.js'

const stores = useStores()

describe('closing', () => {
  it('waits for everything that is under way', async () => {
    const { store, vfs } = await stores.memory()
    const outcomes: string[] = []
    const work = [
      store.put('a', '1').then(() => outcomes.push('put')),
      store.batch([{ type: 'put', key: 'b', value: '2' }]).then(() => outcomes.push('batch')),
      store.persist().then(() => outcomes.push('persist'))
    ]
    await store.close()
    await Promise.all(work)
    expect(outcomes.sort()).toEqual(['batch', 'persist', 'put'])
    const { store: again } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    expect(entriesOf(again)).toEqual([
      ['a', '1'],
      ['b', '2']
    ])
  })

  it('settles every promise, whatever was going on', async () => {
    const { store } = await stores.memory()
    for (let i = 0; i < 100; i++) void store.put(`k${i}`, Buffer.alloc(500, i))
    const signal = new AbortController().signal
    const work: Promise<unknown>[] = [
      store.get('k1'),
      store.getMany(['k1', 'k2']),
      store.transaction(async (tx) => {
        await tx.get('k1')
        await turn()
        tx.put('k', 'v')
      }),
      store.flush(),
      store.persist(),
      store.compact(),
      store.verify('comprehensive'),
      (async () => {
        for await (const _ of store.entries({ signal })) await turn()
      })()
    ]
    const closing = store.close()
    const outcomes = await Promise.allSettled([...work, closing])
    expect(outcomes.at(-1)!.status).toBe('fulfilled')
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected')
        expect(outcome.reason.code).toMatch(/^KINTSUGI_.*NOT_OPEN$/)
    }
  })

  it('may be done twice, also at the same time', async () => {
    const { store } = await stores.memory()
    await store.put('k', 'v')
    const first = store.close()
    const second = store.close()
    await Promise.all([first, second])
    await store.close()
    expect(store.isOpen).toBe(false)
  })

  it('refuses every use afterwards, with the same code', async () => {
    const { store } = await stores.memory()
    await store.put('k', 'v')
    await store.close()
    const uses: (() => unknown)[] = [
      () => store.get('k'),
      () => store.getSync('k'),
      () => store.getMany(['k']),
      () => store.getManySync(['k']),
      () => store.has('k'),
      () => store.hasSync('k'),
      () => store.put('k', 'v'),
      () => store.putSync('k', 'v'),
      () => store.del('k'),
      () => store.delSync('k'),
      () => store.batch([]),
      () => store.batchSync([]),
      () => store.batch([{ type: 'del', key: 'k' }]),
      () => store.clear(),
      () => store.entries(),
      () => store.keys(),
      () => store.values(),
      () => store.snapshot(),
      () => store.transaction(() => undefined),
      () => store.flush(),
      () => store.persist(),
      () => store.compact(),
      () => store.verify(),
      () => store.stats(),
      () => store.approximateSize()
    ]
    for (const use of uses) expect(await failureCode(use), String(use)).toBe('KINTSUGI_NOT_OPEN')
  })

  it('refuses writes as soon as it has begun', async () => {
    const { store } = await stores.memory()
    const closing = store.close()
    expect(await failureCode(() => store.put('k', 'v'))).toBe('KINTSUGI_NOT_OPEN')
    expect(await failureCode(() => store.getSync('k'))).toBe('KINTSUGI_NOT_OPEN')
    await closing
  })

  it('from within a transaction lets it fail, not hang', async () => {
    const { store } = await stores.memory()
    const outcome = await store
      .transaction(async (tx) => {
        tx.put('k', 'v')
        await store.close()
      })
      .catch((error: { code: string }) => error.code)
    expect(outcome).toMatch(/NOT_OPEN$/)
  })

  it('gives up the lock, and leaves no timer behind', async () => {
    const { store, vfs, clock } = await stores.memory()
    await store.put('k', 'v')
    await store.close()
    expect(clock.pendingTimers).toBe(0)
    const operations = vfs.operationCount
    await clock.run(100_000, 10_000)
    expect(vfs.operationCount).toBe(operations)
    const { store: again } = await stores.memory({ vfs })
    expect(again.recovery.clean).toBe(true)
  })

  it('happens at the end of an `await using` block', async () => {
    const { store } = await stores.memory()
    expect(typeof store[Symbol.asyncDispose]).toBe('function')
    await store[Symbol.asyncDispose]()
    expect(store.isOpen).toBe(false)
  })

  it('leaves a store that opens without any replay, time after time', async () => {
    const made = await stores.memory()
    const { vfs } = made
    let { store } = made
    for (let round = 0; round < 20; round++) {
      await store.put(`k${round}`, Buffer.alloc(700, round))
      await store.close()
      const files = vfs.medium.paths().length
      expect(files).toBeLessThan(testedBackend === 'btree' ? 16 : 40)
      store = (await stores.memory({ vfs })).store
      expect(store.recovery).toMatchObject({ clean: true, replayedCommits: 0, droppedBytes: 0 })
      expect(store.seq).toBe(round + 1)
    }
  })

  it('without a write in between changes nothing that is worth a new sequence number', async () => {
    const made = await stores.memory()
    const { vfs } = made
    let { store } = made
    await store.put('k', 'v')
    for (let round = 0; round < 10; round++) {
      await store.close()
      store = (await stores.memory({ vfs })).store
      expect(store.seq).toBe(1)
    }
    const size = vfs.medium.paths().reduce((sum, path) => sum + vfs.medium.read(path).length, 0)
    expect(size).toBeLessThan(200_000)
  })
})
