import assert from 'node:assert/strict'
import { SeededRandom } from '../../dist/base/random.js'
import { open, type Durability } from '../../dist/index.js'
import type { MemVfs } from '../../dist/vfs/mem-vfs.js'
import type { CheckContext, ExplorerOptions, HistoryContext } from '../helpers/crash-explorer.js'
import { tinyOptions, type BackendName } from '../helpers/backends.js'
import { TestClock, turn } from '../helpers/test-clock.js'
import {
  bytesOf,
  difference,
  rangeBytes,
  Reference,
  sortedEntries,
  type KeyText,
  type ReferenceOperation,
  type TextRange
} from '../model/reference.js'

/** What was promised: the commit with this sequence number, and against what. */
export interface Fact {
  readonly seq: number
  readonly durability: Durability
}

type ScriptStore = Awaited<ReturnType<typeof open>>

export interface ScriptOptions {
  readonly backend: BackendName
  readonly seed: number
  readonly script: (script: Script) => Promise<void>
  /** Every n-th state is also written to, closed, opened; and cut again after serving. Default 8. */
  readonly continueEveryNth?: number
}

/** States that were checked beyond those the explorer counts. */
export interface ScriptCounts {
  servedThenCut: number
  continued: number
}

const storePath = '/data/store'

function openAt(
  vfs: MemVfs,
  backend: BackendName,
  clock: TestClock,
  seed: number
): Promise<ScriptStore> {
  return open(storePath, { ...tinyOptions, backend, vfs, clock, random: new SeededRandom(seed) })
}

/** A read view that is kept while the store changes, and what it has to go on showing. */
interface HeldView {
  readonly snapshot: ReturnType<ScriptStore['snapshot']>
  readonly iterator: Iterator<[Buffer, Buffer]>
  readonly expected: [KeyText, Buffer][]
}

/** A history for the crash explorer: a store in use, with a reference that says what it holds. */
export class Script {
  readonly reference = new Reference()
  store!: ScriptStore
  clock = new TestClock()
  readonly #context: HistoryContext<Fact>
  readonly #options: ScriptOptions
  #valueNumber = 0
  #pending: Promise<void>[] = []
  #held: HeldView[] = []

  constructor(context: HistoryContext<Fact>, options: ScriptOptions, reference: Reference) {
    this.#context = context
    this.#options = options
    this.reference = reference
  }

  async open(): Promise<void> {
    const { backend, seed } = this.#options
    this.clock = new TestClock(this.clock.now() + 1000)
    this.store = await openAt(this.#context.vfs, backend, this.clock, seed)
    this.#acknowledge(this.reference.lastSeq, 'sync')
  }

  step(label: string): Promise<void> {
    return this.#context.step(label)
  }

  value(valueBytes: number): Buffer {
    return Buffer.alloc(valueBytes, `v${++this.#valueNumber};`)
  }

  put(key: string, valueBytes: number, durability: Durability = 'sync'): Promise<void> {
    return this.batch([{ type: 'put', key, value: this.value(valueBytes) }], durability)
  }

  del(key: string, durability: Durability = 'sync'): Promise<void> {
    return this.batch([{ type: 'del', key }], durability)
  }

  clear(range: TextRange, durability: Durability = 'sync'): Promise<void> {
    return this.batch([{ type: 'clear', ...range }], durability)
  }

  async batch(
    operations: readonly ReferenceOperation[],
    durability: Durability = 'sync'
  ): Promise<void> {
    const seq = this.#attempt(operations, durability)
    await this.store.batch(operations.map(toOperation), { durability })
    this.#acknowledge(seq, durability)
  }

  /** Starts a commit and goes on; `settled` waits for all of them. */
  start(operations: readonly ReferenceOperation[], durability: Durability = 'sync'): void {
    this.#pending.push(this.batch(operations, durability))
  }

  async settled(): Promise<void> {
    await Promise.all(this.#pending.splice(0))
  }

  batchSync(operations: readonly ReferenceOperation[], durability: Durability = 'sync'): void {
    const seq = this.#attempt(operations, durability)
    this.store.batchSync(operations.map(toOperation), { durability })
    this.#acknowledge(seq, durability)
  }

  async persist(): Promise<void> {
    const seq = this.reference.lastSeq
    await this.store.persist()
    this.#acknowledge(seq, 'sync')
  }

  async compact(range: TextRange = {}): Promise<void> {
    const seq = this.reference.lastSeq
    await this.store.compact(rangeBytes(range))
    this.#acknowledge(seq, 'sync')
  }

  /** Keeps a view of what is there now, and an iterator that has begun, until `release`. */
  hold(): void {
    const snapshot = this.store.snapshot()
    const expected = sortedEntries(this.reference.at(snapshot.seq))
    const iterator = snapshot.entries()[Symbol.iterator]()
    iterator.next()
    this.#held.push({ snapshot, iterator, expected })
  }

  /** Looks whether the oldest of the views that are held still shows what it did, and ends it. */
  release(): void {
    const held = this.#held.shift()
    assert.ok(held, 'no view is held')
    const { snapshot, iterator, expected } = held
    const rest = { [Symbol.iterator]: () => iterator }
    assert.equal(difference(expected.slice(1), rest), undefined)
    assert.equal(difference(expected, snapshot.entries()), undefined)
    assert.equal(difference(expected.toReversed(), snapshot.entries({ reverse: true })), undefined)
    for (const [key, value] of expected.slice(0, 10)) {
      assert.deepEqual(snapshot.getSync(bytesOf(key)), value)
    }
    snapshot.close()
  }

  async flush(): Promise<void> {
    const seq = this.reference.lastSeq
    await this.store.flush()
    this.#acknowledge(seq, 'sync')
  }

  async close(): Promise<void> {
    await this.settled()
    while (this.#held.length > 0) this.release()
    const seq = this.reference.lastSeq
    await this.store.close()
    this.#acknowledge(seq, 'sync')
  }

  async reopen(): Promise<void> {
    await this.close()
    await this.open()
  }

  /** Lets time pass, for idle watermarks, flushes and persists by time. */
  async pass(ms: number): Promise<void> {
    await this.clock.run(ms, Math.max(1, Math.ceil(ms / 20)))
    await turn()
  }

  #attempt(operations: readonly ReferenceOperation[], durability: Durability): number {
    const seq = this.reference.commit(operations)
    this.#context.attempt({ seq, durability })
    return seq
  }

  #acknowledge(seq: number, durability: Durability): void {
    this.#context.acknowledge({ seq, durability })
  }
}

function toOperation(operation: ReferenceOperation) {
  if (operation.type === 'clear') {
    const { type, ...range } = operation
    return { type, ...rangeBytes(range) }
  }
  const key = bytesOf(operation.key)
  return operation.type === 'del'
    ? { type: 'del' as const, key }
    : { type: 'put' as const, key, value: operation.value }
}

/** History and check for the explorer; `counts` grows while it runs. */
export function scripted(options: ScriptOptions): {
  readonly explorer: Pick<ExplorerOptions<Fact>, 'seed' | 'history' | 'check'>
  readonly counts: ScriptCounts
} {
  const counts: ScriptCounts = { servedThenCut: 0, continued: 0 }
  const reference = new Reference()
  let checked = 0
  const { backend, continueEveryNth = 8 } = options

  const openClone = (vfs: MemVfs): Promise<ScriptStore> =>
    openAt(vfs, backend, new TestClock(1_800_000_000_000), 99)

  const check = async (clone: MemVfs, context: CheckContext<Fact>): Promise<void> => {
    const store = await openClone(clone)
    context.recovered()
    const { seq } = store
    checkSeq(seq, context)
    await checkContents(store, reference, seq)
    checked++
    const goesOn = checked % continueEveryNth === 0
    if (goesOn) {
      // What was served is durable, whatever the medium kept of it before (rule F4).
      const cut = await openClone(clone.crashClone('nothing'))
      assert.equal(cut.seq, seq, 'what a recovery has served is gone after the next power cut')
      await checkContents(cut, reference, seq)
      await cut.close()
      counts.servedThenCut++
    }
    if (goesOn) await store.put('after', 'the crash')
    await store.close()
    if (!goesOn) return
    const again = await openClone(clone)
    assert.equal(again.seq, seq + 1)
    assert.equal(again.getSync('after')?.toString(), 'the crash')
    assert.deepEqual(await again.verify('comprehensive'), [])
    await again.close()
    counts.continued++
  }

  const history = async (context: HistoryContext<Fact>): Promise<void> => {
    const script = new Script(context, options, reference)
    await script.open()
    await options.script(script)
    await script.settled()
    await script.close()
  }
  return { explorer: { seed: options.seed, history, check }, counts }
}

/** Nothing acknowledged is lost, nothing is there that was never written. */
function checkSeq(seq: number, { acknowledged, attempted, address }: CheckContext<Fact>): void {
  const onlyKilled = address.split('/').every((part) => part.endsWith(':k'))
  let lowest = 0
  for (const fact of acknowledged) {
    if (fact.durability === 'sync' || (onlyKilled && fact.durability === 'os')) {
      lowest = Math.max(lowest, fact.seq)
    }
  }
  const highest = attempted.reduce((most, fact) => Math.max(most, fact.seq), 0)
  assert.ok(seq >= lowest, `commits ${seq + 1} to ${lowest} were acknowledged and are lost`)
  assert.ok(seq <= highest, `commits ${highest + 1} to ${seq} were never made`)
}

async function checkContents(store: ScriptStore, reference: Reference, seq: number): Promise<void> {
  const entries = reference.at(seq)
  assert.equal(difference(sortedEntries(entries), store.entries()), undefined)
  const [first] = entries
  if (first) assert.deepEqual(store.getSync(bytesOf(first[0])), first[1])
  assert.deepEqual(await store.verify('comprehensive'), [])
}
