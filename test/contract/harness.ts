import { expect } from 'vitest'
import type { Backend, BackendContext, Progress, ReadView } from '../../dist/backend/backend.js'
import { loadBackend } from '../../dist/backends/registry.js'
import { SeededRandom } from '../../dist/base/random.js'
import { encodeBatch, type BatchOperation } from '../../dist/batch/batch.js'
import { Checksum } from '../../dist/codec/checksum.js'
import { resolveOptions } from '../../dist/options.js'
import { MemVfs, type MemVfsOptions } from '../../dist/vfs/mem-vfs.js'
import { tinyOptions } from '../helpers/backends.js'
import { TestClock } from '../helpers/test-clock.js'
import { testedBackend } from '../helpers/tested-backend.js'
import {
  applyOperation,
  bytesOf,
  difference,
  rangeBytes,
  show,
  sortedEntries,
  type Entries,
  type KeyText,
  type ReferenceOperation,
  type TextRange
} from '../model/reference.js'

/** A backend by itself, without the store around it: what the contract's tests share. */

export const progress: Progress = { report: () => undefined, signal: undefined }
const directory = '/backend'

export interface Made {
  readonly vfs: MemVfs
  readonly context: BackendContext
  readonly backend: Backend
}

export async function created(options: MemVfsOptions = {}): Promise<Made> {
  const vfs = new MemVfs(options)
  vfs.mkdirSync(directory)
  vfs.syncDirectorySync('/')
  const context: BackendContext = {
    vfs,
    directory,
    storeId: Buffer.alloc(16, 7),
    checksum: await Checksum.create(),
    clock: new TestClock(),
    random: new SeededRandom(9),
    options: resolveOptions(tinyOptions),
    readOnly: false,
    quarantine: '/quarantine',
    epoch: 1,
    notify: () => undefined
  }
  const backend = await (await loadBackend(testedBackend)).create(context)
  return { vfs, context, backend }
}

/** Opens what is on another file system, as the next process would. */
export async function opened(vfs: MemVfs, { context }: Pick<Made, 'context'>): Promise<Made> {
  const next = { ...context, vfs, epoch: context.epoch + 1 }
  return { vfs, context: next, backend: await (await loadBackend(testedBackend)).open(next) }
}

export const put = (key: KeyText, value: string | Buffer): ReferenceOperation => ({
  type: 'put',
  key,
  value: Buffer.from(value)
})

export const del = (key: KeyText): ReferenceOperation => ({ type: 'del', key })
export const clear = (range: TextRange): ReferenceOperation => ({ type: 'clear', ...range })

export function encode(operations: readonly ReferenceOperation[]): Buffer {
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

export function apply(
  backend: Backend,
  seq: number,
  operations: readonly ReferenceOperation[]
): void {
  const bytes = encode(operations)
  backend.prepareSync(bytes, 0, bytes.length)
  backend.apply(bytes, 0, bytes.length, seq)
  // The bytes may be reused as soon as it returns.
  bytes.fill(0xee)
}

export function persist(backend: Backend): Promise<number> {
  return backend.persist(async () => undefined)
}

/** A backend and, beside it, a map that holds what it should. */
export class Modelled {
  readonly entries: Entries = new Map()
  seq: number

  constructor(readonly made: Made) {
    this.seq = made.backend.appliedSeq
  }

  static async create(options: MemVfsOptions = {}): Promise<Modelled> {
    return new Modelled(await created(options))
  }

  get backend(): Backend {
    return this.made.backend
  }

  apply(...operations: ReferenceOperation[]): void {
    for (const operation of operations) applyOperation(this.entries, operation)
    apply(this.backend, ++this.seq, operations)
  }

  persist(): Promise<number> {
    return persist(this.backend)
  }

  compact(range: TextRange = {}): Promise<void> {
    return this.backend.compact(rangeBytes(range), progress)
  }

  /** What a power cut leaves once everything is persisted. */
  async reopened(): Promise<Modelled> {
    expect(await this.persist()).toBe(this.seq)
    const next = new Modelled(await opened(this.made.vfs.crashClone('nothing'), this.made))
    expect(next.seq).toBe(this.seq)
    for (const [key, value] of this.entries) next.entries.set(key, value)
    return next
  }

  /** Compares everything, in both directions and point by point, with keys that are not there. */
  expectContents(absent: readonly KeyText[] = []): void {
    expectShows(this.backend.readView(), this.entries, absent)
    const keys = [...this.entries.keys(), ...absent]
    for (const key of keys) {
      expectValue(key, this.backend.getSync(bytesOf(key)), this.entries.get(key))
    }
  }

  async close(): Promise<void> {
    await expectSound(this.backend)
  }
}

/** Compares by the bytes: deep comparisons of large values take long. */
export function expectValue(
  key: KeyText,
  found: Buffer | undefined,
  expected: Buffer | undefined
): void {
  if (found === undefined || expected === undefined || !found.equals(expected)) {
    expect(found, show(key)).toEqual(expected)
  }
}

/** Reads all of a view, compares it with what it should show, and closes it. */
export function expectShows(
  view: ReadView,
  entries: Entries,
  absent: readonly KeyText[] = []
): void {
  for (const reverse of [false, true]) {
    expect(difference(sortedEntries(entries, {}, reverse), iterate(view, {}, reverse))).toBe(
      undefined
    )
  }
  for (const key of [...entries.keys(), ...absent]) {
    expectValue(key, view.getSync(bytesOf(key)), entries.get(key))
  }
  view.close()
}

export function randomOperations(random: SeededRandom): ReferenceOperation[] {
  const key = `key${random.below(60)}`
  if (random.chance(1, 40)) return [clear({ gte: key, lt: `key${random.below(60)}` })]
  if (random.chance(1, 5)) return [del(key)]
  return [put(key, `${random.below(1000)}`.repeat(random.pick([1, 30, 2000])))]
}

/** All entries of a range, in small chunks and larger ones. */
export function* iterate(
  view: ReadView,
  range: TextRange = {},
  reverse = false
): Generator<[Buffer, Buffer]> {
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

export function entriesOf(view: ReadView): [string, string][] {
  const found = Array.from(iterate(view), ([key, value]): [string, string] => [
    key.toString(),
    value.toString()
  ])
  view.close()
  return found
}

/** Checks all of it and closes it. */
export async function expectSound(backend: Backend): Promise<void> {
  expect(await backend.verify('comprehensive', progress)).toEqual([])
  await backend.close()
}
