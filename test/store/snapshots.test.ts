import { describe, expect, it } from 'vitest'
import { allOf, failureCode, useStores } from '../helpers/store.js'

const stores = useStores()

describe('a snapshot', () => {
  it('stays as it is while everything around it changes', async () => {
    const { store, clock } = await stores.memory()
    const expected: [string, Buffer][] = []
    for (let i = 0; i < 300; i++) {
      const key = `k${String(i).padStart(4, '0')}`
      const value = Buffer.alloc(i % 40 === 0 ? 9000 : 100, i)
      await store.put(key, value)
      expected.push([key, value])
    }
    const snapshot = store.snapshot()
    expect(snapshot.seq).toBe(300)
    for (let round = 0; round < 3; round++) {
      await store.clear({ gte: `k0${round}`, lt: `k0${round}5` })
      for (let i = 0; i < 300; i += 2) await store.put(`k${String(i).padStart(4, '0')}`, 'new')
      await store.persist()
      await clock.run(100)
    }
    await store.compact()
    await store.clear()
    await store.persist()
    const found = (await allOf(snapshot.entries())).map(([key, value]) => [key.toString(), value])
    expect(found).toEqual(expected)
    const backward = (await allOf(snapshot.entries({ reverse: true }))).map(([key]) =>
      key.toString()
    )
    expect(backward).toEqual(expected.map(([key]) => key).toReversed())
    for (const [key, value] of expected) {
      expect(snapshot.getSync(key)).toEqual(value)
      expect(await snapshot.get(key)).toEqual(value)
    }
    expect(await snapshot.getMany(['k0001', 'none'])).toEqual([expected[1]![1], undefined])
    expect(await snapshot.has('none')).toBe(false)
    expect(await allOf(store.keys())).toEqual([])
    snapshot.close()
  })

  it('does not show commits that were under way when it was taken', async () => {
    const { store } = await stores.memory()
    await store.put('k', 'old')
    const putting = store.put('k', 'new')
    const snapshot = store.snapshot()
    await putting
    expect(snapshot.getSync('k')?.toString()).toBe('old')
    expect(store.getSync('k')?.toString()).toBe('new')
    snapshot.close()
  })

  it('does not work once it is closed, and neither do its iterators; closing twice is fine', async () => {
    const { store } = await stores.memory()
    await store.batch([
      { type: 'put', key: 'a', value: '1' },
      { type: 'put', key: 'b', value: '2' }
    ])
    const snapshot = store.snapshot()
    const iterator = snapshot.keys()
    snapshot.close()
    snapshot.close()
    for (const use of [
      () => snapshot.getSync('a'),
      () => snapshot.get('a'),
      () => snapshot.getMany(['a']),
      () => snapshot.getManySync(['a']),
      () => snapshot.has('a'),
      () => snapshot.entries()
    ]) {
      expect(await failureCode(use)).toBe('KINTSUGI_SNAPSHOT_NOT_OPEN')
    }
    expect(await failureCode(() => iterator.next())).toBe('KINTSUGI_ITERATOR_NOT_OPEN')
    expect(store.stats()).toMatchObject({ openSnapshots: 0, openIterators: 0 })
  })

  it('ends with its store', async () => {
    const { store } = await stores.memory()
    await store.put('a', '1')
    const snapshot = store.snapshot()
    await store.close()
    expect(await failureCode(() => snapshot.getSync('a'))).toBe('KINTSUGI_SNAPSHOT_NOT_OPEN')
    snapshot.close()
  })

  it('gives back what it held once the last of many is closed', async () => {
    const { store } = await stores.memory()
    const fill = async (round: number) => {
      for (let i = 0; i < 40; i++) {
        await store.put(`k${i}`, Buffer.alloc(3000, round), { durability: 'memory' })
      }
      await store.persist()
    }
    const snapshots = []
    for (let round = 0; round < 12; round++) {
      await fill(round)
      snapshots.push(store.snapshot())
    }
    snapshots.forEach((snapshot, round) => {
      expect(snapshot.getSync('k7')).toEqual(Buffer.alloc(3000, round))
      snapshot.close()
    })
    for (let round = 12; round < 16; round++) await fill(round)
    await store.compact()
    await store.persist()
    await store.persist()
    expect(await store.verify('comprehensive')).toEqual([])
    // 40 values of 3,000 bytes; room for two generations and slack, not for twelve.
    expect(store.stats().fileBytes ?? 0).toBeLessThan(900_000)
  })
})
