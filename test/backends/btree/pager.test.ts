import { describe, expect, it } from 'vitest'
import type { ViewToken } from '../../../dist/backends/btree/pager.js'
import { SeededRandom } from '../../../dist/base/random.js'
import { MemVfs } from '../../../dist/vfs/mem-vfs.js'
import { silent, ToyTree, toyOptions, type ToyModel } from './toy-tree.js'

function newVfs(): MemVfs {
  const vfs = new MemVfs()
  vfs.mkdirSync('/btree')
  return vfs
}

describe('a pager', () => {
  it('reads back after reopening what was persisted', async () => {
    const vfs = newVfs()
    const tree = await ToyTree.create(toyOptions(vfs), 3)
    for (let i = 0; i < tree.capacity; i++) tree.set(i, i + 1, i % 7 === 0 ? 5000 + i : 0)
    const expected = tree.read()
    expect(await tree.persist()).toBe(tree.capacity)
    expect(tree.read()).toEqual(expected)
    await tree.pager.close()
    const again = await ToyTree.open(toyOptions(vfs))
    expect(again.read()).toEqual(expected)
    expect(again.pager.openNotes).toEqual([])
    expect(again.pager.durableSeq).toBe(tree.capacity)
    await again.pager.close()
  })

  it('writes nothing before the log is synced through the state (rule W8)', async () => {
    const vfs = newVfs()
    const tree = await ToyTree.create(toyOptions(vfs))
    tree.set(1, 1)
    const before = vfs.operationCount
    let release = (): void => undefined
    const asked: number[] = []
    const persisting = tree.persist(false, (seq) => {
      asked.push(seq)
      return new Promise((resolve) => (release = resolve))
    })
    tree.set(2, 2)
    await turns(20)
    expect(asked).toEqual([1])
    expect(vfs.operationCount).toBe(before)
    release()
    expect(await persisting).toBe(1)
    expect(vfs.operationCount).toBeGreaterThan(before)
    await tree.pager.close()
    const again = await ToyTree.open(toyOptions(vfs))
    expect(again.read()).toEqual(new Map([[1, { number: 1, extentBytes: 0 }]]))
    await again.pager.close()
  })

  it('persists later what it could not because the log failed', async () => {
    const vfs = newVfs()
    const tree = await ToyTree.create(toyOptions(vfs))
    tree.set(1, 1, 5000)
    const failure = new Error('log')
    await expect(tree.persist(false, () => Promise.reject(failure))).rejects.toBe(failure)
    tree.set(2, 2)
    expect(await tree.persist()).toBe(2)
    const model = tree.read()
    await tree.pager.close()
    const again = await ToyTree.open(toyOptions(vfs))
    expect(again.read()).toEqual(model)
    await again.pager.close()
  })

  it('shows every view its own state through edits, persists and evictions', async () => {
    const vfs = newVfs()
    const random = new SeededRandom(11)
    const options = toyOptions(vfs, { cacheBytes: 1, slabBytes: 1 << 16 })
    const tree = await ToyTree.create(options, 3)
    const views: { token: ViewToken; model: ToyModel }[] = []
    for (let round = 0; round < 60; round++) {
      for (let i = random.below(10); i > 0; i--) {
        tree.set(random.below(tree.capacity), 1 + random.below(999), random.below(3) * 2500)
      }
      if (random.below(2) === 0) {
        views.push({ token: tree.pager.retainView(tree.state), model: tree.read() })
      }
      if (random.below(3) === 0) await tree.persist()
      if (views.length > 6) {
        const [view] = views.splice(random.below(views.length), 1)
        expect(tree.read(view.token.state)).toEqual(view.model)
        tree.pager.releaseView(view.token)
      }
    }
    for (const view of views) {
      expect(tree.read(view.token.state)).toEqual(view.model)
      tree.pager.releaseView(view.token)
    }
    expect(tree.pager.stats().heldPages).toBe(0)
    for (let i = 0; i < 3; i++) await tree.persist(true)
    expect(await tree.pager.verify('standard', silent)).toEqual([])
    await tree.pager.close()
  })

  it('stays right when views end and pages are reused while a persist is running', async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const random = new SeededRandom(seed)
      const vfs = newVfs()
      const tree = await ToyTree.create(toyOptions(vfs, { cacheBytes: 1, slabBytes: 1 << 16 }), 3)
      const views: { token: ViewToken; model: ToyModel }[] = []
      const step = () => {
        for (let i = random.below(6); i > 0; i--) {
          tree.set(random.below(100), 1 + random.below(999), random.below(4) === 0 ? 2500 : 0)
        }
        if (random.below(2) === 0) {
          views.push({ token: tree.pager.retainView(tree.state), model: tree.read() })
        }
        if (views.length > random.below(4)) {
          const [view] = views.splice(random.below(views.length), 1)
          expect(tree.read(view.token.state), `seed ${seed}`).toEqual(view.model)
          tree.pager.releaseView(view.token)
        }
      }
      for (let round = 0; round < 15; round++) {
        for (let i = 0; i < 5; i++) step()
        let isDone = false
        const persisting = tree.persist(true, () => turns(1)).then(() => (isDone = true))
        while (!isDone) {
          step()
          await turns(1)
        }
        await persisting
      }
      for (const { token } of views) tree.pager.releaseView(token)
      for (let i = 0; i < 3; i++) await tree.persist(true)
      const model = tree.read()
      expect(await tree.pager.verify('standard', silent)).toEqual([])
      await tree.pager.close()
      const again = await ToyTree.open(toyOptions(vfs))
      expect(again.read()).toEqual(model)
      await again.pager.close()
    }
  })

  it('takes a view of an unchanged tree for nothing', async () => {
    const tree = await ToyTree.create(toyOptions(newVfs()))
    tree.set(1, 1)
    const first = tree.pager.retainView(tree.state)
    const generation = tree.pager.generation
    const second = tree.pager.retainView(tree.state)
    expect(tree.pager.generation).toBe(generation)
    tree.pager.releaseView(first)
    tree.pager.releaseView(second)
    expect(tree.pager.stats().liveViews).toBe(0)
    await tree.pager.close()
  })

  it('keeps a file short under churn and gives its tail back', async () => {
    const vfs = newVfs()
    const tree = await ToyTree.create(toyOptions(vfs), 3)
    for (let i = 0; i < tree.capacity; i++) tree.set(i, 1, 20_000)
    await tree.persist()
    const full = vfs.statSync('/btree/tree.pages')!.sizeBytes
    for (let i = 0; i < tree.capacity; i++) tree.set(i, 2)
    await tree.shrink()
    expect(await tree.pager.verify('standard', silent)).toEqual([])
    await tree.pager.close()
    expect(vfs.statSync('/btree/tree.pages')!.sizeBytes).toBeLessThan(full / 10)
    const again = await ToyTree.open(toyOptions(vfs))
    expect([...again.read().values()].every(({ number }) => number === 2)).toBe(true)
    await again.pager.close()
  })

  it('loads a page asynchronously once for all who ask, and evicts what is not touched', async () => {
    const vfs = newVfs()
    const tree = await ToyTree.create(toyOptions(vfs), 3)
    for (let i = 0; i < tree.capacity; i++) tree.set(i, i + 1)
    await tree.persist()
    await tree.pager.close()
    const again = await ToyTree.open(toyOptions(vfs, { cacheBytes: 1, slabBytes: 1 << 16 }))
    const { rootPage, height } = again.state
    const loads = [0, 1, 2].map(() => again.pager.load(rootPage, height - 1, 0, 0))
    expect(new Set(loads).size).toBe(1)
    await Promise.all(loads)
    expect(again.pager.memory.pageTable[rootPage]).toBeGreaterThanOrEqual(0)
    again.read()
    expect(again.pager.memory.residentCount).toBeLessThanOrEqual(64)
    await again.pager.close()
  })
})

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}
