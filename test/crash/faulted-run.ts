import assert from 'node:assert/strict'
import { SeededRandom } from '../../dist/base/random.js'
import { KintsugiError, open, type Durability } from '../../dist/index.js'
import type { FaultPlan } from '../../dist/vfs/fault-plan.js'
import { FaultVfs } from '../../dist/vfs/fault-vfs.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { tinyOptions, type BackendName } from '../helpers/backends.js'
import { TestClock, turn } from '../helpers/test-clock.js'

/**
 * One store in use on a file system that fails where a plan says so. Each commit puts a key of its
 * own and one key they all share, so that what is there afterwards tells which commits survived, in
 * which order, and whether any was torn apart.
 */

export interface FaultedRun {
  readonly backend: BackendName
  readonly plan: FaultPlan
  readonly seed: number
  /** Commits to try. */
  readonly commits: number
  /** The store exists before the faults begin, left by a close or by a dead process. */
  readonly before: 'nothing' | 'closed' | 'killed'
  /** After this many commits a full disk has space again. */
  readonly freeDiskAfter?: number
}

export interface FaultedFigures {
  readonly acknowledged: number
  readonly refused: number
  readonly unknown: number
  readonly operations: number
  readonly mutations: number
  readonly fired: number
  readonly opened: boolean
  readonly states: number
}

type Outcome = 'acknowledged' | 'refused' | 'unknown'

interface Commit {
  readonly index: number
  readonly durability: Durability
  outcome: Outcome | undefined
}

const path = '/data/store'
const earlier = 5
/** Of the event loop, for one promise; enough for hundreds of repeated attempts. */
const maxTurns = 200_000

type RunStore = Awaited<ReturnType<typeof open>>

export async function runFaulted(run: FaultedRun): Promise<FaultedFigures> {
  const faulted = new Faulted(run)
  try {
    return await faulted.run()
  } catch (error) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
    throw new Error(`${message}\nrun: ${JSON.stringify(run)}\n${faulted.describe()}`, {
      cause: error
    })
  }
}

class Faulted {
  readonly #run: FaultedRun
  readonly #clock = new TestClock()
  readonly #commits: Commit[] = []
  #memory = new MemVfs()
  #faulty!: FaultVfs
  #states = 0
  #wasOpened = false

  constructor(run: FaultedRun) {
    this.#run = run
  }

  describe(): string {
    const outcomes = this.#commits.map(
      ({ index, durability, outcome }) => `${index}:${durability}:${outcome ?? 'pending'}`
    )
    return `${this.#faulty?.faults.describe()}\ncommits ${outcomes.join(' ')}`
  }

  async run(): Promise<FaultedFigures> {
    await this.#prepare()
    this.#faulty = new FaultVfs(this.#memory, this.#run.plan)
    const opening = this.#open(this.#faulty)
    const store = await this.#settle(opening).catch((error: unknown) => {
      assert.ok(error instanceof KintsugiError, `opening failed with ${String(error)}`)
      return undefined
    })
    if (store !== undefined) {
      this.#wasOpened = true
      await this.#use(store)
    }
    await this.#postMortem(false)
    if (store !== undefined) {
      const closed = await this.#settle(store.close()).then(
        () => true,
        (error: unknown) => {
          assert.ok(error instanceof KintsugiError, `closing failed with ${String(error)}`)
          return false
        }
      )
      await this.#postMortem(closed)
    }
    return this.#figures(store !== undefined)
  }

  #figures(opened: boolean): FaultedFigures {
    const count = (outcome: Outcome) =>
      this.#commits.filter((commit) => commit.outcome === outcome && commit.index >= 0).length
    const { operationCount, mutationCount, fired } = this.#faulty.faults
    return {
      acknowledged: count('acknowledged'),
      refused: count('refused'),
      unknown: count('unknown'),
      operations: operationCount,
      mutations: mutationCount,
      fired: fired.length,
      opened,
      states: this.#states
    }
  }

  /** Commits with negative numbers are there before the faults begin. */
  async #prepare(): Promise<void> {
    const { before } = this.#run
    if (before === 'nothing') return
    const store = await this.#open(this.#memory)
    this.#wasOpened = true
    for (let i = -earlier; i < 0; i++) {
      const commit: Commit = { index: i, durability: 'sync', outcome: 'acknowledged' }
      await store.batch(operationsOf(commit))
      this.#commits.push(commit)
      if (i === -3) await store.persist()
    }
    if (before === 'killed') this.#memory = this.#memory.killClone()
    else await store.close()
  }

  #open(vfs: MemVfs | FaultVfs): Promise<RunStore> {
    return open(path, {
      ...tinyOptions,
      backend: this.#run.backend,
      vfs,
      clock: this.#clock,
      random: new SeededRandom(this.#run.seed + this.#states)
    })
  }

  async #use(store: RunStore): Promise<void> {
    const random = new SeededRandom(this.#run.seed)
    let pending: Promise<void>[] = []
    for (let index = 0; index < this.#run.commits; index++) {
      if (index === this.#run.freeDiskAfter) this.#faulty.freeDisk()
      const durability = random.pick<Durability>(['sync', 'sync', 'os', 'memory'])
      const commit: Commit = { index, durability, outcome: undefined }
      this.#commits.push(commit)
      if (random.chance(1, 5)) this.#commitSync(store, commit)
      else pending.push(this.#commit(store, commit))
      if (random.chance(1, 2)) pending = await this.#settleAll(pending)
      if (index % 7 === 6) pending.push(tolerated(store.persist()))
      if (index % 9 === 8) {
        pending = await this.#settleAll(pending)
        await this.#clock.run(30)
        await this.#checkOpen(store)
      }
    }
    await this.#settle(Promise.all(pending))
    await this.#checkOpen(store)
    if (this.#run.freeDiskAfter !== undefined) await this.#expectResumed(store)
  }

  async #settleAll(pending: Promise<void>[]): Promise<Promise<void>[]> {
    await this.#settle(Promise.all(pending))
    return []
  }

  #commit(store: RunStore, commit: Commit): Promise<void> {
    return store.batch(operationsOf(commit), { durability: commit.durability }).then(
      () => void (commit.outcome = 'acknowledged'),
      (error: unknown) => void (commit.outcome = outcomeOf(error))
    )
  }

  #commitSync(store: RunStore, commit: Commit): void {
    try {
      store.batchSync(operationsOf(commit), { durability: commit.durability })
      commit.outcome = 'acknowledged'
    } catch (error) {
      commit.outcome = outcomeOf(error)
    }
  }

  /** Once there is space again, writes succeed without anybody doing anything. */
  async #expectResumed(store: RunStore): Promise<void> {
    // The fault may have struck after the disk was to be freed.
    this.#faulty.freeDisk()
    const commit: Commit = { index: this.#run.commits, durability: 'sync', outcome: undefined }
    this.#commits.push(commit)
    await this.#clock.run(2000, 100)
    await this.#settle(this.#commit(store, commit))
    assert.equal(commit.outcome, 'acknowledged', 'writes do not resume although there is space')
  }

  /** Every promise settles, if need be with the help of timers. */
  async #settle<T>(work: Promise<T>): Promise<T> {
    let settled = false
    const done = () => void (settled = true)
    work.then(done, done)
    for (let turns = 1; !settled; turns++) {
      await turn()
      if (turns % 100 === 0) this.#clock.advance(100)
      if (turns > maxTurns) throw new Error('a promise does not settle')
    }
    return work
  }

  /** What reads of the open store show. */
  async #checkOpen(store: RunStore): Promise<void> {
    let last: string | undefined
    for (const commit of this.#commits) {
      const value = readAgain(store, keyOf(commit.index))
      const { index, outcome } = commit
      if (outcome === 'acknowledged')
        assert.ok(value, `commit ${index} was acknowledged, is not read`)
      if (outcome === 'refused') assert.ok(!value, `commit ${index} was refused and is read`)
      if (value) {
        assert.deepEqual(value, valueOf(index), `value of commit ${index}`)
        last = `${index}`
      }
    }
    const shared = readAgain(store, 'shared')?.toString()
    assert.equal(shared, last, 'the key that every commit writes')
  }

  /** What is there after the process died, and after the power was cut. */
  async #postMortem(closed: boolean): Promise<void> {
    const vfs = this.#memory
    const random = new SeededRandom(this.#run.seed)
    const survives: Record<Durability, number> = { sync: 0, os: 1, memory: 2 }
    const all = closed ? 2 : 0
    for (const [clone, level] of [
      [vfs.killClone(), Math.max(all, 1)],
      [vfs.crashClone('nothing'), all],
      [vfs.crashClone('everything'), all],
      [vfs.crashClone(random), all]
    ] as const) {
      await this.#checkState(clone, (durability) => survives[durability] <= level)
    }
  }

  async #checkState(clone: MemVfs, survives: (durability: Durability) => boolean): Promise<void> {
    this.#states++
    // Without acknowledged commits there may be no store; opening makes a new one.
    const store = await this.#open(clone)
    assert.ok(!this.#wasOpened || !store.recovery.created, 'the store is gone')
    const found = new Set<number>()
    for (const { index, outcome, durability } of this.#commits) {
      const value = store.getSync(keyOf(index))
      if (value) {
        assert.deepEqual(value, valueOf(index), `value of commit ${index} afterwards`)
        found.add(index)
      }
      if (outcome === 'refused') assert.ok(!value, `commit ${index} was refused and came back`)
      if (outcome === 'acknowledged' && survives(durability)) {
        assert.ok(value, `commit ${index} was acknowledged and is lost`)
      }
    }
    const last = Math.max(...found)
    for (const { index, outcome } of this.#commits) {
      if (index > last || outcome !== 'acknowledged') continue
      assert.ok(found.has(index), `commit ${index} is lost, later ones are not`)
    }
    const shared = store.getSync('shared')?.toString()
    assert.equal(shared, found.size > 0 ? `${last}` : undefined, 'the key that every commit writes')
    let entries = 0
    for (const _ of store.entries()) entries++
    assert.equal(entries, found.size + (found.size > 0 ? 1 : 0), 'entries nobody knows')
    assert.deepEqual(await store.verify('comprehensive'), [])
    await store.put('after', 'the fault')
    await store.close()
  }
}

const keyOf = (index: number): string => `commit${index}`

/** Large enough to change segments, and now and then to need pages of their own. */
function valueOf(index: number): Buffer {
  const bytes = index % 11 === 3 ? 9000 : 40 + (((index + earlier) * 257) % 1100)
  return Buffer.alloc(bytes, `value ${index};`)
}

function operationsOf({ index }: Commit) {
  return [
    { type: 'put' as const, key: keyOf(index), value: valueOf(index) },
    { type: 'put' as const, key: 'shared', value: `${index}` }
  ]
}

function outcomeOf(error: unknown): Outcome {
  assert.ok(error instanceof KintsugiError, `a write failed with ${String(error)}`)
  assert.notEqual(error.code, 'KINTSUGI_INTERNAL', error.stack)
  return error.code === 'KINTSUGI_OUTCOME_UNKNOWN' ? 'unknown' : 'refused'
}

function tolerated(work: Promise<void>): Promise<void> {
  return work.catch((error: unknown) => {
    assert.ok(error instanceof KintsugiError, `persisting failed with ${String(error)}`)
    assert.notEqual(error.code, 'KINTSUGI_INTERNAL', error.stack)
  })
}

/** Reads a key; what the disk failed to read once is read again, and then has to be there. */
function readAgain(store: RunStore, key: string): Buffer | undefined {
  try {
    return store.getSync(key)
  } catch (error) {
    assert.ok(error instanceof KintsugiError, `reading failed with ${String(error)}`)
    assert.ok(['KINTSUGI_IO', 'KINTSUGI_DISK_FULL'].includes(error.code), error.stack)
    return store.getSync(key)
  }
}
