import { describe, expect, it } from 'vitest'
import type { ReadView } from '../../dist/backend/backend.js'
import { SeededRandom } from '../../dist/base/random.js'
import {
  applyOperation,
  bytesOf,
  difference,
  sortedEntries,
  type Entries
} from '../model/reference.js'
import {
  apply,
  clear,
  created,
  del,
  encode,
  entriesOf,
  expectSound,
  iterate,
  opened,
  persist,
  progress,
  put,
  randomOperations
} from './harness.js'

// What the interface in `backend/backend.ts` asks of every backend, whatever it is made of.
describe('a backend', () => {
  it('is empty when it is created', async () => {
    const { backend } = await created()
    expect([backend.appliedSeq, backend.durableSeq, backend.dirtyBytes]).toEqual([0, 0, 0])
    expect(backend.getSync(Buffer.from('k'))).toBeUndefined()
    expect(await entriesOf(backend.readView())).toEqual([])
    await expectSound(backend)
  })

  it('shows what was applied at once, and says how far it is', async () => {
    const { backend } = await created()
    apply(backend, 1, [put('a', '1'), put('b', '2')])
    apply(backend, 2, [del('a')])
    expect(backend.appliedSeq).toBe(2)
    expect(backend.durableSeq).toBe(0)
    expect(backend.dirtyBytes).toBeGreaterThan(0)
    expect(await entriesOf(backend.readView())).toEqual([['b', '2']])
    await expectSound(backend)
  })

  it('takes sequence numbers that a recovery gave up as a gap', async () => {
    const { backend } = await created()
    apply(backend, 1, [put('a', '1')])
    apply(backend, 5, [put('b', '2')])
    expect(backend.appliedSeq).toBe(5)
    expect(await persist(backend)).toBe(5)
  })

  it('lets a prepared batch be given up', async () => {
    const { backend } = await created()
    const bytes = encode([put('a', '1')])
    backend.prepareSync(bytes, 0, bytes.length)
    backend.unprepare()
    expect(backend.appliedSeq).toBe(0)
    apply(backend, 1, [put('b', '2')])
    expect(await entriesOf(backend.readView())).toEqual([['b', '2']])
  })

  it('keeps a view as it was, through writes and persists', async () => {
    const { backend } = await created()
    const entries: Entries = new Map()
    let seq = 0
    const views: { view: ReadView; expected: [string, Buffer][] }[] = []
    const random = new SeededRandom(1)
    for (let i = 0; i < 300; i++) {
      const operations = randomOperations(random)
      for (const operation of operations) applyOperation(entries, operation)
      apply(backend, ++seq, operations)
      if (i % 40 === 0) views.push({ view: backend.readView(), expected: sortedEntries(entries) })
      if (i % 70 === 69) await persist(backend)
    }
    for (const { view, expected } of views) {
      expect(view.seq).toBeLessThanOrEqual(seq)
      expect(difference(expected, await iterate(view))).toBeUndefined()
      for (const [key, value] of expected.slice(0, 20)) {
        expect(view.getSync(bytesOf(key))).toEqual(value)
      }
      view.close()
    }
    await expectSound(backend)
  })

  it('opens at what it has persisted, and not a commit further', async () => {
    const made = await created()
    apply(made.backend, 1, [put('a', '1'), put('large', 'x'.repeat(30_000))])
    apply(made.backend, 2, [put('b', '2')])
    expect(await persist(made.backend)).toBe(2)
    expect(made.backend.durableSeq).toBe(2)
    expect(made.backend.dirtyBytes).toBe(0)
    apply(made.backend, 3, [put('c', '3')])
    const again = (await opened(made.files.crashClone(), made)).backend
    expect(again.appliedSeq).toBe(2)
    expect(again.durableSeq).toBe(2)
    expect((await entriesOf(again.readView())).map(([key]) => key)).toEqual(['a', 'b', 'large'])
    // Replay goes on from there.
    apply(again, 3, [put('c', '3')])
    expect(again.getSync(Buffer.from('c'))?.toString()).toBe('3')
    await expectSound(again)
  })

  it('asks for the log before it writes anything of a commit', async () => {
    const { backend, files } = await created()
    apply(backend, 1, [put('a', '1')])
    const events: string[] = []
    files.onBeforeOperation(({ kind }) => events.push(kind))
    await backend.persist(async (seq) => {
      events.push(`log ${seq}`)
    })
    expect(events[0]).toBe('log 1')
    expect(events).toContain('datasync')
  })

  it('writes nothing when the log cannot be had, and persists later', async () => {
    const made = await created()
    const { backend, files } = made
    apply(backend, 1, [put('a', '1')])
    const operations = files.operationCount
    const error = new Error('no log')
    await expect(backend.persist(() => Promise.reject(error))).rejects.toBe(error)
    expect(files.operationCount).toBe(operations)
    expect(backend.durableSeq).toBe(0)
    expect(backend.getSync(Buffer.from('a'))?.toString()).toBe('1')
    expect(await persist(backend)).toBe(1)
    const again = (await opened(files.crashClone(), made)).backend
    expect(again.appliedSeq).toBe(1)
  })

  it('lets the log go only when a second persist no longer needs it', async () => {
    const { backend } = await created()
    for (let seq = 1; seq <= 6; seq++) {
      apply(backend, seq, [put('k', `${seq}`)])
      await persist(backend)
      expect(backend.retirableSeq).toBeLessThanOrEqual(backend.durableSeq)
      if (seq > 1) expect(backend.retirableSeq).toBeLessThan(backend.durableSeq)
    }
  })

  it('goes on taking commits while it persists', async () => {
    const made = await created()
    const { backend, files } = made
    for (let seq = 1; seq <= 50; seq++) apply(backend, seq, [put(`k${seq}`, `${seq}`)])
    const persisting = persist(backend)
    for (let seq = 51; seq <= 100; seq++) apply(backend, seq, [put(`k${seq - 40}`, `${seq}`)])
    const durable = await persisting
    const again = (await opened(files.crashClone(), made)).backend
    expect(again.appliedSeq).toBe(durable)
    expect(again.getSync(Buffer.from('k30'))?.toString()).toBe(durable < 70 ? '30' : '70')
    expect(await persist(backend)).toBe(100)
    const last = (await opened(files.crashClone(), made)).backend
    expect(last.getSync(Buffer.from('k30'))?.toString()).toBe('70')
    await expectSound(backend)
  })

  it('walks a range both ways in chunks that are the caller’s own', async () => {
    const { backend } = await created()
    const entries: Entries = new Map()
    for (let i = 0; i < 500; i++) {
      const operation = put(`k${String(i).padStart(4, '0')}`, 'v'.repeat(i % 300))
      applyOperation(entries, operation)
      apply(backend, i + 1, [operation])
    }
    const view = backend.readView()
    for (const range of [{}, { gte: 'k0100', lt: 'k0200' }, { gt: 'k0499' }, { lt: 'a' }]) {
      for (const reverse of [false, true]) {
        const expected = sortedEntries(entries, range, reverse)
        expect(difference(expected, await iterate(view, range, reverse))).toBeUndefined()
      }
    }
    view.close()
    await expectSound(backend)
  })

  it('gives back what compacting frees, and keeps the rest', async () => {
    const { backend } = await created()
    let seq = 0
    for (let i = 0; i < 400; i++) apply(backend, ++seq, [put(`k${i}`, 'v'.repeat(400))])
    await persist(backend)
    apply(backend, ++seq, [clear({ gte: 'k2' })])
    await backend.compact({}, progress)
    await persist(backend)
    expect((await entriesOf(backend.readView())).every(([key]) => key < 'k2')).toBe(true)
    await expectSound(backend)
  })

  it('has figures that are numbers, and nothing damaged', async () => {
    const { backend } = await created()
    apply(backend, 1, [put('a', '1')])
    for (const value of Object.values(backend.stats())) expect(Number.isFinite(value)).toBe(true)
    expect(backend.damagedRanges()).toEqual([])
    expect(await backend.approximateSize({})).toBeGreaterThanOrEqual(0)
  })
})
