import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../../dist/base/random.js'
import { KintsugiError } from '../../../dist/errors.js'
import type { Fault, FaultOperation } from '../../../dist/vfs/fault-plan.js'
import { FaultVfs } from '../../../dist/vfs/fault-vfs.js'
import { MemVfs } from '../../../dist/vfs/mem-vfs.js'
import { silent, ToyTree, toyOptions, type ToyModel } from './toy-tree.js'

interface Run {
  readonly disk: MemVfs
  readonly vfs: FaultVfs
  readonly tree: ToyTree
  /** Every state that was handed to a persist, by sequence number. */
  readonly states: Map<number, ToyModel>
  durableSeq: number
  poisoned: boolean
  crashes: number
}

async function start(seed: number): Promise<{ disk: MemVfs; random: SeededRandom }> {
  const disk = new MemVfs()
  disk.mkdirSync('/btree')
  disk.syncDirectorySync('/')
  const random = new SeededRandom(seed)
  const tree = await ToyTree.create(toyOptions(disk))
  for (let i = 0; i < tree.capacity; i += 2) tree.set(i, i + 1, i % 5 === 0 ? 9000 : 0)
  await tree.persist()
  await tree.pager.close()
  return { disk, random }
}

/** Persists until it works; after every failure the file must still be good for a power cut. */
async function persist(run: Run, random: SeededRandom, force = false): Promise<void> {
  const { tree } = run
  const seq = tree.appliedSeq
  const model = tree.read()
  run.states.set(seq, model)
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      await tree.persist(force)
      run.durableSeq = seq
      return
    } catch (error) {
      if (!(error instanceof KintsugiError)) throw error
      expect(tree.read()).toEqual(model)
      await checkAfterPowerCut(run, random)
      if (error.code === 'KINTSUGI_READ_ONLY' || tree.pager.file.poison !== undefined) {
        run.poisoned = true
        await expect(tree.persist(true)).rejects.toMatchObject({ code: 'KINTSUGI_READ_ONLY' })
        return
      }
      run.vfs.freeDisk()
    }
  }
  expect.unreachable('a persist failed three times')
}

async function checkAfterPowerCut(run: Run, random: SeededRandom): Promise<void> {
  for (const fate of ['nothing', 'everything', random, random] as const) {
    run.crashes++
    const clone = run.disk.crashClone(fate)
    const tree = await ToyTree.open(toyOptions(clone, { epoch: 2 }))
    expect(tree.appliedSeq).toBeGreaterThanOrEqual(run.durableSeq)
    expect(tree.read()).toEqual(run.states.get(tree.appliedSeq))
    expect(await tree.pager.verify('standard', silent)).toEqual([])
    tree.set(3, 77, 5000)
    await tree.persist()
    expect(await tree.pager.verify('standard', silent)).toEqual([])
    await tree.pager.close()
  }
}

/** Opens until it works: an opening rewrites the newest meta page, and that may fail. */
async function openThrough(vfs: FaultVfs, disk: MemVfs): Promise<ToyTree> {
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      return await ToyTree.open(toyOptions(vfs, { slabBytes: 1 << 16, cacheBytes: 1 << 16 }))
    } catch (error) {
      if (!(error instanceof KintsugiError)) throw error
      const clone = await ToyTree.open(toyOptions(disk.crashClone('nothing'), { epoch: 2 }))
      expect(await clone.pager.verify('standard', silent)).toEqual([])
      await clone.pager.close()
      vfs.freeDisk()
    }
  }
  return expect.unreachable('an opening failed three times')
}

async function runWith(
  operation: FaultOperation | 'mutation',
  nth: number,
  times: number,
  fault: Fault
): Promise<Run & { struck: boolean; struckOpening: boolean }> {
  const { disk, random } = await start(nth)
  const vfs = new FaultVfs(disk, [{ operation, nth, times, fault }])
  const tree = await openThrough(vfs, disk)
  const struckOpening = vfs.faults.fired.length > 0
  const states = new Map([[tree.appliedSeq, tree.read()]])
  const run = { disk, vfs, tree, states, durableSeq: tree.appliedSeq, poisoned: false, crashes: 0 }
  for (let round = 0; round < 5 && !run.poisoned; round++) {
    const view = tree.pager.retainView(tree.state)
    const seen = tree.read()
    for (let i = 0; i < 6; i++) {
      const extentBytes = random.below(3) === 0 ? 4000 + random.below(9000) : 0
      tree.set(random.below(tree.capacity), 1 + random.below(1 << 30), extentBytes)
    }
    await persist(run, random)
    expect(tree.read(view.state)).toEqual(seen)
    tree.pager.releaseView(view)
  }
  // Twice, so that nothing is pending that could hide a leak.
  for (let i = 0; i < 2 && !run.poisoned; i++) await persist(run, random, true)
  if (!run.poisoned) {
    expect(await tree.pager.verify('standard', silent)).toEqual([])
  }
  await checkAfterPowerCut(run, random)
  await tree.pager.close()
  return { ...run, struck: vfs.faults.fired.length > 0, struckOpening }
}

const faults: [string, FaultOperation | 'mutation', number, Fault][] = [
  ['a failed sync', 'datasync', 1, { kind: 'error', errno: 'EIO' }],
  ['a full disk in a sync', 'datasync', 1, { kind: 'error', errno: 'ENOSPC' }],
  ['a failed write', 'write', 1, { kind: 'error', errno: 'EIO' }],
  [
    'a write that failed though it happened',
    'write',
    1,
    { kind: 'error', errno: 'EIO', afterEffect: true }
  ],
  ['a write cut short', 'write', 1, { kind: 'short-write', lengthBytes: 700, errno: 'ENOSPC' }],
  ['two failed writes', 'write', 2, { kind: 'error', errno: 'EIO' }],
  ['a failed reservation', 'allocate', 2, { kind: 'error', errno: 'ENOSPC' }],
  ['a failed truncation', 'truncate', 1, { kind: 'error', errno: 'EIO' }],
  ['a full disk', 'mutation', 1, { kind: 'disk-full' }]
]

describe('a pager on a failing disk', () => {
  for (const [name, operation, times, fault] of faults) {
    it(`keeps every durable state through ${name} at any operation`, async () => {
      let struck = 0
      for (let nth = 1; ; nth++) {
        const run = await runWith(operation, nth, times, fault)
        if (!run.struck) break
        struck++
        // An opening that fails gives its file back; the next one has a file of its own.
        const isPoisoned = operation === 'datasync' && !run.struckOpening
        expect(run.poisoned, `poisoned at ${nth}`).toBe(isPoisoned)
      }
      expect(struck).toBeGreaterThan(operation === 'truncate' || operation === 'allocate' ? 0 : 5)
    })
  }
})
