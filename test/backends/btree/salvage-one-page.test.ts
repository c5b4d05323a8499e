import { describe, expect, it } from 'vitest'
import type { BatchOperation } from '../../../dist/batch/batch.js'
import { BtreeBackend } from '../../../dist/backends/btree/btree-backend.js'
import { PageHeader, PageKind } from '../../../dist/backends/btree/format.js'
import { NodeContent } from '../../../dist/backends/btree/node-content.js'
import { salvageTree } from '../../../dist/backends/btree/salvage.js'
import { SalvageSource } from '../../../dist/backends/btree/salvage-source.js'
import { compareBytes } from '../../../dist/base/bytes.js'
import { SeededRandom } from '../../../dist/base/random.js'
import type { DamagedRange, SalvageReport } from '../../../dist/backend/backend.js'
import type { MemVfs } from '../../../dist/vfs/mem-vfs.js'
import { restoreStaleBlock, zeroBlock } from '../../helpers/damage.js'
import { checksum, contextOf, everything, type Model, Pair, readAll } from './tree-harness.js'

/*
 * The story: full leaves left their high fence open, salvage took that for the end of the tree, and
 * with one branch page damaged the first such leaf hid all the intact ones behind it.
 */

const path = '/tree/tree.pages'
const pageBytes = 4096
const silent = { report: () => undefined, signal: undefined }

interface Entry {
  readonly key: Buffer
  readonly value: Buffer
}

interface Shape {
  readonly sequential: boolean
  /** Bytes that all keys begin with; fences hold 64. */
  readonly prefixBytes: number
  readonly bigEntries: boolean
  readonly clears: boolean
}

interface Store {
  readonly disk: MemVfs
  /** The disk after an earlier persist. */
  readonly older: MemVfs
  /** What was in the tree at the persists, by sequence number. */
  readonly states: Map<number, Model>
  readonly pageCount: number
  readonly branches: number[]
  readonly leaves: number[]
  readonly others: number[]
  /** The roots that the two meta pages name. */
  readonly roots: number[]
  /** Leaf sides that end without a word of where. */
  readonly unknownSides: number
}

function shapeOf(seed: number): Shape {
  return {
    sequential: seed % 2 === 0,
    prefixBytes: [0, 6, 90, 0][seed % 4],
    bigEntries: seed % 3 === 0,
    clears: seed % 3 !== 1
  }
}

function entryOf(index: number, shape: Shape, random: SeededRandom): Entry {
  const isBig = shape.bigEntries && index % 97 === 0
  const text = index.toString(36).padStart(5, '0')
  const tail = 'x'.repeat(isBig ? 2500 : index % 7)
  const key = Buffer.from('p'.repeat(shape.prefixBytes) + text + tail)
  const value = Buffer.alloc(shape.bigEntries && index % 101 === 0 ? 7000 : 20 + random.below(60))
  random.fill(value)
  return { key, value }
}

async function build(seed: number, count: number): Promise<Store> {
  const random = new SeededRandom(seed)
  const shape = shapeOf(seed)
  const pair = await Pair.create({ pageBytes })
  const states = new Map<number, Model>()
  let older = pair.vfs.crashClone('nothing')
  const persist = async () => {
    await pair.persist()
    states.set(pair.seq, pair.model.clone())
  }
  const keyAt = (index: number) => entryOf(index, shape, random).key
  const rounds = 4
  for (let round = 0; round < rounds; round++) {
    for (let done = 0; done < count / rounds; done += 50) {
      const batch: BatchOperation[] = []
      for (let i = 0; i < 50; i++) {
        const next = (round * count) / rounds + done + i
        const index = shape.sequential ? next : random.below(2 * count)
        batch.push({ type: 'put', ...entryOf(index, shape, random) })
        if (random.below(8) === 0) {
          const gone = pair.model.entries[random.below(Math.max(1, pair.model.entries.length))]
          if (gone) batch.push({ type: 'del', key: gone.key })
        }
      }
      await pair.apply(batch)
    }
    if (shape.clears) {
      for (let i = 0; i < 3; i++) {
        const from = random.below(count)
        const range = { gte: keyAt(from), lt: keyAt(from + random.below(150)) }
        if (compareBytes(range.gte, range.lt) < 0) await pair.apply([{ type: 'clear', range }])
      }
    }
    await persist()
    if (round === rounds - 2) older = pair.vfs.crashClone('nothing')
  }
  // Small persists, until the file has shrunk and both states share nearly all pages.
  for (let i = 0; i < 8; i++) {
    await pair.put(pair.model.entries[random.below(pair.model.entries.length)].key, 'last')
    await persist()
  }
  // Not closed: that would cut off the older pages at the end of the file.
  const disk = pair.vfs.crashClone('nothing')
  const pages = await pagesOf(disk)
  await pair.backend.close()
  return { disk, older, states, ...pages }
}

async function pagesOf(
  disk: MemVfs
): Promise<Pick<Store, 'pageCount' | 'branches' | 'leaves' | 'others' | 'roots' | 'unknownSides'>> {
  const content = new NodeContent()
  content.setPageBytes(pageBytes)
  const source = await SalvageSource.open(disk, path, Buffer.alloc(16, 7), checksum, content)
  const bytes = disk.medium.read(path)
  const pageCount = bytes.length / pageBytes
  const kinds = Array.from({ length: pageCount }, (_, page) =>
    page < 2 ? 0 : bytes[page * pageBytes + PageHeader.kind]
  )
  const ofKind = (kind: number) => [...kinds.keys()].filter((page) => kinds[page] === kind)
  let unknownSides = 0
  await source.scan(silent, (page, slab, base) => {
    if (page.level > 0) return
    const { low, high, lowIsExact, highIsExact } = content.fences(slab, base)
    if (!lowIsExact && !low) unknownSides++
    if (!highIsExact && !high) unknownSides++
  })
  const roots = source.metas.map(({ rootPage }) => rootPage)
  await source.close()
  const branches = ofKind(PageKind.branch)
  const leaves = ofKind(PageKind.leaf)
  const others = [...ofKind(PageKind.freelist), ...ofKind(PageKind.overflow)]
  return { pageCount, branches, leaves, others, roots, unknownSides }
}

async function salvage(disk: MemVfs): Promise<{ report: SalvageReport; entries: Entry[] }> {
  disk.mkdirSync('/new')
  const context = { ...contextOf(disk), directory: '/new' }
  const report = await salvageTree('/tree', context, silent)
  const backend = await BtreeBackend.open(context)
  const found = await backend.verify('comprehensive', silent)
  expect(found.map(({ message }) => message)).toEqual([])
  const view = backend.readView()
  const entries = readAll(view.cursor(everything(false)))
  view.close()
  await backend.close()
  return { report, entries }
}

function isWithin(ranges: readonly DamagedRange[], key: Buffer): boolean {
  return ranges.some(
    ({ lowKey, highKey }) =>
      (lowKey === undefined || compareBytes(key, lowKey) >= 0) &&
      (highKey === undefined || compareBytes(key, highKey) < 0)
  )
}

/** Salvages, holds the result against the truth, and returns which part of that was saved. */
async function savedPart(
  { states }: Store,
  disk: MemVfs,
  what: string
): Promise<{ part: number; report: SalvageReport }> {
  const { report, entries } = await salvage(disk)
  const truth = states.get(report.seq)
  if (truth === undefined) throw new Error(`${what}: no state of sequence number ${report.seq}`)
  const named = [...report.lost, ...report.possiblyStale]
  const found = new Map(entries.map(({ key, value }) => [key.toString('latin1'), value]))
  let saved = 0
  for (const { key, value } of truth.entries) {
    const there = found.get(key.toString('latin1'))
    if (there?.equals(value)) saved++
    else expect(isWithin(there ? report.possiblyStale : named, key), `${what}, changed`).toBe(true)
  }
  for (const { key } of entries) {
    if (truth.get(key)) continue
    expect(isWithin(report.possiblyStale, key), `${what}, back again`).toBe(true)
  }
  return { part: saved / truth.entries.length, report }
}

function sample(pages: readonly number[], count: number, random: SeededRandom): number[] {
  if (pages.length <= count) return [...pages]
  return Array.from({ length: count }, () => pages[random.below(pages.length)])
}

describe('a store with one damaged page', () => {
  for (let seed = 1; seed <= 8; seed++) {
    it(`is saved but for what the report names, seed ${seed}`, async () => {
      const store = await build(seed, 2000)
      const random = new SeededRandom(1000 + seed)
      const { branches, leaves, others } = store
      const pages = [
        0,
        1,
        ...store.roots,
        ...sample(branches, 6, random),
        ...sample(leaves, 8, random),
        ...sample(others, 3, random)
      ]
      for (const page of pages) {
        for (const stale of [false, true]) {
          const disk = store.disk.crashClone('nothing')
          const done = stale
            ? restoreStaleBlock(disk, store.older, path, page * pageBytes, pageBytes)
            : zeroBlock(disk, path, page * pageBytes, pageBytes)
          const { part, report } = await savedPart(store, disk, `seed ${seed}: ${done}`)
          expect(part, done).toBeGreaterThan(0.95)
          // One of the two states is whole then, and the log has what the older one lacks.
          const oneIsWhole = page < 2 || (page === store.roots[0] && !stale)
          if (oneIsWhole) expect(report, done).toMatchObject({ lost: [], possiblyStale: [] })
        }
      }
    })
  }

  it('keeps all entries when the roots of both states are gone, and claims no currency', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const store = await build(seed, 3000)
      const disk = store.disk.crashClone('nothing')
      for (const root of store.roots) zeroBlock(disk, path, root * pageBytes, pageBytes)
      const what = `seed ${seed}, roots ${store.roots.join()}`
      const { part, report } = await savedPart(store, disk, what)
      // Every leaf is intact, so nothing of the newest state is missing or old.
      expect(part, what).toBe(1)
      expect(report.possiblyStale.length, what).toBeGreaterThan(0)
      const fencesAreExact = shapeOf(seed).prefixBytes < 50 && store.unknownSides === 0
      if (fencesAreExact && !shapeOf(seed).bigEntries) expect(report.lost, what).toEqual([])
    }
  })

  it('keeps all entries when a branch of both states is gone', async () => {
    let inBoth = 0
    for (const seed of [2, 3]) {
      const store = await build(seed, 12_000)
      for (const branch of store.branches) {
        const disk = store.disk.crashClone('nothing')
        zeroBlock(disk, path, branch * pageBytes, pageBytes)
        const what = `seed ${seed}, branch ${branch}`
        const { part, report } = await savedPart(store, disk, what)
        expect(part, what).toBe(1)
        if (report.possiblyStale.length > 0) inBoth++
      }
    }
    expect(inBoth).toBeGreaterThan(5)
  })
})
