import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../../dist/base/random.js'
import type { MemVfs } from '../../../dist/vfs/mem-vfs.js'
import {
  exploreCrashes,
  type CheckContext,
  type HistoryContext
} from '../../helpers/crash-explorer.js'
import { silent, ToyTree, toyOptions, type ToyModel } from './toy-tree.js'

interface PersistedState {
  readonly seq: number
  readonly model: ToyModel
}

const height = 2

/** Random edits, with and without extents, some held by views, some while a persist is running. */
async function history(context: HistoryContext<PersistedState>, seed: number): Promise<void> {
  const random = new SeededRandom(seed)
  context.vfs.mkdirSync('/btree')
  context.vfs.syncDirectorySync('/')
  const tree = await ToyTree.create(toyOptions(context.vfs), height)
  context.attempt({ seq: 0, model: new Map() })
  context.acknowledge({ seq: 0, model: new Map() })
  const views: { token: ReturnType<typeof tree.pager.retainView>; model: ToyModel }[] = []
  const edit = (count: number) => {
    for (let i = 0; i < count; i++) {
      const extentBytes = random.below(4) === 0 ? random.below(20_000) : 0
      tree.set(random.below(tree.capacity), 1 + random.below(1 << 30), extentBytes)
    }
  }
  for (let round = 0; round < 7; round++) {
    await context.step(`round ${round}`)
    edit(1 + random.below(12))
    if (random.below(2) === 0) {
      views.push({ token: tree.pager.retainView(tree.state), model: tree.read() })
      edit(random.below(6))
    }
    const fact = { seq: tree.appliedSeq, model: tree.read() }
    context.attempt(fact)
    const persisting = tree.persist(true)
    edit(random.below(8))
    await persisting
    context.acknowledge(fact)
    if (views.length > 0 && random.below(3) === 0) {
      const [view] = views.splice(random.below(views.length), 1)
      expect(tree.read(view.token.state)).toEqual(view.model)
      tree.pager.releaseView(view.token)
    }
  }
  await tree.pager.close()
}

async function check(clone: MemVfs, context: CheckContext<PersistedState>): Promise<void> {
  if (context.acknowledged.length === 0) return
  const epoch = 2 + context.depth
  const tree = await ToyTree.open(toyOptions(clone, { epoch }), height)
  const fact = context.attempted.find(({ seq }) => seq === tree.appliedSeq)
  expect(fact, `a state of sequence ${tree.appliedSeq}`).toBeDefined()
  expect(tree.appliedSeq).toBeGreaterThanOrEqual(context.acknowledged.at(-1)!.seq)
  expect(tree.read()).toEqual(fact!.model)
  expect(await tree.pager.verify('standard', silent)).toEqual([])
  context.recovered()
  for (let round = 0; round < 3; round++) {
    tree.set(round * 17, 1000 + round, round * 5000)
    await tree.persist()
    expect(await tree.pager.verify('standard', silent)).toEqual([])
  }
  const model = tree.read()
  await tree.pager.close()
  const again = await ToyTree.open(toyOptions(clone, { epoch }), height)
  expect(again.read()).toEqual(model)
  await again.pager.close()
}

describe('a persist interrupted by a power cut', () => {
  for (const seed of [1, 2, 3, 4]) {
    it(`leaves the newest durable state whole and leaks nothing, seed ${seed}`, async () => {
      const report = await exploreCrashes<PersistedState>({
        seed,
        history: (context) => history(context, seed),
        check,
        depth: 1,
        fixedFates: ['n', 'e', 'k'],
        randomFates: 3,
        nested: { everyNth: 3, fixedFates: ['n', 'e'], randomFates: 1 }
      })
      expect(report.states).toBeGreaterThan(500)
    })
  }
})
