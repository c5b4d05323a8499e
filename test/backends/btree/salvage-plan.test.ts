import { describe, expect, it } from 'vitest'
import { Slab } from '../../../dist/backends/btree/page-memory.js'
import { planSalvage, type SalvagePlan } from '../../../dist/backends/btree/salvage-plan.js'
import { SalvageSource } from '../../../dist/backends/btree/salvage-source.js'
import { SeededRandom } from '../../../dist/base/random.js'
import { Checksum } from '../../../dist/codec/checksum.js'
import { MemVfs } from '../../../dist/vfs/mem-vfs.js'
import { zeroBlock } from '../../helpers/damage.js'
import {
  fanout,
  keyOf,
  leafWords,
  silent,
  slotExtent,
  start,
  storeId,
  toyContent,
  ToyTree,
  toyOptions,
  type ToyModel
} from './toy-tree.js'

const path = '/btree/tree.pages'
const pageBytes = 4096

interface Built {
  readonly disk: MemVfs
  readonly model: ToyModel
  readonly seq: number
  /** Every number an index ever had. */
  readonly history: Map<number, Set<number>>
  readonly branches: number[]
  readonly leaves: number[]
}

async function build(seed: number): Promise<Built> {
  const disk = new MemVfs()
  disk.mkdirSync('/btree')
  disk.syncDirectorySync('/')
  const random = new SeededRandom(seed)
  const tree = await ToyTree.create(toyOptions(disk), 3)
  const history = new Map<number, Set<number>>()
  const set = (index: number) => {
    const number = 1 + random.below(1 << 30)
    tree.set(index, number, random.below(10) === 0 ? 5000 : 0)
    if (!history.has(index)) history.set(index, new Set())
    history.get(index)!.add(number)
  }
  for (let index = 0; index < tree.capacity; index++) set(index)
  for (let round = 0; round < 6; round++) {
    await tree.persist()
    for (let i = 0; i < 12; i++) set(random.below(tree.capacity))
  }
  await tree.persist()
  const { branches, leaves } = pagesOf(tree)
  const model = tree.read()
  await tree.pager.close()
  return { disk, model, seq: tree.appliedSeq, history, branches, leaves }
}

function pagesOf(tree: ToyTree): { branches: number[]; leaves: number[] } {
  const branches: number[] = []
  const leaves: number[] = []
  const { memory } = tree.pager
  const visit = (pageNo: number, level: number): void => {
    if (level === 0) {
      leaves.push(pageNo)
      return
    }
    branches.push(pageNo)
    const children: number[] = []
    const frame = tree.pager.loadSync(pageNo, level, 0, 0)
    toyContent.eachChild(memory.slabOf(frame), memory.baseOf(frame), (child) =>
      children.push(child)
    )
    for (const child of children) visit(child, level - 1)
  }
  visit(tree.rootPage, tree.height - 1)
  return { branches, leaves }
}

async function salvage(
  disk: MemVfs
): Promise<{ plan: SalvagePlan; model: ToyModel; stale: Set<number>; broken: Set<number> }> {
  const checksum = await Checksum.create()
  const source = await SalvageSource.open(disk, path, storeId, checksum, toyContent)
  const plan = await planSalvage(source, toyContent, silent)
  const model: ToyModel = new Map()
  const stale = new Set<number>()
  const broken = new Set<number>()
  const slab = new Slab(pageBytes)
  for (const piece of plan.pieces) {
    expect(await source.read(piece.pageNo, slab, 0)).toMatchObject({ level: 0 })
    const first = toyContent.fences(slab, 0).low!.readUInt32BE()
    for (let i = 0; i < fanout; i++) {
      const key = keyOf(first + i)
      if (piece.low !== undefined && key.compare(piece.low) < 0) continue
      if (piece.high !== undefined && key.compare(piece.high) >= 0) continue
      const word = start + i * leafWords
      const extent = slotExtent(slab, word)
      if (extent !== undefined && (await source.readExtent(extent)) === undefined) {
        broken.add(first + i)
        continue
      }
      expect(model.has(first + i), `index ${first + i} twice`).toBe(false)
      model.set(first + i, { number: slab.u32[word], extentBytes: extent?.sizeBytes ?? 0 })
      if (piece.stale) stale.add(first + i)
    }
  }
  await source.close()
  return { plan, model, stale, broken }
}

describe('a salvage of a damaged file', () => {
  it('takes exactly the newest state where nothing is damaged', async () => {
    const { disk, model } = await build(1)
    const salvaged = await salvage(disk)
    expect(salvaged.model).toEqual(model)
    expect(salvaged.stale.size).toBe(0)
    expect(salvaged.plan.lost).toEqual([])
  })

  it('finds all leaves, the latest first, where branch pages and both metas are gone', async () => {
    for (let seed = 1; seed <= 4; seed++) {
      const { disk, model, branches } = await build(seed)
      const damages = [...branches.map((page) => [0, 1, page]), [0, 1]]
      for (const pages of damages) {
        const clone = disk.crashClone('nothing')
        for (const page of pages) zeroBlock(clone, path, page * pageBytes, pageBytes)
        const salvaged = await salvage(clone)
        expect(salvaged.model, `seed ${seed}, pages ${pages.join()}`).toEqual(model)
        expect(salvaged.plan.lost.every(({ low, high }) => !low || !high)).toBe(true)
      }
    }
  })

  it('never prefers a past that an opening went back behind, metas or not (rule B5)', async () => {
    for (const metasLost of [false, true]) {
      const { disk, leaves } = await build(5)
      const before = await ToyTree.open(toyOptions(disk))
      const abandoned = before.read()
      for (const index of [0, 100, 200, 300, 400, 500]) before.set(index, 7)
      await before.persist()
      await before.pager.close()
      const lost = await ToyTree.open(toyOptions(disk, { readOnly: true }))
      const { rootPage } = lost
      await lost.pager.close()
      zeroBlock(disk, path, rootPage * pageBytes, pageBytes)
      const tree = await ToyTree.open(toyOptions(disk, { epoch: 2 }))
      expect(tree.read()).toEqual(abandoned)
      tree.set(511, 8)
      await tree.persist()
      await tree.persist(true)
      const model = tree.read()
      const { branches } = pagesOf(tree)
      // Not closed: that would cut the file where the abandoned pages lie.
      const gone = metasLost ? [0, 1] : [branches[0]]
      for (const page of gone) zeroBlock(disk, path, page * pageBytes, pageBytes)
      const salvaged = await salvage(disk)
      expect(salvaged.model).toEqual(model)
      expect(salvaged.stale.size).toBeGreaterThan(leaves.length)
    }
  })

  it('never makes up a value, and names what is lost, whatever pages are gone', async () => {
    const random = new SeededRandom(99)
    let lost = 0
    let stale = 0
    for (let seed = 1; seed <= 3; seed++) {
      const { disk, model, history, seq } = await build(seed)
      const pages = disk.medium.read(path).length / pageBytes
      for (let run = 0; run < 15; run++) {
        const clone = disk.crashClone('nothing')
        const gone = Array.from({ length: 1 + random.below(40) }, () => random.below(pages))
        for (const page of gone) zeroBlock(clone, path, page * pageBytes, pageBytes)
        const salvaged = await salvage(clone)
        for (const [index, found] of salvaged.model) {
          expect(history.get(index)).toContain(found.number)
          const isNewest = salvaged.plan.seq === seq && !salvaged.stale.has(index)
          if (isNewest) expect(found).toEqual(model.get(index))
        }
        stale += salvaged.stale.size
        for (const index of model.keys()) {
          if (salvaged.model.has(index)) continue
          const key = keyOf(index)
          const named = salvaged.plan.lost.some(
            ({ low, high }) =>
              (low === undefined || key.compare(low) >= 0) &&
              (high === undefined || key.compare(high) < 0)
          )
          if (named) lost++
          else expect(salvaged.broken, `index ${index}`).toContain(index)
        }
      }
    }
    expect(lost).toBeGreaterThan(100)
    expect(stale).toBeGreaterThan(100)
  })
})
