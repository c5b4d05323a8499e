import { expect } from 'vitest'

import type { BackendContext, Cursor, EntryChunk } from '../../../dist/backend/backend.js'
import { BtreeBackend } from '../../../dist/backends/btree/btree-backend.js'
import { extentPages } from '../../../dist/backends/btree/format.js'
import { checkTree } from '../../../dist/backends/btree/tree-check.js'
import { compareBytes } from '../../../dist/base/bytes.js'
import { systemClock } from '../../../dist/base/clock.js'
import { systemRandom } from '../../../dist/base/random.js'
import { encodeBatch } from '../../../dist/batch/batch.js'
import type { BatchOperation, ByteRange } from '../../../dist/batch/batch.js'
import { Checksum } from '../../../dist/codec/checksum.js'
import { resolveOptions } from '../../../dist/options.js'
import { MemVfs, type CachedReads } from '../../../dist/vfs/mem-vfs.js'

export const checksum = await Checksum.create()

export interface Settings {
  pageBytes?: number
  cacheBytes?: number
  cachedReads?: CachedReads
}

export function contextOf(vfs: MemVfs, settings: Settings = {}): BackendContext {
  const { pageBytes = 4096, cacheBytes = 64 * 2 ** 20 } = settings
  return {
    vfs,
    directory: '/tree',
    storeId: Buffer.alloc(16, 7),
    checksum,
    clock: systemClock,
    random: systemRandom,
    options: { ...resolveOptions({}), pageBytes, cacheBytes },
    readOnly: false,
    quarantine: '/quarantine',
    epoch: 1,
    notify: () => undefined
  }
}

export async function createTree(settings: Settings = {}) {
  const vfs = new MemVfs({ cachedReads: settings.cachedReads ?? 'some' })
  vfs.mkdirSync('/tree')
  vfs.syncDirectorySync('/')
  return { vfs, backend: await BtreeBackend.create(contextOf(vfs, settings)) }
}

/** A sorted map: what the tree must behave like. */
export class Model {
  entries: { key: Buffer; value: Buffer }[] = []

  clone(): Model {
    const copy = new Model()
    copy.entries = [...this.entries]
    return copy
  }

  /** Index of the first entry not below the key. */
  position(key: Uint8Array): number {
    let low = 0
    let high = this.entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareBytes(this.entries[middle].key, key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  get(key: Uint8Array): Buffer | undefined {
    const entry = this.entries[this.position(key)]
    return entry?.key.equals(key) ? entry.value : undefined
  }

  bounds(range: ByteRange): [number, number] {
    const { gt, gte, lt, lte } = range
    const from =
      gte !== undefined
        ? this.position(gte)
        : gt !== undefined
          ? this.position(gt) + (this.get(gt) === undefined ? 0 : 1)
          : 0
    const to =
      lt !== undefined
        ? this.position(lt)
        : lte !== undefined
          ? this.position(lte) + (this.get(lte) === undefined ? 0 : 1)
          : this.entries.length
    return [from, Math.max(from, to)]
  }

  apply(operation: BatchOperation): void {
    if (operation.type === 'clear') {
      const [from, to] = this.bounds(operation.range)
      this.entries.splice(from, to - from)
      return
    }
    const key = Buffer.from(operation.key)
    const at = this.position(key)
    const there = this.entries[at]?.key.equals(key) ? 1 : 0
    if (operation.type === 'del') this.entries.splice(at, there)
    else this.entries.splice(at, there, { key, value: Buffer.from(operation.value) })
  }
}

/** A tree and its model, changed together. */
export class Pair {
  seq = 0
  model = new Model()
  backend: BtreeBackend
  readonly vfs: MemVfs
  readonly #settings: Settings

  private constructor(vfs: MemVfs, backend: BtreeBackend, settings: Settings) {
    this.vfs = vfs
    this.backend = backend
    this.#settings = settings
  }

  static async create(settings: Settings = {}): Promise<Pair> {
    const { vfs, backend } = await createTree(settings)
    return new Pair(vfs, backend, settings)
  }

  async apply(operations: readonly BatchOperation[]): Promise<void> {
    const bytes = encodeBatch(operations)
    if (!this.backend.tryPrepare(bytes, 0, bytes.length)) {
      await this.backend.prepare(bytes, 0, bytes.length)
    }
    this.backend.apply(bytes, 0, bytes.length, ++this.seq)
    bytes.fill(0xee)
    for (const operation of operations) this.model.apply(operation)
  }

  put(key: string | Uint8Array, value: string | Uint8Array): Promise<void> {
    return this.apply([{ type: 'put', key: Buffer.from(key), value: Buffer.from(value) }])
  }

  persist(): Promise<number> {
    return this.backend.persist(() => Promise.resolve())
  }

  async reopen(): Promise<void> {
    await this.persist()
    await this.backend.close()
    this.backend = await BtreeBackend.open(contextOf(this.vfs, this.#settings))
    expect(this.backend.appliedSeq).toBe(this.seq)
  }

  /** Structure, space and contents. */
  async check(): Promise<void> {
    await this.backend.persist(() => Promise.resolve())
    checkStructure(this.backend)
    const view = this.backend.readView()
    expectEntries(readAll(view.cursor(everything(false))), this.model.entries)
    expectEntries(readAll(view.cursor(everything(true))), [...this.model.entries].reverse())
    view.close()
    expect(this.backend.stats().entries).toBe(this.model.entries.length)
  }
}

export function checkStructure(backend: BtreeBackend): void {
  const found = checkTree(backend.tree, backend.tree.state)
  expect(found.problems).toEqual([])
  const { pageBytes } = backend.pager
  let pages = found.pages.length
  for (const extent of found.extents) pages += extentPages(extent.sizeBytes, pageBytes)
  const all = [...found.pages]
  for (const { page, sizeBytes } of found.extents) {
    for (let i = 0; i < extentPages(sizeBytes, pageBytes); i++) all.push(page + i)
  }
  expect(new Set(all).size).toBe(pages)
  const stats = backend.stats()
  expect(stats.usedPages - stats.availablePages - stats.pendingPages - stats.heldPages).toBe(
    2 + pages + stats.freelistPages
  )
}

/** Compares entries; a difference is shown in short, since keys and values may be long. */
export function expectEntries(
  actual: readonly { key: Buffer; value: Buffer }[],
  expected: readonly { key: Buffer; value: Buffer }[]
): void {
  const same =
    actual.length === expected.length &&
    actual.every(
      ({ key, value }, i) => key.equals(expected[i].key) && value.equals(expected[i].value)
    )
  if (!same) expect(actual.map(brief)).toEqual(expected.map(brief))
  expect(same).toBe(true)
}

function brief({ key, value }: { key: Buffer; value: Buffer }): string {
  const text = key.toString('latin1')
  const shown = text.length > 40 ? `${text.slice(0, 12)}…${text.slice(-8)} (${text.length})` : text
  return `${shown} = ${value.length} × ${value[0]}`
}

export function everything(reverse: boolean) {
  return { range: {}, reverse, keys: true, values: true }
}

export function entriesOf(chunk: EntryChunk): { key: Buffer; value: Buffer }[] {
  const entries = []
  const { bytes, bounds, count, firstBound } = chunk
  for (let i = firstBound; i < firstBound + 4 * count; i += 4) {
    entries.push({
      key: Buffer.from(bytes.subarray(bounds[i], bounds[i + 1])),
      value: Buffer.from(bytes.subarray(bounds[i + 2], bounds[i + 3]))
    })
  }
  return entries
}

export function readAll(cursor: Cursor, maxEntries = 1000): { key: Buffer; value: Buffer }[] {
  const entries = []
  for (;;) {
    const chunk = cursor.nextChunkSync(maxEntries)
    if (chunk === undefined) break
    expect(chunk.count).toBeGreaterThan(0)
    expect(chunk.count).toBeLessThanOrEqual(maxEntries)
    entries.push(...entriesOf(chunk))
  }
  cursor.close()
  return entries
}
