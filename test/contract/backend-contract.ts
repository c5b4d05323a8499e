import { describe, expect, it } from 'vitest'
import type { Backend, BackendContext, ReadView } from '../../dist/backend/backend.js'
import { loadBackend, type BackendName } from '../../dist/backends/registry.js'
import { SeededRandom, systemRandom } from '../../dist/base/random.js'
import { encodeBatch, type BatchOperation } from '../../dist/batch/batch.js'
import { Checksum } from '../../dist/codec/checksum.js'
import { resolveOptions } from '../../dist/options.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { TestClock } from '../helpers/test-clock.js'
import {
  applyOperation,
  bytesOf,
  difference,
  rangeBytes,
  sortedEntries,
  type Entries,
  type ReferenceOperation
} from '../model/reference.js'

/** What the interface in `backend/backend.ts` asks of every backend, whatever it is made of. */
export function describeBackendContract(name: BackendName): void {
  describe(`the backend ${name}`, () => {
    it('is empty when it is created', async () => {
      const { backend } = await created(name)
      expect([backend.appliedSeq, backend.durableSeq, backend.dirtyBytes]).toEqual([0, 0, 0])
      expect(backend.getSync(Buffer.from('k'))).toBeUndefined()
      expect(entriesOf(backend.readView())).toEqual([])
      await expectSound(backend)
    })

    it('shows what was applied at once, and says how far it is', async () => {
      const { backend } = await created(name)
      apply(backend, 1, [put('a', '1'), put('b', '2')])
      apply(backend, 2, [{ type: 'del', key: 'a' }])
      expect(backend.appliedSeq).toBe(2)
      expect(backend.durableSeq).toBe(0)
      expect(backend.dirtyBytes).toBeGreaterThan(0)
      expect(entriesOf(backend.readView())).toEqual([['b', '2']])
      await expectSound(backend)
    })

    it('takes sequence numbers that a recovery gave up as a gap', async () => {
      const { backend } = await created(name)
      apply(backend, 1, [put('a', '1')])
      apply(backend, 5, [put('b', '2')])
      expect(backend.appliedSeq).toBe(5)
      expect(await persist(backend)).toBe(5)
    })

    it('lets a prepared batch be given up', async () => {
      const { backend } = await created(name)
      const bytes = encode([put('a', '1')])
      backend.prepareSync(bytes, 0, bytes.length)
      backend.unprepare()
      expect(backend.appliedSeq).toBe(0)
      apply(backend, 1, [put('b', '2')])
      expect(entriesOf(backend.readView())).toEqual([['b', '2']])
    })

    it('keeps a view as it was, through writes and persists', async () => {
      const { backend } = await created(name)
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
        expect(difference(expected, iterate(view))).toBeUndefined()
        for (const [key, value] of expected.slice(0, 20)) {
          expect(view.getSync(bytesOf(key))).toEqual(value)
        }
        view.close()
      }
      await expectSound(backend)
    })

    it('opens at what it has persisted, and not a commit further', async () => {
      const made = await created(name)
      apply(made.backend, 1, [put('a', '1'), put('large', 'x'.repeat(30_000))])
      apply(made.backend, 2, [put('b', '2')])
      expect(await persist(made.backend)).toBe(2)
      expect(made.backend.durableSeq).toBe(2)
      expect(made.backend.dirtyBytes).toBe(0)
      apply(made.backend, 3, [put('c', '3')])
      const again = await opened(name, made.vfs.crashClone('nothing'), made.context)
      expect(again.appliedSeq).toBe(2)
      expect(again.durableSeq).toBe(2)
      expect(entriesOf(again.readView()).map(([key]) => key)).toEqual(['a', 'b', 'large'])
      // Replay goes on from there.
      apply(again, 3, [put('c', '3')])
      expect(again.getSync(Buffer.from('c'))?.toString()).toBe('3')
      await expectSound(again)
    })

    it('asks for the log before it writes anything of a commit', async () => {
      const { backend, vfs } = await created(name)
      apply(backend, 1, [put('a', '1')])
      const events: string[] = []
      vfs.onBeforeOperation(({ kind }) => events.push(kind))
      await backend.persist(async (seq) => {
        events.push(`log ${seq}`)
      })
      expect(events[0]).toBe('log 1')
      expect(events).toContain('datasync')
    })

    it('writes nothing when the log cannot be had, and persists later', async () => {
      const { backend, vfs, context } = await created(name)
      apply(backend, 1, [put('a', '1')])
      const operations = vfs.operationCount
      const error = new Error('no log')
      await expect(backend.persist(() => Promise.reject(error))).rejects.toBe(error)
      expect(vfs.operationCount).toBe(operations)
      expect(backend.durableSeq).toBe(0)
      expect(backend.getSync(Buffer.from('a'))?.toString()).toBe('1')
      expect(await persist(backend)).toBe(1)
      const again = await opened(name, vfs.crashClone('nothing'), context)
      expect(again.appliedSeq).toBe(1)
    })

    it('lets the log go only when a second persist no longer needs it', async () => {
      const { backend } = await created(name)
      for (let seq = 1; seq <= 6; seq++) {
        apply(backend, seq, [put('k', `${seq}`)])
        await persist(backend)
        expect(backend.retirableSeq).toBeLessThanOrEqual(backend.durableSeq)
        if (seq > 1) expect(backend.retirableSeq).toBeLessThan(backend.durableSeq)
      }
    })

    it('goes on taking commits while it persists', async () => {
      const { backend, vfs, context } = await created(name)
      for (let seq = 1; seq <= 50; seq++) apply(backend, seq, [put(`k${seq}`, `${seq}`)])
      const persisting = persist(backend)
      for (let seq = 51; seq <= 100; seq++) apply(backend, seq, [put(`k${seq - 40}`, `${seq}`)])
      const durable = await persisting
      const again = await opened(name, vfs.crashClone('nothing'), context)
      expect(again.appliedSeq).toBe(durable)
      expect(again.getSync(Buffer.from('k30'))?.toString()).toBe(durable < 70 ? '30' : '70')
      expect(await persist(backend)).toBe(100)
      const last = await opened(name, vfs.crashClone('nothing'), context)
      expect(last.getSync(Buffer.from('k30'))?.toString()).toBe('70')
      await expectSound(backend)
    })

    it('walks a range both ways in chunks that are the caller’s own', async () => {
      const { backend } = await created(name)
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
          expect(difference(expected, iterate(view, range, reverse))).toBeUndefined()
        }
      }
      view.close()
      await expectSound(backend)
    })

    it('gives back what compacting frees, and keeps the rest', async () => {
      const { backend } = await created(name)
      let seq = 0
      for (let i = 0; i < 400; i++) apply(backend, ++seq, [put(`k${i}`, 'v'.repeat(400))])
      await persist(backend)
      apply(backend, ++seq, [{ type: 'clear', gte: 'k2' }])
      await backend.compact({}, progress)
      await persist(backend)
      expect(entriesOf(backend.readView()).every(([key]) => key < 'k2')).toBe(true)
      await expectSound(backend)
    })

    it('has figures that are numbers, and nothing damaged', async () => {
      const { backend } = await created(name)
      apply(backend, 1, [put('a', '1')])
      for (const value of Object.values(backend.stats())) expect(Number.isFinite(value)).toBe(true)
      expect(backend.damagedRanges()).toEqual([])
      expect(backend.approximateSize({})).toBeGreaterThanOrEqual(0)
    })
  })
}

const progress = { report: () => undefined, signal: undefined }
const directory = '/backend'

async function created(name: BackendName) {
  const vfs = new MemVfs()
  vfs.mkdirSync(directory)
  vfs.syncDirectorySync('/')
  const context: BackendContext = {
    vfs,
    directory,
    storeId: Buffer.alloc(16, 7),
    checksum: await Checksum.create(),
    clock: new TestClock(),
    random: systemRandom,
    options: resolveOptions({ pageBytes: 4096, cacheBytes: 1024 * 1024 }),
    readOnly: false,
    quarantine: '/quarantine',
    epoch: 1,
    notify: () => undefined
  }
  const backend = await (await loadBackend(name)).create(context)
  return { vfs, context, backend }
}

async function opened(name: BackendName, vfs: MemVfs, context: BackendContext): Promise<Backend> {
  const { epoch } = context
  const again = { ...context, vfs, epoch: epoch + 1 }
  return (await loadBackend(name)).open(again)
}

const put = (key: string, value: string): ReferenceOperation => ({
  type: 'put',
  key,
  value: Buffer.from(value)
})

function encode(operations: readonly ReferenceOperation[]): Buffer {
  return encodeBatch(
    operations.map((operation): BatchOperation => {
      if (operation.type === 'clear') {
        const { type, ...range } = operation
        return { type, range: rangeBytes(range) }
      }
      const key = bytesOf(operation.key)
      return operation.type === 'del'
        ? { type: 'del', key }
        : { type: 'put', key, value: operation.value }
    })
  )
}

function apply(backend: Backend, seq: number, operations: readonly ReferenceOperation[]): void {
  const bytes = encode(operations)
  backend.prepareSync(bytes, 0, bytes.length)
  backend.apply(bytes, 0, bytes.length, seq)
  // The bytes may be reused as soon as it returns.
  bytes.fill(0xee)
}

function persist(backend: Backend): Promise<number> {
  return backend.persist(async () => undefined)
}

function randomOperations(random: SeededRandom): ReferenceOperation[] {
  const key = `key${random.below(60)}`
  if (random.chance(1, 40)) return [{ type: 'clear', gte: key, lt: `key${random.below(60)}` }]
  if (random.chance(1, 5)) return [{ type: 'del', key }]
  return [put(key, `${random.below(1000)}`.repeat(random.pick([1, 30, 2000])))]
}

function* iterate(view: ReadView, range = {}, reverse = false): Generator<[Buffer, Buffer]> {
  const options = { range: rangeBytes(range), reverse, keys: true, values: true }
  const cursor = view.cursor(options)
  for (let chunk = cursor.nextChunkSync(7); chunk; chunk = cursor.nextChunkSync(50)) {
    const { bytes, bounds, count, firstBound } = chunk
    expect(count).toBeGreaterThan(0)
    for (let i = firstBound; i < firstBound + 4 * count; i += 4) {
      yield [bytes.subarray(bounds[i], bounds[i + 1]), bytes.subarray(bounds[i + 2], bounds[i + 3])]
    }
  }
  cursor.close()
}

function entriesOf(view: ReadView): [string, string][] {
  const found = Array.from(iterate(view), ([key, value]): [string, string] => [
    key.toString(),
    value.toString()
  ])
  view.close()
  return found
}

async function expectSound(backend: Backend): Promise<void> {
  expect(await backend.verify('comprehensive', progress)).toEqual([])
  await backend.close()
}
