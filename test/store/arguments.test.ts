import { existsSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { open } from '../../dist/index.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import {
  deterministic,
  allEntriesOf,
  failure,
  failureCode,
  storePath,
  useStores
} from '../helpers/store.js'

const stores = useStores()

function transferredAway(): Uint8Array {
  const bytes = new Uint8Array(8)
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
  return bytes
}

const notBytes: unknown[] = [
  transferredAway(),
  undefined,
  null,
  7,
  0n,
  true,
  {},
  [1, 2],
  new ArrayBuffer(4),
  new Uint16Array(2),
  Symbol('s'),
  () => undefined,
  new Date(0)
]

describe('options', () => {
  const openWith = (options: unknown) => {
    const vfs = new MemVfs()
    return failure(() => open(storePath, { ...deterministic(vfs), ...(options as object) })).then(
      (error) => {
        expect(vfs.operationCount).toBe(0)
        return error
      }
    )
  }

  it('that are misspelled are refused with a proposal', async () => {
    const cases: [string, string][] = [
      ['createIfMising', 'createIfMissing'],
      ['readonly', 'readOnly'],
      ['durabilty', 'durability'],
      ['cacheSize', 'cacheBytes'],
      ['walSegmentByte', 'walSegmentBytes'],
      ['pagebytes', 'pageBytes'],
      ['keyEncodings', 'keyEncoding'],
      ['backends', 'backend']
    ]
    for (const [given, meant] of cases) {
      const error = await openWith({ [given]: 1 })
      expect(error.code).toBe('KINTSUGI_INVALID_OPTION')
      expect(error.facts.option).toBe(given)
      expect(error.message).toContain(`'${given}'`)
      if (given !== 'cacheSize') expect(error.message).toContain(`did you mean '${meant}'`)
    }
    const error = await openWith({ zzzzzzzzzzzzzzzz: 1 })
    expect(error.message).toContain('unknown option')
    expect(error.message).not.toContain('did you mean')
    expect(error.message).toContain('cacheBytes')
  })

  const wrong: [string, unknown[]][] = [
    ['profile', ['low', 'lowMemory', null, 1]],
    ['createIfMissing', [1, 'true', null]],
    ['errorIfExists', [0, 'no']],
    ['readOnly', ['yes', {}]],
    ['durability', ['fsync', 1, null, '']],
    ['keyEncoding', ['utf-8', 'json', 1]],
    ['valueEncoding', ['hex', null]],
    ['flushIntervalMs', [0, -1, 1.5, Number.NaN, Infinity, '100', 3_600_001]],
    ['flushBytes', [0, -1, 2 ** 31]],
    ['maxPendingBytes', [0, 65_535, '1MB']],
    ['walSegmentBytes', [0, 4095, 2 ** 31, 4096.5]],
    ['walRecoveryMode', ['tolerate', 0]],
    ['cacheBytes', [0, 1024 * 1024 - 1, -5, Number.MAX_SAFE_INTEGER]],
    ['persistDirtyBytes', [0, 65_535]],
    ['persistWalBytes', [0, 65_535]],
    ['persistIntervalMs', [0, 99, 2 ** 31]],
    ['pageBytes', [0, 2048, 5000, 131_072, '8192']],
    ['blockBytes', [0, 512, 3000, 65_536, '8192']],
    ['memtableBytes', [0, 16_383, 2 ** 31]],
    ['maxLevels', [1, 13, '7']],
    ['levelSizeMultiplier', [1, 101, 2.5]],
    ['compactionThreshold', [0, 65]],
    ['compression', ['zstd', [], ['lz4', 'zip'], null, Array(13).fill('lz4')]],
    ['maxBackgroundJobs', [-1, 9, '1']],
    ['rateLimitBytesPerSecond', [-1, 0.5]],
    ['backend', ['b-tree', 'rocksdb', 1, null]],
    ['native', ['yes', 1]]
  ]
  it.each(wrong)('%s with a wrong value names what is allowed', async (name, values) => {
    for (const value of values) {
      const error = await openWith({ [name]: value })
      expect(error.code, String(value)).toBe('KINTSUGI_INVALID_OPTION')
      expect(error.facts.option).toBe(name)
      expect(error.message).toContain('allowed')
    }
  })

  it('of the wrong kind as a whole are refused', async () => {
    for (const options of [null, 7, 'btree', [], () => undefined]) {
      const path = `${stores.directory()}/never`
      expect(await failureCode(() => open(path, options as never))).toBe(
        'KINTSUGI_INVALID_ARGUMENT'
      )
      expect(existsSync(path)).toBe(false)
    }
    for (const path of [undefined, null, 7, '', {}, Buffer.from('x')]) {
      const options = deterministic(new MemVfs())
      expect(await failureCode(() => open(path as never, options))).toBe(
        'KINTSUGI_INVALID_ARGUMENT'
      )
    }
  })

  it('that are undefined count as not given', async () => {
    const { store } = await stores.memory({ durability: undefined, readOnly: undefined } as never)
    await store.put('k', 'v')
  })

  it('of single calls are checked as well', async () => {
    const { store } = await stores.memory()
    const calls: (() => unknown)[] = [
      () => store.put('k', 'v', { durability: 'fsync' as never }),
      () => store.del('k', { durability: 1 as never }),
      () => store.batch([], { durability: 'x' as never }),
      () => store.putSync('k', 'v', { durability: 'x' as never }),
      () => store.clear({ durability: 'x' as never }),
      () => store.clear({ gtee: 'a' } as never),
      () => store.put('k', 'v', { durabilty: 'sync' } as never),
      () => store.put('k', 'v', { sync: true } as never),
      () => store.batch([{ type: 'del', key: 'k' }], { sync: true } as never),
      () => store.batchSync([{ type: 'del', key: 'k' }], { sync: true } as never),
      () => store.entries({ revers: true } as never),
      () => store.entries({ reverse: 1 as never }),
      () => store.keys({ limit: 1.5 }),
      () => store.keys({ limit: -2 }),
      () => store.keys({ limit: '5' as never }),
      () => store.values({ signal: {} as never }),
      () => store.transaction(() => undefined, { maxRetries: -1 }),
      () => store.transaction(() => undefined, { maxRetry: 1 } as never),
      () => store.transaction(() => undefined, { durability: 'no' as never }),
      () => store.verify('full' as never),
      () => store.verify('basic', { singal: undefined, x: 1 } as never),
      () => store.compact({ progress: 1 } as never),
      () => store.approximateSize({ from: 'a' } as never)
    ]
    for (const call of calls) {
      expect(await failureCode(call), String(call)).toBe('KINTSUGI_INVALID_OPTION')
    }
    expect(store.seq).toBe(0)
  })

  it('and functions of the wrong type are refused', async () => {
    const { store } = await stores.memory()
    const calls: (() => unknown)[] = [
      () => store.put('k', 'v', 'sync' as never),
      () => store.put('k', 'v', null as never),
      () => store.clear(null as never),
      () => store.clear('a' as never),
      () => store.entries(null as never),
      () => store.entries('a' as never),
      () => store.transaction('work' as never),
      () => store.transaction(undefined as never),
      () => store.transaction(() => undefined, null as never),
      () => store.compact(7 as never),
      () => store.compact({ onProgress: 7 as never }),
      () => store.compact({ signal: 7 as never }),
      () => store.verify('basic', null as never)
    ]
    for (const call of calls) {
      expect(await failureCode(call), String(call)).toMatch(/^KINTSUGI_INVALID_(ARGUMENT|OPTION)$/)
    }
    expect(store.seq).toBe(0)
  })
})

describe('keys and values', () => {
  it('of a wrong type are refused, and nothing is written', async () => {
    const { store } = await stores.memory()
    for (const bad of notBytes) {
      const calls: (() => unknown)[] = [
        () => store.put(bad as never, 'v'),
        () => store.put('k', bad as never),
        () => store.putSync(bad as never, 'v'),
        () => store.putSync('k', bad as never),
        () => store.del(bad as never),
        () => store.delSync(bad as never),
        () => store.get(bad as never),
        () => store.getSync(bad as never),
        () => store.has(bad as never),
        () => store.getMany([bad as never]),
        () => store.getManySync(['k', bad as never]),
        () => store.batch([{ type: 'put', key: bad as never, value: 'v' }]),
        () => store.batch([{ type: 'put', key: 'k', value: bad as never }]),
        () => store.batchSync([{ type: 'del', key: bad as never }]),
        () => store.transaction((tx) => tx.put('k', bad as never)),
        () => store.transaction((tx) => tx.get(bad as never))
      ]
      for (const call of calls) {
        expect(await failureCode(call), `${String(call)} ${typeof bad}`).toBe(
          'KINTSUGI_INVALID_ARGUMENT'
        )
      }
      if (bad === undefined) continue
      for (const bound of ['gt', 'gte', 'lt', 'lte']) {
        expect(await failureCode(() => store.keys({ [bound]: bad }))).toBe(
          'KINTSUGI_INVALID_ARGUMENT'
        )
        expect(await failureCode(() => store.clear({ [bound]: bad }))).toBe(
          'KINTSUGI_INVALID_ARGUMENT'
        )
      }
    }
    expect(store.seq).toBe(0)
    expect(await allEntriesOf(store)).toEqual([])
  })

  it('never throw from a call that returns a promise', async () => {
    const { store } = await stores.memory()
    const calls: (() => Promise<unknown>)[] = [
      () => store.put(7 as never, 'v'),
      () => store.del(7 as never),
      () => store.get(7 as never),
      () => store.has(7 as never),
      () => store.getMany(7 as never),
      () => store.batch(7 as never),
      () => store.clear(7 as never),
      () => store.transaction(7 as never),
      () => store.compact(7 as never),
      () => store.verify(7 as never)
    ]
    for (const call of calls) {
      let promise: Promise<unknown> | undefined
      expect(() => (promise = call()), String(call)).not.toThrow()
      await expect(promise, String(call)).rejects.toMatchObject({ name: 'KintsugiError' })
    }
  })

  it('in a batch are refused with the place and the type of the operation', async () => {
    const { store } = await stores.memory()
    const good = { type: 'put', key: 'k', value: 'v' }
    const cases: [unknown, string][] = [
      [{ type: 'set', key: 'k', value: 'v' }, `operations[1]: an operation needs type`],
      [{ type: 'set', key: 'k', value: 'v' }, `'clear', "set" was given`],
      [undefined, 'undefined was given'],
      [{ type: 'put', key: 'k' }, 'operations[1]: a value must be'],
      [{ type: 'clear', gtee: 'k' }, `operations[1]: option 'gtee'`]
    ]
    for (const [bad, text] of cases) {
      const error = await failure(() => store.batch([good, bad] as never))
      expect(error.message).toContain(text)
    }
    expect(store.seq).toBe(0)
  })

  it('have a largest size, and beyond it an error before anything is written', async () => {
    const { store } = await stores.memory()
    const largest = Buffer.alloc(65_535, 'k')
    await store.put(largest, 'v')
    expect((await store.get(largest))?.toString()).toBe('v')
    const tooLarge = Buffer.alloc(65_536, 'k')
    const calls: (() => unknown)[] = [
      () => store.put(tooLarge, 'v'),
      () => store.putSync(tooLarge, 'v'),
      () => store.del(tooLarge),
      () => store.get(tooLarge),
      () => store.getSync(tooLarge),
      () => store.put('ä'.repeat(32_768), 'v'),
      () => store.batch([{ type: 'put', key: tooLarge, value: 'v' }]),
      () => store.transaction((tx) => tx.put(tooLarge, 'v')),
      () => store.keys().seek(tooLarge)
    ]
    for (const call of calls) {
      expect(await failureCode(call), String(call)).toBe('KINTSUGI_KEY_TOO_LARGE')
    }
    expect(await failureCode(() => store.keys({ gte: tooLarge }))).toBe('KINTSUGI_INVALID_OPTION')
    expect(store.seq).toBe(1)
  })

  it('above 1 GiB are refused without being copied', async () => {
    const { store } = await stores.memory()
    // Fresh memory that nobody touches costs nothing.
    const huge = Buffer.alloc(2 ** 30 + 1)
    const before = process.memoryUsage().arrayBuffers
    for (const call of [
      () => store.put('k', huge),
      () => store.putSync('k', huge),
      () => store.batch([{ type: 'put', key: 'k', value: huge }]),
      () => store.transaction((tx) => tx.put('k', huge))
    ]) {
      expect(await failureCode(call), String(call)).toBe('KINTSUGI_VALUE_TOO_LARGE')
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 26)
    expect(store.seq).toBe(0)
  })

  it('in a batch above the largest commit are refused without being copied', async () => {
    const { store } = await stores.memory()
    const large = Buffer.alloc(2 ** 30)
    const operations = [1, 2, 3].map((i) => ({
      type: 'put' as const,
      key: `k${i}`,
      value: large
    }))
    const before = process.memoryUsage().arrayBuffers
    expect(await failureCode(() => store.batch(operations))).toBe('KINTSUGI_BATCH_TOO_LARGE')
    expect(await failureCode(() => store.batchSync(operations))).toBe('KINTSUGI_BATCH_TOO_LARGE')
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 26)
    expect(store.seq).toBe(0)
  })

  it('in operations of no known shape are refused', async () => {
    const { store } = await stores.memory()
    const bad: unknown[] = [
      7,
      null,
      'put',
      [null],
      [undefined],
      [7],
      [{}],
      [{ type: 'set', key: 'a', value: 'b' }],
      [{ type: 'put' }],
      [{ type: 'put', key: 'a' }],
      [{ type: 'del' }],
      [['put', 'a', 'b']],
      { length: 1, 0: { type: 'del', key: 'a' } }
    ]
    for (const operations of bad) {
      const shown = JSON.stringify(operations)
      const code = await failureCode(() => store.batch(operations as never))
      expect(code, shown).toBe('KINTSUGI_INVALID_ARGUMENT')
      const sync = await failureCode(() => store.batchSync(operations as never))
      expect(sync, shown).toBe('KINTSUGI_INVALID_ARGUMENT')
    }
    // A misspelled bound must not clear more than was meant.
    const misspelled = [{ type: 'clear', gtee: 'a', lt: 'b' }]
    expect(await failureCode(() => store.batch(misspelled as never))).toMatch(/INVALID/)
    expect(store.seq).toBe(0)
  })
})
