import { describe, expect, it } from 'vitest'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { entriesOf, failureCode, useStores } from '../helpers/store.js'

const stores = useStores()

describe('points', () => {
  it('come back as they were put, as bytes of the caller’s own', async () => {
    const { store } = await stores.memory()
    const value = Buffer.from('value')
    await store.put('key', value)
    value.fill(0)
    const first = (await store.get('key'))!
    expect(first.toString()).toBe('value')
    first.fill(1)
    const second = store.getSync('key')!
    expect(second.toString()).toBe('value')
    second.fill(2)
    expect((await store.getMany(['key']))[0]?.toString()).toBe('value')
    expect([...store.values()][0]!.toString()).toBe('value')
  })

  it('take the bytes as they are when the call is made', async () => {
    const { store } = await stores.memory()
    const key = Buffer.from('key')
    const value = Buffer.from('value')
    const putting = store.put(key, value)
    key.fill(0x78)
    value.fill(0)
    const deleted = Buffer.from('gone')
    await store.put('gone', '1')
    const deleting = store.del(deleted)
    deleted.fill(0x78)
    const operations = [{ type: 'put' as const, key: Buffer.from('b'), value: Buffer.from('1') }]
    const batching = store.batch(operations)
    operations[0]!.key.fill(0x78)
    operations[0]!.value.fill(0x78)
    await Promise.all([putting, deleting, batching])
    expect(entriesOf(store)).toEqual([
      ['b', '1'],
      ['key', 'value']
    ])
  })

  it('may be strings, Buffers or Uint8Arrays, views of larger ones included', async () => {
    const { store } = await stores.memory()
    const memory = new Uint8Array(100).map((_, i) => i)
    await store.put(memory.subarray(10, 13), memory.subarray(20, 22))
    expect(store.getSync(Buffer.from([10, 11, 12]))).toEqual(Buffer.from([20, 21]))
    await store.put('grüße', '漢字')
    expect(store.getSync(Buffer.from('grüße'))?.toString()).toBe('漢字')
  })

  it('may be empty', async () => {
    const { store, vfs } = await stores.memory()
    await store.put('', 'value of the empty key')
    await store.put('empty', '')
    expect(store.getSync('empty')).toEqual(Buffer.alloc(0))
    expect(await store.get('')).toEqual(Buffer.from('value of the empty key'))
    expect(await store.has('empty')).toBe(true)
    await store.close()
    const { store: again } = await stores.memory({ vfs })
    expect(entriesOf(again)).toEqual([
      ['', 'value of the empty key'],
      ['empty', '']
    ])
    await again.del('')
    expect(again.hasSync('')).toBe(false)
  })

  it('that are not there are undefined', async () => {
    const { store } = await stores.memory()
    expect(await store.get('k')).toBeUndefined()
    expect(store.getSync('k')).toBeUndefined()
    expect(await store.has('k')).toBe(false)
    expect(store.hasSync('k')).toBe(false)
    await store.put('b', '1')
    expect(await store.getMany(['a', 'b', 'c'])).toEqual([undefined, Buffer.from('1'), undefined])
    expect(store.getManySync(['a', 'b', 'c', 'b'])).toHaveLength(4)
    expect(await store.getMany([])).toEqual([])
    await store.del('never there')
  })

  it('read one’s own writes as soon as they are acknowledged', async () => {
    const { store } = await stores.memory()
    for (let i = 0; i < 50; i++) {
      await store.put('k', `${i}`)
      expect(store.getSync('k')?.toString()).toBe(`${i}`)
    }
  })

  it('are there for keys and values of any size', async () => {
    const { store, vfs } = await stores.memory()
    const sizes = [0, 1, 1023, 1024, 1025, 4095, 4096, 4097, 65_535]
    const values = [...sizes, 65_536, 100_000, 1_000_000]
    for (const size of sizes) await store.put(Buffer.alloc(size, 'k'), `key of ${size}`)
    for (const size of values) await store.put(`v${size}`, Buffer.alloc(size, `${size};`))
    const check = (opened: typeof store) => {
      for (const size of sizes) {
        expect(opened.getSync(Buffer.alloc(size, 'k'))?.toString()).toBe(`key of ${size}`)
      }
      for (const size of values) {
        expect(opened.getSync(`v${size}`)?.equals(Buffer.alloc(size, `${size};`))).toBe(true)
      }
      expect([...opened.keys()]).toHaveLength(sizes.length + values.length)
    }
    check(store)
    await store.persist()
    check(store)
    const { store: crashed } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    check(crashed)
    for (const size of values) await crashed.del(`v${size}`)
    expect([...crashed.keys()]).toHaveLength(sizes.length)
  })

  it('come out as strings with the encoding utf8', async () => {
    const { store } = await stores.memory({ keyEncoding: 'utf8', valueEncoding: 'utf8' })
    await store.put('ä', 'ö')
    expect(await store.get('ä')).toBe('ö')
    expect(store.getSync('ä')).toBe('ö')
    expect(store.getManySync(['ä', 'b'])).toEqual(['ö', undefined])
    expect([...store.entries()]).toEqual([['ä', 'ö']])
    expect([...store.keys()]).toEqual(['ä'])
    expect([...store.values()]).toEqual(['ö'])
    const snapshot = store.snapshot()
    expect(snapshot.getSync('ä')).toBe('ö')
    snapshot.close()
    await store.transaction(async (tx) => {
      expect(await tx.get('ä')).toBe('ö')
      expect([...tx.entries()]).toEqual([['ä', 'ö']])
    })
  })
})

describe('a batch', () => {
  it('carries out its operations in order, so that the last one on a key wins', async () => {
    const { store } = await stores.memory()
    await store.put('x', 'old')
    await store.batch([
      { type: 'put', key: 'a', value: '1' },
      { type: 'del', key: 'a' },
      { type: 'put', key: 'b', value: '1' },
      { type: 'put', key: 'b', value: '2' },
      { type: 'put', key: 'c', value: '1' },
      { type: 'clear', gte: 'c' },
      { type: 'put', key: 'd', value: '1' }
    ])
    expect(entriesOf(store)).toEqual([
      ['b', '2'],
      ['d', '1']
    ])
    expect(store.seq).toBe(2)
  })

  it('that is empty changes nothing and takes no number', async () => {
    const { store } = await stores.memory()
    await store.batch([])
    store.batchSync([])
    expect(store.seq).toBe(0)
  })

  it('with one bad operation writes nothing', async () => {
    const { store } = await stores.memory()
    const good = { type: 'put', key: 'a', value: '1' } as const
    const bad = { type: 'put', key: 'b', value: 7 } as never
    expect(await failureCode(() => store.batch([good, bad]))).toBe('KINTSUGI_INVALID_ARGUMENT')
    expect(await failureCode(() => store.batchSync([good, bad]))).toBe('KINTSUGI_INVALID_ARGUMENT')
    expect(store.seq).toBe(0)
    expect(entriesOf(store)).toEqual([])
  })

  it('may be larger than a segment of the log, and is one commit', async () => {
    const { store, vfs } = await stores.memory()
    const operations = Array.from({ length: 500 }, (_, i) => ({
      type: 'put' as const,
      key: `key${String(i).padStart(4, '0')}`,
      value: Buffer.alloc(100, i)
    }))
    await store.batch(operations)
    expect(store.seq).toBe(1)
    const { store: again } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    expect([...again.keys()]).toHaveLength(500)
    expect(again.recovery.replayedCommits).toBe(1)
  })
})

describe('clearing', () => {
  it('removes exactly the keys of its range', async () => {
    const { store } = await stores.memory({ keyEncoding: 'utf8' })
    const keys = ['a', 'b', 'b0', 'c', 'd']
    const left = async (range: Parameters<typeof store.clear>[0]) => {
      await store.batch(keys.map((key) => ({ type: 'put', key, value: key })))
      await store.clear(range)
      return [...store.keys()].join(' ')
    }
    expect(await left({ gte: 'b', lt: 'c' })).toBe('a c d')
    expect(await left({ gt: 'b', lte: 'c' })).toBe('a b d')
    expect(await left({ gt: 'b' })).toBe('a b')
    expect(await left({ lt: 'b' })).toBe('b b0 c d')
    expect(await left({ lte: 'b' })).toBe('b0 c d')
    expect(await left({ gte: 'd', lt: 'a' })).toBe('a b b0 c d')
    expect(await left({ gte: 'b', lte: 'b' })).toBe('a b0 c d')
    expect(await left({ gt: 'b', lt: 'b' })).toBe('a b b0 c d')
    expect(await left({ gte: '' })).toBe('')
    expect(await left({})).toBe('')
    expect(await left({ lt: '' })).toBe('a b b0 c d')
  })

  it('takes effect after everything enqueued before it, and before what follows', async () => {
    const { store } = await stores.memory()
    const work = [store.put('a', '1'), store.clear(), store.put('b', '2')]
    await Promise.all(work)
    expect(entriesOf(store)).toEqual([['b', '2']])
  })

  it('of many thousand entries survives a crash and gives the space back', async () => {
    const { store, vfs } = await stores.memory()
    for (let round = 0; round < 4; round++) {
      await store.batch(
        Array.from({ length: 1500 }, (_, i) => ({
          type: 'put' as const,
          key: `k${round}/${String(i).padStart(5, '0')}`,
          value: Buffer.alloc(90, i)
        }))
      )
    }
    await store.persist()
    await store.clear({ gte: 'k1', lt: 'k3' })
    expect([...store.keys()]).toHaveLength(3000)
    const { store: again } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    expect([...again.keys()]).toHaveLength(3000)
    await again.clear()
    expect([...again.keys()]).toEqual([])
    await again.persist()
    expect(await again.verify('comprehensive')).toEqual([])
  })
})

describe('reads that wait for the disk', () => {
  it('take the keys as they are when the call is made', async () => {
    const vfs = new MemVfs({ cachedReads: 'none' })
    const { store: before } = await stores.memory({ vfs })
    for (let i = 1000; i < 3000; i++) before.putSync(`k${i}`, `v${i}`, { durability: 'memory' })
    await before.close()
    const reads: ((key: Buffer, store: typeof before) => Promise<Buffer | undefined>)[] = [
      (key, store) => store.get(key),
      async (key, store) => (await store.getMany([key]))[0],
      (key, store) => store.snapshot().get(key),
      (key, store) =>
        store.transaction((tx) => {
          const reading = tx.get(key)
          key.write('k2000')
          return reading
        })
    ]
    for (const read of reads) {
      const { store } = await stores.memory({ vfs })
      const key = Buffer.from('k1000')
      const reading = read(key, store)
      key.write('k2000')
      expect(String(await reading)).toBe('v1000')
      await store.close()
    }
  })
})

describe('blocking writes', () => {
  it('are done when they return', async () => {
    const { store, vfs } = await stores.memory()
    store.putSync('a', '1')
    expect(store.getSync('a')?.toString()).toBe('1')
    store.batchSync([
      { type: 'put', key: 'b', value: '2' },
      { type: 'del', key: 'a' }
    ])
    store.putSync('c', '3')
    store.delSync('c')
    const { store: again } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    expect(entriesOf(again)).toEqual([['b', '2']])
  })

  it('keep their place among others that are under way', async () => {
    const { store, vfs } = await stores.memory()
    const before = [store.put('k', '1'), store.put('a', '1'), store.put('k', '2')]
    store.putSync('k', '3')
    expect(store.getSync('k')?.toString()).toBe('3')
    expect(store.getSync('a')?.toString()).toBe('1')
    const after = store.put('k', '4')
    const { store: crashed } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    expect(crashed.getSync('a')?.toString()).toBe('1')
    expect(['3', '4']).toContain(crashed.getSync('k')?.toString())
    await Promise.all([...before, after])
    expect(store.getSync('k')?.toString()).toBe('4')
    expect(store.seq).toBe(5)
  })
})
