import assert from 'node:assert/strict'
import { setTimeout } from 'node:timers/promises'
import { SeededRandom } from '../../dist/base/random.js'
import {
  KintsugiError,
  open,
  type Durability,
  type Operation,
  type Transaction
} from '../../dist/index.js'
import { MicrotaskScheduler, SeededScheduler } from '../../dist/vfs/mem-scheduler.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { tinyOptions, type BackendName } from '../helpers/backends.js'
import { TestClock, turn } from '../helpers/test-clock.js'
import { abilitiesOf, diskFiles, memoryFiles, type Abilities, type ModelFiles } from './files.js'
import {
  bytesOf,
  difference,
  rangeBytes,
  Reference,
  sortedEntries,
  type Entries,
  type KeyText,
  type ReferenceOperation
} from './reference.js'
import { fillKey, type CommitStep, type CrashStep, type Step, type WriteStep } from './steps.js'

/** What a run went through, for the count of states that a proof rests on. */
export interface RunFigures {
  steps: number
  commits: number
  conflicts: number
  crashes: number
  interruptedRecoveries: number
  reopenings: number
  comparisons: number
  lostCommits: number
  droppedBytes: number
  persists: number
}

export interface RunOptions {
  readonly backend: BackendName
  readonly seed: number
}

/** Of the event loop, for whatever has to settle. */
const maxTurns = 1_000_000

type ModelStore = Awaited<ReturnType<typeof open>>

type Pair = [Buffer, Buffer]

interface LiveIterator {
  readonly iterator: ReturnType<ModelStore['entries']>
  readonly expected: readonly [KeyText, Buffer][]
  position: number
}

const path = '/data/store'

/** Runs one history against a store and the reference; rejects at the first difference. */
export async function runHistory(steps: readonly Step[], options: RunOptions): Promise<RunFigures> {
  const runner = new HistoryRunner(options, await abilitiesOf(options.backend))
  let at = -1
  try {
    await runner.open()
    for (const step of steps) {
      at++
      await runner.run(step)
    }
    at++
    await runner.finish()
  } catch (error) {
    const step = JSON.stringify(steps[at] ?? 'the end', shorten)
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
    const kept = runner.root === undefined ? '' : `\nfiles kept in ${runner.root}`
    throw new Error(`at step ${at} of ${steps.length}, ${step}:\n${message}${kept}`, {
      cause: error
    })
  }
  return runner.figures
}

const shorten = (_: string, value: unknown): unknown =>
  typeof value === 'string' && value.length > 60
    ? `${value.slice(0, 40)}… (${value.length})`
    : value

class HistoryRunner {
  readonly figures: RunFigures = {
    steps: 0,
    commits: 0,
    conflicts: 0,
    crashes: 0,
    interruptedRecoveries: 0,
    reopenings: 0,
    comparisons: 0,
    lostCommits: 0,
    droppedBytes: 0,
    persists: 0
  }
  readonly #options: RunOptions
  readonly #random: SeededRandom
  readonly #reference = new Reference()
  readonly #abilities: Abilities
  #files: ModelFiles
  #clock = new TestClock()
  #store!: ModelStore
  /** Commits up to here survive power loss, and up to there the death of the process. */
  #syncedSeq = 0
  #writtenSeq = 0
  #pending: Promise<void>[] = []
  #failure: unknown
  #snapshots: { snapshot: ReturnType<ModelStore['snapshot']>; entries: Entries }[] = []
  #iterators: LiveIterator[] = []
  #valueNumber = 0

  /** Stores that a crash left behind, being closed beside all else. */
  #abandoned: Promise<void>[] = []

  constructor(options: RunOptions, abilities: Abilities) {
    this.#options = options
    this.#abilities = abilities
    this.#random = new SeededRandom(options.seed)
    const scheduler = this.#scheduler()
    this.#files = abilities.worksInMemory ? memoryFiles(new MemVfs({ scheduler })) : diskFiles()
  }

  /** Where the files are, when they are real. */
  get root(): string | undefined {
    return this.#files.root
  }

  async open(): Promise<void> {
    this.#store = await this.#openStore()
  }

  async run(step: Step): Promise<void> {
    this.figures.steps++
    switch (step.kind) {
      case 'commit':
        return this.#commit(step)
      case 'fill':
        return this.#fill(step.first, step.count, step.size)
      case 'transaction':
        return this.#transaction(step)
      case 'get':
        return this.#get(step.keys)
      case 'iterate':
        return this.#iterate(step)
      case 'openIterator':
        return this.#openIterator(step.range, step.reverse)
      case 'advance':
        return this.#advance(step.which, step.count)
      case 'snapshot':
        return this.#takeSnapshot()
      case 'readSnapshot':
        return this.#readSnapshot(step.which)
      case 'closeSnapshot':
        return this.#closeSnapshot(step.which)
      case 'persist':
      case 'compact':
        return this.#persist(step.kind, step.form)
      case 'flush':
        return this.#flush()
      case 'verify':
        return this.#verify()
      case 'settle':
        return this.#settle()
      case 'tick':
        this.#clock.advance(step.ms)
        return turn()
      case 'reopen':
        return this.#reopen()
      case 'crash':
        return this.#crash(step)
    }
  }

  async finish(): Promise<void> {
    await this.#settle()
    await this.#compareAll()
    await this.#reopen()
    await this.#leave(this.#files)
    await Promise.all(this.#abandoned)
  }

  /** Closes the store that a crash came over; its files are no longer looked at. */
  async #leave(files: ModelFiles): Promise<void> {
    const closing = this.#store.close().catch(() => undefined)
    if (files.root === undefined) return
    await this.#inTime(closing, 'close of an abandoned store did not settle', this.#clock)
    files.remove()
  }

  #scheduler() {
    return this.#random.chance(1, 2)
      ? new MicrotaskScheduler(this.#random.pick(['submission', 'completion']))
      : new SeededScheduler(new SeededRandom(this.#random.below(2 ** 31)))
  }

  async #openStore(): Promise<ModelStore> {
    this.#clock = new TestClock(this.#clock.now() + 1000)
    return open(path, {
      ...tinyOptions,
      backend: this.#options.backend,
      vfs: this.#files.vfs,
      clock: this.#clock,
      random: new SeededRandom(this.#random.below(2 ** 31))
    })
  }

  // --- writes

  /** Gives every value its own bytes, so that a wrong one can never pass for a right one. */
  #operations(writes: readonly WriteStep[]): ReferenceOperation[] {
    return writes.map((write) => {
      if (write.type !== 'put') return write
      const value = Buffer.alloc(write.valueBytes, `v${++this.#valueNumber};`)
      return { type: 'put', key: write.key, value }
    })
  }

  async #commit({ writes, durability, form }: CommitStep): Promise<void> {
    const operations = this.#operations(writes)
    if (form === 'sync') return this.#commitSync(operations, durability)
    const committed = this.#start(operations, durability)
    if (form === 'await') await this.#inTime(committed, 'a commit did not settle')
    if (this.#failure !== undefined) throw this.#failure
  }

  #start(operations: readonly ReferenceOperation[], durability: Durability): Promise<void> {
    const seq = this.#reference.commit(operations)
    this.figures.commits++
    const store = this.#store
    const files = this.#files
    const committed = this.#write(operations, durability).then(
      () => {
        if (files === this.#files) this.#acknowledged(seq, durability)
      },
      (error: unknown) => {
        if (files === this.#files && store === this.#store) this.#failure ??= error
      }
    )
    this.#pending.push(committed)
    return committed
  }

  #write(operations: readonly ReferenceOperation[], durability: Durability): Promise<void> {
    const [first] = operations
    if (operations.length === 1 && first !== undefined && this.#random.chance(3, 4)) {
      if (first.type === 'put') {
        return this.#store.put(bytesOf(first.key), first.value, { durability })
      }
      if (first.type === 'del') return this.#store.del(bytesOf(first.key), { durability })
      const { type: _, ...range } = first
      return this.#store.clear({ ...rangeBytes(range), durability })
    }
    return this.#store.batch(operations.map(toOperation), { durability })
  }

  #commitSync(operations: readonly ReferenceOperation[], durability: Durability): void {
    const seq = this.#reference.commit(operations)
    this.figures.commits++
    this.#store.batchSync(operations.map(toOperation), { durability })
    this.#acknowledged(seq, durability)
  }

  #acknowledged(seq: number, durability: Durability): void {
    if (durability === 'sync') this.#syncedSeq = Math.max(this.#syncedSeq, seq)
    if (durability !== 'memory') this.#writtenSeq = Math.max(this.#writtenSeq, seq)
  }

  async #fill(first: number, count: number, size: number): Promise<void> {
    const writes: WriteStep[] = []
    for (let i = 0; i < count; i++) {
      writes.push({ type: 'put', key: fillKey(first + i), valueBytes: size })
    }
    await this.#inTime(this.#start(this.#operations(writes), 'sync'), 'a commit did not settle')
    if (this.#failure !== undefined) throw this.#failure
  }

  async #transaction(step: Extract<Step, { kind: 'transaction' }>): Promise<void> {
    await this.#settle()
    const operations = this.#operations(step.writes)
    const [watched] = step.reads
    let attempts = 0
    const transaction = this.#store.transaction(async (tx: Transaction) => {
      attempts++
      const { latest } = this.#reference
      for (const key of step.reads) {
        assert.deepEqual(await tx.get(bytesOf(key)), latest.get(key))
      }
      const found = await this.#all(tx.entries(rangeBytes(step.range)))
      assert.equal(difference(sortedEntries(latest, step.range), found), undefined)
      if (step.conflict && watched !== undefined && attempts === 1) {
        const interfering = this.#operations([{ type: 'put', key: watched, valueBytes: 12 }])
        await this.#start(interfering, 'sync')
      }
      // Own writes show, and only inside.
      const own = new Map(latest)
      for (const operation of operations) {
        if (operation.type === 'put') {
          tx.put(bytesOf(operation.key), operation.value)
          own.set(operation.key, operation.value)
          assert.deepEqual(tx.getSync(bytesOf(operation.key)), operation.value)
        } else if (operation.type === 'del') {
          tx.del(bytesOf(operation.key))
          assert.equal(tx.getSync(bytesOf(operation.key)), undefined)
        } else {
          const { type: _, ...range } = operation
          tx.clear(rangeBytes(range))
        }
      }
    })
    await this.#inTime(transaction, 'a transaction did not settle')
    const mustConflict = step.conflict && watched !== undefined && operations.length > 0
    assert.equal(attempts, mustConflict ? 2 : 1)
    this.figures.conflicts += attempts - 1
    if (operations.length > 0) {
      this.#acknowledged(this.#reference.commit(operations), 'sync')
      this.figures.commits++
    }
    await this.#settle()
    await this.#compareAll()
  }

  async #settle(): Promise<void> {
    const pending = this.#pending
    this.#pending = []
    await this.#inTime(Promise.all(pending), 'commits under way did not settle')
    if (this.#failure !== undefined) throw this.#failure
    assert.equal(this.#store.seq, this.#reference.lastSeq, 'sequence number of the store')
  }

  /** Waits, with time going on for whatever needs a timer. */
  async #inTime<T>(work: Promise<T>, message: string, clock?: TestClock): Promise<T> {
    let settled = false
    const done = () => void (settled = true)
    work.then(done, done)
    // Counted in turns: a process or machine that is stopped for a while is not hanging.
    for (let turns = 1; !settled; turns++) {
      await turn()
      if (turns % 200 === 0) (clock ?? this.#clock).advance(10)
      // Real files take real time.
      if (turns % 1000 === 0 && this.root !== undefined) await setTimeout(1)
      if (turns > maxTurns) throw new Error(message)
    }
    return work
  }

  // --- reads

  async #get(keys: readonly KeyText[]): Promise<void> {
    const view = this.#reference.at(this.#store.seq)
    const wanted = keys.map((key) => view.get(key))
    assert.deepEqual(this.#store.getManySync(keys.map(bytesOf)), wanted)
    for (const key of keys) {
      assert.deepEqual(this.#store.getSync(bytesOf(key)), view.get(key))
    }
    await this.#settle()
    const { latest } = this.#reference
    const settled = keys.map((key) => latest.get(key))
    assert.deepEqual(await this.#store.getMany(keys.map(bytesOf)), settled)
    for (const key of keys) {
      assert.deepEqual(await this.#store.get(bytesOf(key)), latest.get(key))
      assert.equal(await this.#store.has(bytesOf(key)), latest.has(key))
    }
    this.figures.comparisons++
  }

  async #iterate(step: Extract<Step, { kind: 'iterate' }>): Promise<void> {
    const { range, reverse, limit, asynchronous } = step
    const all = sortedEntries(this.#reference.at(this.#store.seq), range, reverse)
    const expected = limit < 0 ? all : all.slice(0, limit)
    const iterator = this.#store.entries({ ...rangeBytes(range), reverse, limit })
    const found = await this.#all(iterator, asynchronous)
    assert.equal(difference(expected, found), undefined)
    this.figures.comparisons++
  }

  #openIterator(range: Parameters<typeof rangeBytes>[0], reverse: boolean): void {
    if (this.#iterators.length >= 8) return
    const expected = sortedEntries(this.#reference.at(this.#store.seq), range, reverse)
    const iterator = this.#store.entries({ ...rangeBytes(range), reverse })
    this.#iterators.push({ iterator, expected, position: 0 })
  }

  /** By a loop that waits for the disk where the backend can, and where nothing else is asked. */
  async #all(iterator: LiveIterator['iterator'], asynchronous = false): Promise<Pair[]> {
    if (!asynchronous && this.#abilities.waitsForRanges) return [...iterator]
    const found: Pair[] = []
    for await (const entry of iterator) found.push(entry)
    return found
  }

  async #next({ iterator }: LiveIterator): Promise<Pair | undefined> {
    if (this.#abilities.waitsForRanges) return iterator.next().value
    const [entry] = await iterator.nextv(1)
    return entry
  }

  async #advance(which: number, count: number): Promise<void> {
    const live = this.#iterators[which % Math.max(this.#iterators.length, 1)]
    if (live === undefined) return
    const found: Pair[] = []
    for (let i = 0; i < count; i++) {
      const entry = await this.#next(live)
      if (entry === undefined) {
        assert.equal(live.position + found.length, live.expected.length, 'the iterator ended early')
        this.#iterators.splice(this.#iterators.indexOf(live), 1)
        break
      }
      found.push(entry)
    }
    const expected = live.expected.slice(live.position, live.position + found.length)
    assert.equal(difference(expected, found), undefined)
    live.position += found.length
    this.figures.comparisons++
  }

  #takeSnapshot(): void {
    if (this.#snapshots.length >= 8) return
    const snapshot = this.#store.snapshot()
    this.#snapshots.push({ snapshot, entries: new Map(this.#reference.at(snapshot.seq)) })
  }

  async #readSnapshot(which: number): Promise<void> {
    const live = this.#snapshots[which % Math.max(this.#snapshots.length, 1)]
    if (live === undefined) return
    const { snapshot, entries } = live
    assert.equal(difference(sortedEntries(entries), await this.#all(snapshot.entries())), undefined)
    const backward = sortedEntries(entries, {}, true)
    assert.equal(
      difference(backward, await this.#all(snapshot.entries({ reverse: true }))),
      undefined
    )
    for (const [key, value] of backward.slice(0, 5)) {
      assert.deepEqual(await snapshot.get(bytesOf(key)), value)
    }
    this.figures.comparisons += 2
  }

  #closeSnapshot(which: number): void {
    const live = this.#snapshots[which % Math.max(this.#snapshots.length, 1)]
    if (live === undefined) return
    live.snapshot.close()
    this.#snapshots.splice(this.#snapshots.indexOf(live), 1)
  }

  async #compareAll(): Promise<void> {
    const { latest } = this.#reference
    assert.equal(
      difference(sortedEntries(latest), await this.#all(this.#store.entries())),
      undefined
    )
    const backward = sortedEntries(latest, {}, true)
    assert.equal(
      difference(backward, await this.#all(this.#store.entries({ reverse: true }))),
      undefined
    )
    for (const [key, value] of backward.slice(0, 50)) {
      assert.deepEqual(this.#store.getSync(bytesOf(key)), value)
    }
    this.figures.comparisons += 2
  }

  // --- durability and life

  async #persist(kind: 'persist' | 'compact', form: 'await' | 'leave'): Promise<void> {
    const seq = this.#reference.lastSeq
    const files = this.#files
    const store = this.#store
    this.figures.persists++
    const work = store[kind]().then(
      () => {
        if (files === this.#files) this.#acknowledged(seq, 'sync')
      },
      (error: unknown) => {
        if (kind === 'compact' && !store.isOpen && isEndOfCompaction(error)) return
        if (files === this.#files) this.#failure ??= error
      }
    )
    this.#pending.push(work)
    if (form === 'await') await this.#settle()
  }

  async #flush(): Promise<void> {
    const seq = this.#reference.lastSeq
    await this.#inTime(this.#store.flush(), 'flush did not settle')
    this.#acknowledged(seq, 'sync')
  }

  async #verify(): Promise<void> {
    const findings = await this.#store.verify('comprehensive')
    assert.deepEqual(findings, [])
  }

  async #reopen(): Promise<void> {
    const { length } = this.#snapshots
    const [snapshot] = this.#snapshots
    await this.#inTime(this.#store.close(), 'close did not settle')
    if (length > 0) assert.throws(() => snapshot!.snapshot.getSync('k'), KintsugiError)
    await this.#settle()
    this.#reference.settleAt(this.#reference.lastSeq)
    this.#forget()
    this.figures.reopenings++
    this.#store = await this.#openStore()
    const { recovery } = this.#store
    assert.equal(recovery.clean, true, 'recovery.clean after a clean close')
    assert.equal(recovery.replayedCommits, 0, 'commits replayed after a clean close')
    await this.#checkRecovered(this.#reference.lastSeq)
  }

  async #crash(step: CrashStep): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    const point = await this.#crashPoint(step)
    let { survivesSeq } = point
    const lastSeq = this.#reference.lastSeq
    // What happens to the old store from here on is of no interest, and nobody looks at it.
    if (!this.#files.losesPower) this.#abandoned.push(this.#leave(this.#files))
    this.#files = point.clone
    this.#forget()
    this.#pending = []
    this.figures.crashes++
    for (const operations of step.recoveries) {
      // What a recovery has served must not be taken back, whatever happens next.
      survivesSeq = Math.max(survivesSeq, await this.#interruptedOpen(operations, step.fate))
    }
    this.#store = await this.#openStore()
    const { seq } = this.#store
    assert.ok(seq >= survivesSeq, `commits ${seq + 1} to ${survivesSeq} are lost after a crash`)
    assert.ok(seq <= lastSeq, `commits ${lastSeq + 1} to ${seq} were never made`)
    this.figures.lostCommits += lastSeq - seq
    this.figures.droppedBytes += this.#store.recovery.droppedBytes
    this.#reference.settleAt(seq)
    await this.#checkRecovered(seq)
  }

  /** Lets a burst of commits run into a crash; tells what has to be there afterwards. */
  async #crashPoint(step: CrashStep): Promise<{ clone: ModelFiles; survivesSeq: number }> {
    const files = this.#files
    let found: { clone: ModelFiles; survivesSeq: number } | undefined
    let left = step.afterOperations
    const cut = () => {
      if (found) return
      const killed = step.fate === 'k' || !files.losesPower
      const survivesSeq = killed ? this.#writtenSeq : this.#syncedSeq
      found = { clone: this.#cloneOf(files, step.fate), survivesSeq }
    }
    const stop = files.onBeforeOperation(() => {
      if (left-- <= 0) cut()
    })
    const pending: Promise<unknown>[] = []
    if (step.persisting) pending.push(this.#persist('persist', 'leave'))
    for (const { writes, durability, form } of step.burst) {
      if (found) break
      const operations = this.#operations(writes)
      // Values of a commit that fails for the crash clone's sake are of no interest.
      if (form === 'sync') this.#commitSync(operations, durability)
      else pending.push(this.#start(operations, durability))
      if (form === 'await') await turn()
    }
    for (let turns = 0; !found && turns < 50; turns++) await turn()
    stop()
    cut()
    return found!
  }

  #cloneOf(files: ModelFiles, fate: CrashStep['fate']): ModelFiles {
    const scheduler = () => this.#scheduler()
    if (fate === 'n') return files.crashed('nothing', scheduler)
    if (fate === 'e') return files.crashed('everything', scheduler)
    return files.crashed(fate === 'k' ? 'k' : new SeededRandom(fate), scheduler)
  }

  /** Opens the store until that many operations were carried out; returns what it has served. */
  async #interruptedOpen(operations: number, fate: CrashStep['fate']): Promise<number> {
    const files = this.#files
    let left = operations
    let clone: ModelFiles | undefined
    const cut = () => {
      clone ??= this.#cloneOf(files, fate === 'k' ? 'k' : this.#random.below(2 ** 31))
    }
    const stop = files.onBeforeOperation(() => {
      if (left-- <= 0) cut()
    })
    this.#store = await this.#openStore()
    stop()
    const servedSeq = clone === undefined ? this.#store.seq : 0
    cut()
    this.#abandoned.push(this.#leave(files))
    this.#files = clone!
    this.figures.interruptedRecoveries++
    return servedSeq
  }

  async #checkRecovered(seq: number): Promise<void> {
    const { recovery } = this.#store
    assert.equal(this.#store.seq, seq)
    assert.equal(recovery.seq, seq)
    assert.equal(recovery.created, false)
    assert.ok(recovery.droppedBytes >= 0 && recovery.replayedCommits <= seq)
    this.#syncedSeq = seq
    this.#writtenSeq = seq
    await this.#compareAll()
    await this.#verify()
  }

  #forget(): void {
    this.#snapshots = []
    this.#iterators = []
  }
}

function toOperation(operation: ReferenceOperation): Operation {
  if (operation.type === 'clear') {
    const { type, ...range } = operation
    return { type, ...rangeBytes(range) }
  }
  const key = bytesOf(operation.key)
  if (operation.type === 'del') return { type: 'del', key }
  return { type: 'put', key, value: operation.value }
}

/** Closing a store ends a compaction that somebody asked for. */
function isEndOfCompaction(error: unknown): boolean {
  const codes = ['KINTSUGI_ABORTED', 'KINTSUGI_NOT_OPEN']
  return error instanceof KintsugiError && codes.includes(error.code)
}
