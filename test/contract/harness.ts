import { expect, onTestFinished } from 'vitest'
import type {
  Backend,
  BackendContext,
  Cursor,
  EntryChunk,
  Progress,
  ReadView
} from '../../dist/backend/backend.js'
import { loadBackend } from '../../dist/backends/registry.js'
import { SeededRandom } from '../../dist/base/random.js'
import { encodeBatch, type BatchOperation } from '../../dist/batch/batch.js'
import { Checksum } from '../../dist/codec/checksum.js'
import { resolveOptions } from '../../dist/options.js'
import { MemVfs, type MemVfsOptions } from '../../dist/vfs/mem-vfs.js'
import type { Vfs } from '../../dist/vfs/vfs.js'
import { tinyOptions } from '../helpers/backends.js'
import { DiskVfs } from '../helpers/disk-vfs.js'
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

/** The files a backend has: in memory, but for LevelDB, which opens real ones. */
export interface Files {
  readonly vfs: Vfs
  readonly operationCount: number
  onBeforeOperation(listener: (operation: { kind: string }) => void): void
  /** What a crash leaves that loses all it can; of real files nothing that was written. */
  crashClone(): Files
}

const needsDisk = testedBackend === 'level'

/** LevelDB reads ranges in another thread, so its cursors cannot wait for the disk. */
const cursorsWait = testedBackend !== 'level'

function filesOf(options: MemVfsOptions): Files {
  return needsDisk ? diskFiles(new DiskVfs()) : memoryFiles(new MemVfs(options))
}

function memoryFiles(vfs: MemVfs): Files {
  return {
    vfs,
    get operationCount() {
      return vfs.operationCount
    },
    onBeforeOperation: (listener) => vfs.onBeforeOperation(listener),
    crashClone: () => memoryFiles(vfs.crashClone('nothing'))
  }
}

function diskFiles(disk: DiskVfs): Files {
  onTestFinished(() => disk.remove())
  return {
    vfs: disk.vfs,
    get operationCount() {
      return disk.operationCount
    },
    onBeforeOperation: (listener) => disk.onBeforeOperation(listener),
    crashClone: () => diskFiles(disk.copy())
  }
}

export interface Made {
  readonly files: Files
  readonly context: BackendContext
  readonly backend: Backend
}

export async function created(options: MemVfsOptions = {}): Promise<Made> {
  const files = filesOf(options)
  const { vfs } = files
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
  return { files, context, backend }
}

/** Opens what is on another file system, as the next process would. */
export async function opened(files: Files, { context }: Pick<Made, 'context'>): Promise<Made> {
  const next = { ...context, vfs: files.vfs, epoch: context.epoch + 1 }
  return { files, context: next, backend: await (await loadBackend(testedBackend)).open(next) }
}

/** The next chunk, whatever has to be waited for. */
export async function nextChunk(cursor: Cursor, most: number): Promise<EntryChunk | undefined> {
  if (cursorsWait) return cursor.nextChunkSync(most)
  for (;;) {
    const chunk = cursor.tryNextChunk(most)
    if (chunk !== null) return chunk
    await cursor.load()
  }
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
    const next = new Modelled(await opened(this.made.files.crashClone(), this.made))
    expect(next.seq).toBe(this.seq)
    for (const [key, value] of this.entries) next.entries.set(key, value)
    return next
  }

  /** Compares everything, in both directions and point by point, with keys that are not there. */
  async expectContents(absent: readonly KeyText[] = []): Promise<void> {
    await expectShows(this.backend.readView(), this.entries, absent)
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
export async function expectShows(
  view: ReadView,
  entries: Entries,
  absent: readonly KeyText[] = []
): Promise<void> {
  for (const reverse of [false, true]) {
    const found = await iterate(view, {}, reverse)
    expect(difference(sortedEntries(entries, {}, reverse), found)).toBe(undefined)
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
export async function iterate(
  view: ReadView,
  range: TextRange = {},
  reverse = false
): Promise<[Buffer, Buffer][]> {
  const cursor = view.cursor({ range: rangeBytes(range), reverse, keys: true, values: true })
  const entries: [Buffer, Buffer][] = []
  for (let most = 7; ; most = 50) {
    const chunk = await nextChunk(cursor, most)
    if (chunk === undefined) break
    const { bytes, bounds, count, firstBound } = chunk
    expect(count).toBeGreaterThan(0)
    for (let i = firstBound; i < firstBound + 4 * count; i += 4) {
      const value = bytes.subarray(bounds[i + 2], bounds[i + 3])
      entries.push([bytes.subarray(bounds[i], bounds[i + 1]), value])
    }
  }
  cursor.close()
  return entries
}

export async function entriesOf(view: ReadView): Promise<[string, string][]> {
  const entries = await iterate(view)
  view.close()
  return entries.map(([key, value]) => [key.toString(), value.toString()])
}

/** Checks all of it and closes it. */
export async function expectSound(backend: Backend): Promise<void> {
  expect(await backend.verify('comprehensive', progress)).toEqual([])
  await backend.close()
}
