import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { newestSeq } from '../../dist/memtable/entry.js'
import { KeyHash } from '../../dist/memtable/key-hash.js'
import { Found, Lookup } from '../../dist/memtable/lookup.js'
import { ArenaPool } from '../../dist/memtable/arena-pool.js'
import { Memtable } from '../../dist/memtable/memtable.js'
import { SortedMemtable } from '../../dist/memtable/sorted-memtable.js'
import { encodeBatch, type BatchOperation } from '../../dist/batch/batch.js'
import { CopyPool } from '../../dist/page/copy-pool.js'
import { Model, operation, universe, WeakHash } from './memtable-model.js'

const storeId = Buffer.from('0123456789abcdef')
const strong = new KeyHash(storeId)
const weak = new WeakHash(storeId)

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('batch' as const),
      operations: fc.array(operation, { minLength: 1, maxLength: 12, size: 'max' }),
      isPart: fc.boolean()
    })
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('open' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('close' as const), choice: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('check' as const) }) }
)

function put(key: string | Buffer, value: string | Buffer): BatchOperation {
  return { type: 'put', key: Buffer.from(key), value: Buffer.from(value) }
}

function applyTo(memtable: Memtable, operations: BatchOperation[], seq: number, viewSeq = 0): void {
  const bytes = encodeBatch(operations)
  expect(memtable.roomFor(bytes.length, operations.length)).toBe(true)
  memtable.apply(bytes, 0, bytes.length, seq, viewSeq)
}

function valueIn(memtable: Memtable, key: string | Buffer, maxSeq = newestSeq): Buffer | undefined {
  const lookup = new Lookup()
  const probe = Buffer.from(key)
  strong.hash(probe, 0, probe.length)
  if (memtable.find(probe, strong, maxSeq, lookup) === Found.absent) return undefined
  return lookup.value(new CopyPool())
}

describe('a memtable', () => {
  test.each([
    ['keys spread well', strong, 1],
    ['all hashes alike', weak, 1],
    ['numbers beyond 32 bits', strong, 2 ** 32 - 3],
    ['the largest numbers', strong, 2 ** 53 - 1000]
  ])('shows every view its state, by key and in order: %s', (_, keyHash, firstSeq) => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30, size: 'max' }), (steps) => {
        const model = new Model(keyHash, firstSeq)
        for (const one of steps) {
          if (one.kind === 'batch') model.apply(one.operations, one.isPart)
          else if (one.kind === 'open') model.openView()
          else if (one.kind === 'close') model.closeView(one.choice)
          else model.check()
        }
        model.check()
        model.checkSorted()
      }),
      { numRuns: 150 }
    )
  })

  test('says that it is full before it is, whatever comes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(operation, { minLength: 1, maxLength: 40, size: 'max' }), {
          maxLength: 40
        }),
        fc.boolean(),
        (batches, hasView) => {
          const model = new Model(strong, 1, 4096)
          for (const operations of batches) {
            if (!model.apply(operations)) break
            if (hasView) model.openView()
          }
          model.check()
        }
      ),
      { numRuns: 150 }
    )
  })

  test('is full when its keys fill the hash table', () => {
    const memtable = new Memtable(new ArenaPool(1024 * 1024).take(0, 0), strong)
    let seq = 0
    const tiny = (i: number) => [{ type: 'del' as const, key: Buffer.from(i.toString(36)) }]
    while (memtable.roomFor(encodeBatch(tiny(seq)).length, 1)) {
      applyTo(memtable, tiny(seq), seq + 1)
      seq++
    }
    expect(memtable.entries).toBe(Math.floor(16_384 * 0.7))
    expect(seq).toBe(memtable.entries)
    expect(memtable.roomFor(9, 1)).toBe(false)
    expect(valueIn(memtable, 'no such key')).toBeUndefined()
  })

  test('overwrites in place what no view sees, and grows otherwise', () => {
    const memtable = new Memtable(new ArenaPool(64 * 1024).take(0, 0), strong)
    applyTo(memtable, [put('key', 'first value')], 1)
    const { usedBytes } = memtable
    applyTo(memtable, [put('key', 'second')], 2, 0)
    applyTo(memtable, [put('key', 'third value')], 3, 1)
    expect(memtable.usedBytes).toBe(usedBytes)
    expect(memtable.entries).toBe(1)
    expect(valueIn(memtable, 'key')).toEqual(Buffer.from('third value'))
    applyTo(memtable, [put('key', 'fourth')], 4, 3)
    expect(memtable.usedBytes).toBeGreaterThan(usedBytes)
    expect(memtable.entries).toBe(2)
    expect(valueIn(memtable, 'key', 3)).toEqual(Buffer.from('third value'))
    expect(valueIn(memtable, 'key', 2)).toBeUndefined()
    expect(valueIn(memtable, 'key')).toEqual(Buffer.from('fourth'))
    applyTo(memtable, [put('key', 'a value that does not fit there')], 5, 3)
    expect(memtable.entries).toBe(2)
    expect(valueIn(memtable, 'key', 4)).toEqual(Buffer.from('third value'))
  })

  test('overwrites what a part of the same commit wrote, whoever looks on', () => {
    const memtable = new Memtable(new ArenaPool(64 * 1024).take(0, 0), strong)
    applyTo(memtable, [put('key', 'one')], 5, 9)
    applyTo(memtable, [put('key', 'a longer one')], 5, 9)
    expect(memtable.entries).toBe(1)
    expect(valueIn(memtable, 'key', 5)).toEqual(Buffer.from('a longer one'))
  })

  test('writes nothing twice where a batch removes a range', () => {
    const writes = [put('key', Buffer.alloc(5000)), put('key', 'x'), put('other', 'y')]
    const plain = new Memtable(new ArenaPool(64 * 1024).take(0, 0), strong)
    applyTo(plain, writes, 1)
    const range = { gte: Buffer.from('a'), lt: Buffer.from('b') }
    const memtable = new Memtable(new ArenaPool(64 * 1024).take(0, 0), strong)
    applyTo(memtable, [...writes, { type: 'clear', range }], 1)
    expect(memtable.usedBytes - plain.usedBytes).toBeLessThan(10)
    expect(valueIn(memtable, 'key')).toEqual(Buffer.from('x'))
  })

  test('takes the empty key, the longest keys and large values', () => {
    const long = Buffer.alloc(65_535, 'k')
    const longer = Buffer.concat([long.subarray(1), Buffer.from('l')])
    const large = Buffer.alloc(9 * 1024 * 1024 + 3)
    for (let i = 0; i < large.length; i++) large[i] = i * 7
    const pool = new ArenaPool(64 * 1024)
    const operations = [put('', 'empty'), put(long, large), put(longer, ''), put('x', long)]
    const bytes = encodeBatch(operations)
    const arena = pool.take(bytes.length, operations.length)
    const memtable = new Memtable(arena, strong)
    applyTo(memtable, operations, 1)
    expect(valueIn(memtable, '')).toEqual(Buffer.from('empty'))
    expect(valueIn(memtable, long)!.equals(large)).toBe(true)
    expect(valueIn(memtable, longer)).toEqual(Buffer.alloc(0))
    expect(valueIn(memtable, 'x')!.equals(long)).toBe(true)
    const sorted = new SortedMemtable(memtable.freeze())
    const keyBytes: number[] = []
    while (sorted.next()) keyBytes.push(sorted.keyEnd - sorted.keyStart)
    expect(keyBytes).toEqual([0, 65_535, 65_535, 1])
  })

  test('removes many ranges in one batch or in many without growing slow', () => {
    const memtable = new Memtable(new ArenaPool(16 * 2 ** 20).take(0, 0), strong)
    const keyOf = (i: number) => Buffer.from(String(i % 50_000).padStart(8, '0'))
    const operations: BatchOperation[] = []
    for (let i = 0; i < 15_000; i++) {
      operations.push(put(keyOf(i * 7), 'v'))
      const range = { gte: keyOf(i * 7919), lt: Buffer.concat([keyOf(i * 7919), Buffer.from('x')]) }
      operations.push({ type: 'clear', range })
    }
    const startMs = performance.now()
    applyTo(memtable, operations, 1)
    for (let i = 2; i < 5000; i++) {
      applyTo(memtable, [{ type: 'clear', range: { lt: keyOf(i) } }], i)
    }
    expect(performance.now() - startMs).toBeLessThan(10_000)
    expect(memtable.tombstones.coveringSeq(keyOf(1), 0, 8, newestSeq)).toBe(4999)
    expect(memtable.tombstones.coveringSeq(keyOf(7919), 0, 8, newestSeq)).toBe(1)
  })

  test('is full when views keep too many removed ranges alive', () => {
    const memtable = new Memtable(new ArenaPool(2 ** 20).take(0, 0), strong)
    let seq = 1
    for (; memtable.roomFor(20, 1); seq++) {
      const key = Buffer.from(String(seq).padStart(8, '0'))
      applyTo(memtable, [{ type: 'clear', range: { lt: key } }], seq, seq - 1)
      if (seq > 5000) throw new Error('it never gets full')
    }
    expect(memtable.tombstones.seqCount).toBeGreaterThanOrEqual(16_384)
  })

  test('does not change once frozen', () => {
    const memtable = new Memtable(new ArenaPool(4096).take(0, 0), strong)
    applyTo(memtable, [put('a', '1')], 1)
    memtable.freeze()
    expect(() => applyTo(memtable, [put('b', '2')], 2)).toThrow(/frozen/)
    expect(valueIn(memtable, 'a')).toEqual(Buffer.from('1'))
  })

  test('refuses to write beyond its arena', () => {
    const memtable = new Memtable(new ArenaPool(4096).take(0, 0), strong)
    const bytes = encodeBatch([put('a', Buffer.alloc(70_000))])
    expect(() => memtable.apply(bytes, 0, bytes.length, 1, 0)).toThrow(/room/)
  })
})

describe('a cursor', () => {
  const entries = fc.array(fc.constantFrom(...universe), {
    minLength: 1,
    maxLength: 60,
    size: 'max'
  })

  test('seeks to the first key at or behind any key, in both directions', () => {
    fc.assert(
      fc.property(entries, fc.boolean(), (keys, reverse) => {
        const model = new Model(strong)
        for (const key of keys) model.apply([put(key, 'v')])
        const cursor = model.memtable.cursor()
        const written = universe.filter((key) => keys.includes(key))
        for (const probe of universe) {
          const expected = reverse
            ? written.filter((key) => key.compare(probe) <= 0).toReversed()
            : written.filter((key) => key.compare(probe) >= 0)
          const shown: Buffer[] = []
          for (let more = cursor.seek(probe, reverse); more; more = cursor.next()) {
            shown.push(Buffer.from(cursor.memory.u8.subarray(cursor.keyStart, cursor.keyEnd)))
          }
          expect(shown).toEqual(expected)
        }
      }),
      { numRuns: 60 }
    )
  })

  test.each([1, 7, 300, 5000])(
    'goes on where it was while others bring new keys into order, %i at a time',
    (perRound) => {
      const memtable = new Memtable(new ArenaPool(4 * 2 ** 20).take(0, 0), strong)
      const keyOf = (i: number) => Buffer.from(String((i * 7919) % 20_011).padStart(7, '0'))
      const total = Math.min(20_000, perRound * 300)
      const walks = [memtable.cursor(), memtable.cursor()]
      const shown: string[][] = [[], []]
      let seq = 0
      const before: string[] = []
      for (let i = 0; i < total; i += perRound) {
        const operations = Array.from({ length: perRound }, (_, j) => put(keyOf(i + j), 'v'))
        applyTo(memtable, operations, ++seq)
        if (i === 0) {
          before.push(...operations.map((one) => String('key' in one ? one.key : '')).toSorted())
          walks.forEach((walk, reverse) => walk.seek(undefined, reverse === 1))
        }
        // In slices or at once.
        if (i % 2 === 0) while (!memtable.order(100));
        else memtable.cursor().seek(keyOf(i), false)
        walks.forEach((walk, w) => {
          for (let n = 0; n < Math.ceil(perRound / 3) && walk.isValid; n++) {
            shown[w]!.push(walk.memory.u8.toString('latin1', walk.keyStart, walk.keyEnd))
            walk.next()
          }
        })
      }
      walks.forEach((walk, w) => {
        for (; walk.isValid; walk.next()) {
          shown[w]!.push(walk.memory.u8.toString('latin1', walk.keyStart, walk.keyEnd))
        }
        const list = w === 0 ? shown[w]! : shown[w]!.toReversed()
        for (let n = 1; n < list.length; n++) expect(list[n]! > list[n - 1]!).toBe(true)
        expect(before.every((name) => list.includes(name))).toBe(true)
      })
      const all = memtable.cursor()
      let count = 0
      let last = ''
      for (let more = all.seek(undefined, false); more; more = all.next()) {
        const name = all.memory.u8.toString('latin1', all.keyStart, all.keyEnd)
        expect(name > last).toBe(true)
        last = name
        count++
      }
      expect(count).toBe(memtable.entries)
      expect(memtable.unorderedKeys).toBe(0)
    }
  )

  test('finds nothing in an empty memtable', () => {
    const cursor = new Memtable(new ArenaPool(4096).take(0, 0), strong).cursor()
    expect(cursor.seek(undefined, true)).toBe(false)
    expect(cursor.seek(Buffer.from('a'), false)).toBe(false)
    expect(cursor.next()).toBe(false)
  })
})

describe('the order of keys', () => {
  const deep = fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    fc.nat({ max: 400 }).map((length) => Buffer.alloc(length, 0)),
    fc.nat({ max: 400 }).map((length) => Buffer.alloc(length, 'a')),
    fc
      .array(fc.constantFrom(0, 97, 98), { minLength: 3, maxLength: 8, size: 'max' })
      .map((bytes) => Buffer.from(bytes)),
    fc.nat({ max: 9999 }).map((i) => Buffer.from(`a common beginning ${i}`)),
    fc.tuple(fc.nat({ max: 255 }), fc.nat({ max: 90 })).map(([byte, at]) => {
      const key = Buffer.alloc(100, 'same')
      key[at] = byte
      return key
    })
  )

  test('is that of bytes, whatever the keys have in common', () => {
    fc.assert(
      fc.property(
        fc.array(deep, { maxLength: 300, size: 'max' }),
        fc.nat({ max: 300 }),
        (keys, split) => {
          const memtable = new Memtable(new ArenaPool(2 ** 20).take(0, 0), strong)
          let seq = 0
          for (const key of keys) {
            applyTo(memtable, [put(Buffer.from(key), 'v')], ++seq)
            if (seq === split) memtable.order(newestSeq)
          }
          const expected = [...new Set(keys.map((key) => Buffer.from(key).toString('latin1')))]
          expected.sort((a, b) =>
            Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1'))
          )
          const shown: string[] = []
          const cursor = memtable.cursor()
          for (let more = cursor.seek(undefined, false); more; more = cursor.next()) {
            shown.push(cursor.memory.u8.toString('latin1', cursor.keyStart, cursor.keyEnd))
          }
          expect(shown).toEqual(expected)
          const sorted = new SortedMemtable(memtable.freeze())
          const flushed: string[] = []
          while (sorted.next()) {
            flushed.push(sorted.memory.u8.toString('latin1', sorted.keyStart, sorted.keyEnd))
          }
          expect(flushed).toEqual(expected)
        }
      ),
      { numRuns: 120 }
    )
  })
})

describe('arenas', () => {
  test('come back empty, and only the usual ones are kept', () => {
    const pool = new ArenaPool(64 * 1024)
    const first = pool.take(0, 0)
    applyTo(new Memtable(first, strong), [put('a', '1'), put('b', '2')], 1)
    pool.give(first)
    expect(pool.spareBytes).toBe(first.shared.byteLength)
    const second = pool.take(0, 0)
    expect(second).toBe(first)
    const memtable = new Memtable(second, strong)
    expect(valueIn(memtable, 'a')).toBeUndefined()
    expect(memtable.cursor().seek(undefined, false)).toBe(false)
    const large = pool.take(1_000_000, 10)
    expect(large.shared.byteLength).toBeGreaterThan(1_000_000)
    pool.give(large)
    expect(pool.spareBytes).toBe(0)
    const many = pool.take(20_000, 2000)
    expect(new Memtable(many, strong).roomFor(20_000, 2000)).toBe(true)
    const usual = Array.from({ length: 5 }, () => pool.take(0, 0))
    for (const arena of usual) pool.give(arena)
    expect(pool.spareBytes).toBe(first.shared.byteLength)
  })
})
