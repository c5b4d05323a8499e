import assert from 'node:assert/strict'
import { SeededRandom } from '../../dist/base/random.js'
import { KintsugiError, open, type Bytes, type Operation } from '../../dist/index.js'
import { tinyOptions, type BackendName } from '../helpers/backends.js'
import { DiskVfs } from '../helpers/disk-vfs.js'
import { turn } from '../helpers/test-clock.js'
import { abilitiesOf } from '../model/files.js'
import { Reference, type Entries, type ReferenceOperation } from '../model/reference.js'
import { AwkwardBytes } from './awkward-bytes.js'
import { decoded, ExpectedScan, keyText, shown } from './expected-scan.js'
import { randomRange, scanPlan, wholeStore, type ScanPlan, type ScanStep } from './scan-plan.js'

export interface ReadFigures {
  commits: number
  points: number
  scans: number
  reopenings: number
}

type AnyStore = Awaited<ReturnType<typeof open>>
/** What a store and a snapshot have in common. */
type AnyReads = Pick<AnyStore, (typeof readMethods)[number]>

/** What is read, and between which commits its state lies: some may be under way. */
interface Source {
  readonly reads: AnyReads
  readonly first: number
  last(): number
}

const maxSettleMs = 120_000
const singleReads = ['get', 'getText', 'getSync', 'getTextSync', 'tryGet'] as const
const existences = ['has', 'hasSync'] as const
const manyReads = ['getMany', 'getManyTexts', 'getManySync'] as const
const readMethods = [
  ...singleReads,
  ...existences,
  ...manyReads,
  'entries',
  'keys',
  'values'
] as const
const closedCodes = ['', 'ITERATOR_', 'SNAPSHOT_'].map((what) => `KINTSUGI_${what}NOT_OPEN`)
const encodings = ['utf8', 'buffer'] as const
const leaks = ['openSnapshots', 'openIterators', 'openViews', 'pinnedBytes']

/**
 * All ways to read a store beside the states that its commits lead to, while it is written to,
 * persisted, compacted and opened again. Rejects at the first read that no such state explains.
 */
export async function runReadHistory(backend: BackendName, seed: number): Promise<ReadFigures> {
  const { waitsForRanges } = await abilitiesOf(backend)
  const disk = new DiskVfs()
  const history = new ReadHistory(backend, seed, disk, waitsForRanges)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('does not settle')), maxSettleMs)
  })
  try {
    await Promise.race([history.run(), late])
  } catch (error) {
    const message = `at step ${history.step}, files kept in ${disk.root}`
    throw new Error(message, { cause: error })
  } finally {
    clearTimeout(timer)
  }
  disk.remove()
  return history.figures
}

class ReadHistory {
  readonly figures: ReadFigures = { commits: 0, points: 0, scans: 0, reopenings: 0 }
  step = 0
  readonly #random: SeededRandom
  readonly #bytes: AwkwardBytes
  readonly #reference = new Reference()
  readonly #options
  readonly #waitsForRanges: boolean
  readonly #isBulky: boolean
  #store!: AnyStore
  #acknowledged = 0
  #snapshots: { reads: ReturnType<AnyStore['snapshot']>; first: number; last: () => number }[] = []
  readonly #underWay = new Set<Promise<void>>()
  #failures: unknown[] = []
  /** What is under way may find closed what it reads. */
  #isClosing = false

  constructor(backend: BackendName, seed: number, disk: DiskVfs, waitsForRanges: boolean) {
    const random = new SeededRandom(seed)
    this.#random = random
    this.#bytes = new AwkwardBytes(random)
    this.#waitsForRanges = waitsForRanges
    this.#isBulky = random.chance(1, 3)
    this.#options = {
      ...tinyOptions,
      backend,
      vfs: disk.vfs,
      memtableBytes: random.pick([16_384, 65_536, 1 << 20]),
      durability: random.pick(['os', 'memory'] as const),
      keyEncoding: random.pick(encodings),
      valueEncoding: random.pick(encodings)
    }
  }

  async run(): Promise<void> {
    this.#store = await this.#open()
    const steps = 40 + this.#random.below(80)
    for (; this.step < steps; this.step++) {
      await this.#next()
      if (this.#random.chance(1, 3)) await this.#settle()
    }
    await this.#settle()
    for (const snapshot of this.#snapshots) {
      await this.#scan(snapshot, wholeStore())
      snapshot.reads.close()
    }
    await this.#scan(this.#current(), wholeStore())
    await this.#store.persist()
    for (const encoding of encodings) {
      const both = { keyEncoding: encoding, valueEncoding: encoding }
      await this.#scan(this.#current(), wholeStore({ ...both, reverse: encoding === 'buffer' }))
    }
    const stats = this.#store.stats()
    for (const name of leaks) assert.equal(stats[name] ?? 0, 0, name)
    await this.#store.close()
  }

  async #open(): Promise<AnyStore> {
    return (await open('/store', this.#options)) as unknown as AnyStore
  }

  #next(): Promise<void> | void {
    const dice = this.#random.below(100)
    if (dice < 30) return this.#write()
    if (dice < 36) return this.#start('persist', this.#store.persist())
    if (dice < 38) return this.#start('flush', this.#store.flush())
    if (dice < 40) {
      return this.#start('compact', this.#store.compact(randomRange(this.#random, this.#bytes, 4)))
    }
    if (dice < 43) return this.#reopen()
    if (dice < 48) {
      const last = this.#reference.lastSeq
      const reads = this.#store.snapshot()
      this.#snapshots.push({ reads, first: this.#acknowledged, last: () => last })
      return
    }
    if (dice < 52) return this.#closeSnapshot()
    return this.#read()
  }

  #current(): Source {
    return {
      reads: this.#store,
      first: this.#acknowledged,
      last: () => this.#reference.lastSeq
    }
  }

  // --- writes, and what goes on beside them

  #operations(): Operation[] {
    const random = this.#random
    const operations: Operation[] = []
    const count = random.chance(1, 2) ? 1 : 1 + random.below(this.#isBulky ? 300 : 30)
    for (let i = 0; i < count; i++) {
      const dice = random.below(100)
      if (dice < 75) {
        const isBulk = this.#isBulky && random.chance(3, 4)
        const key = isBulk ? `bulk${random.below(3000)}` : this.#bytes.key()
        operations.push({ type: 'put', key, value: this.#bytes.value() })
      } else if (dice < 96) operations.push({ type: 'del', key: this.#bytes.key() })
      else {
        const range = randomRange(random, this.#bytes, 2)
        if (Object.keys(range).length > 0) operations.push({ type: 'clear', ...range })
      }
    }
    return operations
  }

  async #write(): Promise<void> {
    const operations = this.#operations()
    const isSync = this.#random.chance(1, 4)
    if (isSync) await this.#settle()
    const seq = this.#reference.commit(operations.map(referenceOperation))
    this.figures.commits++
    if (isSync) {
      this.#store.batchSync(operations)
      this.#acknowledged = seq
      return
    }
    const [first] = operations
    const isPut = operations.length === 1 && first?.type === 'put'
    const written = isPut ? this.#store.put(first.key, first.value) : this.#store.batch(operations)
    const acknowledged = written.then(() => {
      this.#acknowledged = Math.max(this.#acknowledged, seq)
    })
    await this.#start('write', acknowledged)
  }

  /** Lets the work go on beside what comes next, or waits for it. */
  async #start(what: string, work: Promise<unknown>): Promise<void> {
    const step = this.step
    const done = work
      .then(
        () => undefined,
        (error: unknown) => {
          const isClosed = error instanceof KintsugiError && closedCodes.includes(error.code)
          if (this.#isClosing && isClosed) return
          this.#failures.push(new Error(`${what} of step ${step}`, { cause: error }))
        }
      )
      .finally(() => this.#underWay.delete(done))
    this.#underWay.add(done)
    if (this.#random.chance(3, 5)) await done
    this.#check()
  }

  async #settle(): Promise<void> {
    await Promise.all(this.#underWay)
    this.#check()
  }

  #check(): void {
    if (this.#failures.length > 0) throw this.#failures[0]
  }

  /** Sometimes while it is being read. */
  async #reopen(): Promise<void> {
    await this.#settle()
    if (this.#random.chance(2, 5)) {
      this.#isClosing = true
      for (let count = 0; count < 6; count++) void this.#read()
      if (this.#random.chance(1, 2)) await turn()
    }
    await this.#store.close()
    await this.#settle()
    this.#isClosing = false
    this.#snapshots = []
    this.#store = await this.#open()
    this.figures.reopenings++
  }

  async #closeSnapshot(): Promise<void> {
    if (this.#snapshots.length === 0) return
    const [snapshot] = this.#snapshots.splice(this.#random.below(this.#snapshots.length), 1)
    this.#isClosing = true
    snapshot!.reads.close()
    await this.#settle()
    this.#isClosing = false
  }

  // --- reads

  #read(): Promise<void> {
    const random = this.#random
    const isOfSnapshot = this.#snapshots.length > 0 && random.chance(1, 3)
    const source = isOfSnapshot ? random.pick(this.#snapshots) : this.#current()
    if (random.chance(1, 2)) {
      const plan = scanPlan(random, this.#bytes)
      return this.#start('a scan', this.#scan(source, plan))
    }
    return this.#start('a read', this.#point(source))
  }

  async #point(source: Source): Promise<void> {
    const random = this.#random
    const { reads } = source
    this.figures.points++
    const kind = random.below(10)
    if (kind < 2) {
      const key = this.#bytes.key()
      const method = random.pick(existences)
      const found = await reads[method](key)
      return this.#expectOne(source, `${method} of ${shown(key)}`, found, (state) =>
        state.has(keyText(key))
      )
    }
    const isMany = kind < 5
    const method = isMany ? random.pick(manyReads) : random.pick(singleReads)
    const keys = isMany ? this.#bytes.keys() : [this.#bytes.key()]
    const read = reads[method] as (keys: Bytes | readonly Bytes[]) => unknown
    const found = await read.call(reads, isMany ? keys : keys[0]!)
    // Not in memory.
    if (method === 'tryGet' && found === null) return
    const encoding = method.includes('Text') ? 'utf8' : this.#options.valueEncoding
    this.#expectOne(source, `${method} of ${shown(keys)}`, isMany ? found : [found], (state) =>
      keys.map((key) => decoded(state.get(keyText(key)), encoding))
    )
  }

  /** One of the states that may be read explains what was found. */
  #expectOne(source: Source, what: string, found: unknown, wanted: (state: Entries) => unknown) {
    let difference: string | undefined
    for (let seq = source.last(); seq >= source.first; seq--) {
      const expected = wanted(this.#reference.at(seq))
      try {
        return assert.deepStrictEqual(found, expected)
      } catch {
        difference ??= `${shown(found)}, not ${shown(expected)}`
      }
    }
    throw new Error(`${what}: ${difference}`)
  }

  async #scan(source: Source, plan: ScanPlan): Promise<void> {
    this.figures.scans++
    const expected: ExpectedScan[] = []
    for (let seq = source.first; seq <= source.last(); seq++) {
      expected.push(new ExpectedScan(this.#reference.at(seq), plan, this.#options))
    }
    const { by, most, options, selection } = plan
    const candidates = new Candidates(
      expected,
      `${selection} ${describe(options)} by ${describe(by)}`
    )
    using iterator = source.reads[selection](options)
    if (typeof by !== 'string') return await scanBySteps(iterator, by, candidates)
    const found: unknown[] = []
    if (by === 'loop' && this.#waitsForRanges) {
      for (const one of iterator) if (found.push(one) === most) break
    } else {
      for await (const one of iterator) if (found.push(one) === most) break
    }
    candidates.narrow((one) => one.take(found, most))
  }
}

/** The states that explain all that an iterator has yielded so far. */
class Candidates {
  #left: readonly ExpectedScan[]
  readonly #what: string

  constructor(expected: readonly ExpectedScan[], what: string) {
    this.#left = expected
    this.#what = what
  }

  seek(key: Bytes): void {
    for (const one of this.#left) one.seek(key)
  }

  narrow(differenceTo: (expected: ExpectedScan) => string | undefined): void {
    let difference: string | undefined
    this.#left = this.#left.filter((one) => {
      const found = differenceTo(one)
      difference ??= found
      return found === undefined
    })
    if (this.#left.length === 0) throw new Error(`${this.#what}: ${difference}`)
  }
}

interface SteppedIterator {
  nextv(size: number, maxBytes?: number): Promise<unknown[]>
  seek(key: Bytes): void
  close(): void
}

async function scanBySteps(
  iterator: SteppedIterator,
  steps: readonly ScanStep[],
  candidates: Candidates
): Promise<void> {
  for (const step of steps) {
    if (step.kind === 'turn') await turn()
    else if (step.kind === 'seek') {
      iterator.seek(step.key)
      candidates.seek(step.key)
    } else if (step.kind === 'read') {
      const { size, maxBytes } = step
      const found = await iterator.nextv(size, maxBytes)
      candidates.narrow((one) => one.take(found, size, maxBytes))
    } else if (step.kind === 'readTogether') {
      const { size, count } = step
      const found = await Promise.all(Array.from({ length: count }, () => iterator.nextv(size)))
      candidates.narrow((one) => one.takeTogether(found.flat(), size * count))
    } else {
      const { size, turns } = step
      const reading = iterator.nextv(size).catch(ifClosed)
      if (turns) await turn()
      iterator.close()
      const found = await reading
      if (found !== undefined) candidates.narrow((one) => one.take(found, size))
      assert.equal(await iterator.nextv(1).catch(ifClosed), undefined, 'read behind the closing')
    }
  }
}

function ifClosed(error: unknown): undefined {
  if (!(error instanceof KintsugiError) || error.code !== closedCodes[1]) throw error
}

function referenceOperation(operation: Operation): ReferenceOperation {
  if (operation.type === 'clear') {
    const { type, ...range } = operation
    const bounds = Object.entries(range).map(([name, key]) => [name, keyText(key as Bytes)])
    return { type, ...Object.fromEntries(bounds) }
  }
  const key = keyText(operation.key)
  if (operation.type === 'del') return { type: 'del', key }
  return { type: 'put', key, value: Buffer.from(operation.value as string) }
}

function describe(plan: unknown): string {
  return JSON.stringify(plan, (_, value: { type?: unknown; data?: number[] }) =>
    value?.type === 'Buffer' ? shown(Buffer.from(value.data!)) : value
  )
}
