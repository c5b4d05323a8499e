import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../dist/base/random.js'
import type { Transaction } from '../../dist/index.js'
import { type AnyStore, entriesOf, failure, failureCode, useStores } from '../helpers/store.js'
import { turn } from '../helpers/test-clock.js'

const stores = useStores()

async function nextTicks(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await Promise.resolve()
}

describe('a transaction', () => {
  it('commits what it wrote, and returns what its function returns', async () => {
    const { store } = await stores.memory()
    await store.put('a', '1')
    const result = await store.transaction(async (tx) => {
      expect((await tx.get('a'))?.toString()).toBe('1')
      tx.put('b', '2')
      tx.del('a')
      expect(tx.getSync('a')).toBeUndefined()
      expect(tx.getSync('b')?.toString()).toBe('2')
      expect(await tx.has('b')).toBe(true)
      return 42
    })
    expect(result).toBe(42)
    expect(entriesOf(store)).toEqual([['b', '2']])
    expect(store.seq).toBe(2)
  })

  it('is one commit: whole after a crash or absent', async () => {
    const { store, vfs } = await stores.memory()
    await store.transaction((tx) => {
      for (let i = 0; i < 100; i++) tx.put(`k${i}`, Buffer.alloc(100, i))
    })
    expect(store.seq).toBe(1)
    const { store: again } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    expect([...again.keys()]).toHaveLength(100)
  })

  it('writes nothing when its function throws, and passes the error on', async () => {
    const { store } = await stores.memory()
    const error = new Error('no')
    const failing = store.transaction((tx) => {
      tx.put('a', '1')
      throw error
    })
    await expect(failing).rejects.toBe(error)
    const rejecting = store.transaction(async (tx) => {
      tx.put('a', '1')
      await turn()
      throw error
    })
    await expect(rejecting).rejects.toBe(error)
    expect(store.seq).toBe(0)
    expect(store.stats().openSnapshots).toBe(0)
  })

  it('reads one state, whatever is committed meanwhile', async () => {
    const { store } = await stores.memory()
    await store.put('a', '1')
    let attempts = 0
    await store.transaction(async (tx) => {
      if (++attempts > 1) return
      expect((await tx.get('a'))?.toString()).toBe('1')
      await store.put('a', '2')
      await store.put('b', '2')
      expect((await tx.get('a'))?.toString()).toBe('1')
      expect(await tx.get('b')).toBeUndefined()
      expect(Array.from(tx.entries(), ([key]) => key.toString())).toEqual(['a'])
    })
    // It wrote nothing, so nothing could be inconsistent.
    expect(attempts).toBe(1)
  })

  it('shows its own writes among what is stored, in both directions', async () => {
    const { store } = await stores.memory({ keyEncoding: 'utf8', valueEncoding: 'utf8' })
    for (const key of ['b', 'd', 'f', 'h']) await store.put(key, 'stored')
    await store.transaction(async (tx) => {
      tx.put('a', 'own')
      tx.put('d', 'own')
      tx.put('g', 'own')
      tx.put('z', 'own')
      tx.del('f')
      tx.del('nothing')
      const expected = [
        ['a', 'own'],
        ['b', 'stored'],
        ['d', 'own'],
        ['g', 'own'],
        ['h', 'stored'],
        ['z', 'own']
      ]
      expect([...tx.entries()]).toEqual(expected)
      expect([...tx.entries({ reverse: true })]).toEqual(expected.toReversed())
      const found: unknown[] = []
      for await (const entry of tx.entries({ gt: 'a', lte: 'g' })) found.push(entry)
      expect(found).toEqual(expected.slice(1, 4))
      tx.clear({ gte: 'c', lt: 'h' })
      tx.put('e', 'after')
      expect(Array.from(tx.entries(), ([key]) => key)).toEqual(['a', 'b', 'e', 'h', 'z'])
      expect(await tx.get('d')).toBeUndefined()
    })
    expect([...store.keys()]).toEqual(['a', 'b', 'e', 'h', 'z'])
  })

  it('yields at most the limit of an iteration, own writes included', async () => {
    const { store } = await stores.memory({ keyEncoding: 'utf8' })
    for (const key of ['b', 'd', 'f', 'h']) await store.put(key, 'stored')
    await store.transaction(async (tx) => {
      tx.put('a', 'own')
      tx.put('c', 'own')
      tx.put('z', 'own')
      const all = ['a', 'b', 'c', 'd', 'f', 'h', 'z']
      for (let limit = 0; limit <= 8; limit++) {
        for (const reverse of [false, true]) {
          const expected = (reverse ? all.toReversed() : all).slice(0, limit)
          const read = Array.from(tx.entries({ limit, reverse }), ([key]) => key)
          expect(read).toEqual(expected)
          const found: string[] = []
          for await (const [key] of tx.entries({ limit, reverse })) found.push(key)
          expect(found).toEqual(expected)
        }
      }
    })
  })

  it('takes bytes as they are when they are given', async () => {
    const { store } = await stores.memory()
    await store.transaction(async (tx) => {
      const value = Buffer.from('value')
      const key = Buffer.from('key')
      tx.put(key, value)
      value.fill(0)
      key.fill(0)
      const read = tx.getSync('key')!
      read.fill(0)
      await turn()
    })
    expect(entriesOf(store)).toEqual([['key', 'value']])
  })

  it('cannot be used once it has ended', async () => {
    const { store } = await stores.memory()
    let leaked: Transaction | undefined
    await store.transaction((tx) => {
      leaked = tx
    })
    for (const use of [
      () => leaked!.get('a'),
      () => leaked!.getSync('a'),
      () => leaked!.put('a', '1'),
      () => leaked!.del('a'),
      () => leaked!.clear(),
      () => leaked!.entries()
    ]) {
      expect(await failureCode(use)).toBe('KINTSUGI_TRANSACTION_NOT_OPEN')
    }
  })

  it('refuses writes once its function has returned, rather than lose them', async () => {
    const { store } = await stores.memory()
    let late: Promise<unknown> | undefined
    await store.transaction((tx) => {
      tx.put('a', '1')
      // Some microtasks later the commit is on its way.
      late = nextTicks(4).then(() => tx.put('late', '1'))
      late.catch(() => undefined)
    })
    expect(await failureCode(() => late)).toBe('KINTSUGI_TRANSACTION_NOT_OPEN')
    expect(entriesOf(store)).toEqual([['a', '1']])
  })

  it('may write with a durability of its own', async () => {
    const { store, vfs } = await stores.memory({ durability: 'memory' })
    await store.transaction((tx) => tx.put('a', '1'), { durability: 'sync' })
    const { store: again } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    expect(entriesOf(again)).toEqual([['a', '1']])
  })
})

describe('a transaction conflicts', () => {
  type Memory = AnyStore
  type Tx = Transaction

  /** Runs `read`, then `other` outside, then commits a write; how often it had to run. */
  async function attemptsOf(
    read: (tx: Tx) => unknown,
    other: (store: Memory) => Promise<unknown> | void
  ): Promise<number> {
    const { store } = await stores.memory()
    for (const key of ['b', 'd', 'f']) await store.put(key, 'old')
    let attempts = 0
    await store.transaction(async (tx) => {
      attempts++
      await read(tx)
      if (attempts === 1) await other(store)
      tx.put('result', `${attempts}`)
    })
    expect(store.getSync('result')?.toString()).toBe(`${attempts}`)
    return attempts
  }

  const conflicts: [string, (tx: Tx) => unknown, (store: Memory) => Promise<unknown> | void][] = [
    ['a key it read was put', (tx) => tx.get('b'), (store) => store.put('b', 'new')],
    ['a key it read was put with the same value', (tx) => tx.get('b'), (s) => s.put('b', 'old')],
    ['a key it read was deleted', (tx) => tx.getSync('b'), (store) => store.del('b')],
    ['a key it looked for was put', (tx) => tx.has('c'), (store) => store.put('c', 'new')],
    ['a key it read was cleared', (tx) => tx.get('d'), (s) => s.clear({ gte: 'c', lt: 'e' })],
    ['a key in a range it read was put', (tx) => [...tx.entries()], (store) => store.put('d', 'n')],
    [
      'a key appeared in a range it read',
      (tx) => [...tx.entries({ gte: 'b', lt: 'd' })],
      (store) => store.put('c', 'phantom')
    ],
    [
      'a key appeared in an empty range it read',
      (tx) => [...tx.entries({ gt: 'b', lt: 'd' })],
      (store) => store.put('c', 'phantom')
    ],
    [
      'a range that overlaps its own was cleared',
      (tx) => [...tx.entries({ gte: 'a', lte: 'c' })],
      (store) => store.clear({ gte: 'c', lt: 'z' })
    ],
    ['a blocking write changed what it read', (tx) => tx.get('b'), (s) => s.putSync('b', 'new')],
    [
      'a write in memory changed what it read',
      (tx) => tx.get('b'),
      (store) => store.put('b', 'new', { durability: 'memory' })
    ],
    [
      'a batch changed what it read',
      (tx) => tx.get('b'),
      (store) => store.batch([{ type: 'del', key: 'b' }])
    ],
    [
      'another transaction changed what it read',
      (tx) => tx.get('b'),
      (store) => store.transaction((other: Transaction) => other.put('b', 'new'))
    ],
    [
      'a commit still under way changes what it read',
      (tx) => tx.get('b'),
      (store) => void store.put('b', 'new')
    ],
    [
      'it read a range partly, and the rest changed',
      (tx) => tx.entries({ limit: 1 })[Symbol.iterator]().next(),
      (store) => store.put('a', 'new')
    ]
  ]
  it.each(conflicts)('when %s', async (_, read, other) => {
    expect(await attemptsOf(read, other)).toBe(2)
  })

  const harmless: typeof conflicts = [
    ['another key was put', (tx) => tx.get('b'), (store) => store.put('c', 'new')],
    [
      'a key beside its range was put',
      (tx) => [...tx.entries({ gt: 'b', lt: 'f' })],
      (store) =>
        store.batch([
          { type: 'put', key: 'b', value: 'n' },
          { type: 'del', key: 'f' }
        ])
    ],
    ['nothing was read', () => undefined, (store) => store.put('b', 'new')],
    [
      'another range was cleared',
      (tx) => [...tx.entries({ lt: 'c' })],
      (store) => store.clear({ gte: 'c' })
    ],
    [
      'only its own write was read',
      (tx) => {
        tx.put('own', '1')
        return tx.get('own')
      },
      (store) => store.put('own', '2')
    ]
  ]
  it.each(harmless)('not when %s', async (_, read, other) => {
    expect(await attemptsOf(read, other)).toBe(1)
  })

  it('with commits that were under way before it began', async () => {
    const { store } = await stores.memory()
    await store.put('n', '0')
    const putting = store.put('n', '1')
    let attempts = 0
    await store.transaction(async (tx) => {
      attempts++
      const n = Number((await tx.get('n'))?.toString())
      tx.put('n', `${n + 10}`)
    })
    await putting
    expect(store.getSync('n')?.toString()).toBe('11')
    expect(attempts).toBeLessThanOrEqual(2)
  })

  it('as often as it may, then gives up with a conflict', async () => {
    const { store } = await stores.memory()
    await store.put('a', '0')
    for (const maxRetries of [0, 1, 3]) {
      let attempts = 0
      const error = await failure(() =>
        store.transaction(
          async (tx) => {
            attempts++
            await tx.get('a')
            await store.put('a', `${attempts}`)
            tx.put('never', '1')
          },
          { maxRetries }
        )
      )
      expect(error.code).toBe('KINTSUGI_CONFLICT')
      expect(error.retryable).toBe(true)
      expect(attempts).toBe(maxRetries + 1)
    }
    expect(store.getSync('never')).toBeUndefined()
    expect(store.stats().openSnapshots).toBe(0)
  })

  it('so that write skew cannot happen', async () => {
    const { store } = await stores.memory()
    await store.put('alice', 'on call')
    await store.put('bob', 'on call')
    const leave = (who: string) =>
      store.transaction(async (tx) => {
        const onCall = Array.from(tx.entries(), ([, value]) => value.toString()).filter(
          (state) => state === 'on call'
        )
        await turn()
        if (onCall.length < 2) return false
        tx.put(who, 'away')
        return true
      })
    const outcomes = await Promise.all([leave('alice'), leave('bob')])
    expect(outcomes.filter(Boolean)).toHaveLength(1)
  })

  it('so that counters and transfers of many at once come out right', async () => {
    const { store, vfs } = await stores.memory()
    const accounts = 6
    for (let i = 0; i < accounts; i++) await store.put(`account${i}`, '100')
    const random = new SeededRandom(1)
    const transfer = async () => {
      const from = `account${random.below(accounts)}`
      const to = `account${random.below(accounts)}`
      const amount = random.below(50)
      await store.transaction(
        async (tx) => {
          const balance = Number((await tx.get(from))!.toString())
          if (balance < amount || from === to) return
          if (random.chance(1, 2)) await turn()
          tx.put(from, `${balance - amount}`)
          tx.put(to, `${Number((await tx.get(to))!.toString()) + amount}`)
          const count = Number((await tx.get('count'))?.toString() ?? '0')
          tx.put('count', `${count + 1}`)
        },
        { maxRetries: 1000 }
      )
    }
    let done = 0
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let i = 0; i < 15; i++) await transfer().then(() => done++)
      })
    )
    expect(done).toBe(120)
    const sumOf = (opened: typeof store) => {
      let sum = 0
      for (let i = 0; i < accounts; i++) sum += Number(opened.getSync(`account${i}`)!.toString())
      return sum
    }
    expect(sumOf(store)).toBe(accounts * 100)
    const { store: again } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    expect(sumOf(again)).toBe(accounts * 100)
    expect(again.getSync('count')).toEqual(store.getSync('count'))
  })

  it('when too much was written meanwhile to remember', async () => {
    const { store } = await stores.memory({ durability: 'memory' })
    await store.put('a', '0')
    let attempts = 0
    await store.transaction(async (tx) => {
      attempts++
      await tx.get('a')
      if (attempts === 1) {
        for (let i = 0; i < 11; i++) {
          await store.batch(
            Array.from({ length: 10_000 }, (_, j) => ({
              type: 'put' as const,
              key: `other${i}/${j}`,
              value: ''
            }))
          )
        }
      }
      tx.put('b', '1')
    })
    expect(attempts).toBe(2)
  })
})
