import type { CleanMark } from '../../dist/wal/witness.js'
import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../dist/base/random.js'
import { KintsugiError } from '../../dist/errors.js'
import type { Fault, FaultPlan, FaultRule } from '../../dist/vfs/fault-plan.js'
import { FaultVfs } from '../../dist/vfs/fault-vfs.js'
import { SeededScheduler } from '../../dist/vfs/mem-scheduler.js'
import type { MemVfs } from '../../dist/vfs/mem-vfs.js'
import type { SegmentOpened } from '../../dist/wal/log-context.js'
import type { Log } from '../../dist/wal/log.js'
import {
  exploreCrashes,
  type CheckContext,
  type ExplorerOptions,
  type HistoryContext
} from '../helpers/crash-explorer.js'
import { ManualClock, newLog, openLog, payloadOf, type Replayed } from './log-fixture.js'
import { WitnessFile } from './witness-file.js'

/** `synced` and `written` are promises; `bytes` tells what an attempted commit carries. */
interface Fact {
  readonly seq: number
  readonly bytes: number
  readonly kind: 'commit' | 'synced' | 'written'
}

const segmentBytes = 4096

/** A store without a backend: commits, acknowledges, persists, retires, closes and opens again. */
class LogUser {
  readonly clock = new ManualClock()
  readonly faults: FaultVfs
  readonly witness: WitnessFile
  readonly #context: HistoryContext<Fact>
  readonly #random: SeededRandom
  readonly #lengths = new Map<number, number>()
  log!: Log
  failures = 0

  constructor(context: HistoryContext<Fact>, random: SeededRandom, plan: FaultPlan) {
    this.#context = context
    this.#random = random
    this.faults = new FaultVfs(context.vfs, plan)
    this.witness = new WitnessFile(context.vfs)
  }

  get #more() {
    const opened = ({ segment, epoch }: { segment: number; epoch: number }) =>
      this.witness.write({ activeSegment: segment, epoch })
    return {
      clock: this.clock,
      random: this.#random,
      segmentOpened: { async: async (value: SegmentOpened) => opened(value), sync: opened }
    }
  }

  async create(): Promise<void> {
    this.log = await newLog(this.faults, { segmentBytes, watermarkDelayMs: 10 }, this.#more)
    this.witness.write({})
  }

  commit(): void {
    const large = this.#random.below(12) === 0
    const bytes = large ? this.#random.below(9000) : this.#random.below(300)
    const seq = this.log.committedSeq + 1
    this.#lengths.set(seq, bytes)
    this.#context.attempt({ seq, bytes, kind: 'commit' })
    const room = this.log.stage(bytes)
    payloadOf(seq, bytes).copy(room.buffer, room.start)
    this.log.commit(seq, 1, seq)
  }

  #acknowledge(seq: number, kind: 'synced' | 'written'): void {
    this.#context.acknowledge({ seq, bytes: this.#lengths.get(seq) ?? 0, kind })
    if (this.#random.below(2) === 0) this.log.release(seq)
  }

  async #tolerating(action: () => Promise<void> | void): Promise<void> {
    try {
      await action()
    } catch (error) {
      if (!(error instanceof KintsugiError)) throw error
      this.failures++
    }
  }

  async act(): Promise<void> {
    for (let i = this.#random.below(6); i > 0; i--) this.commit()
    const { log } = this
    const goal = log.committedSeq
    const kind = this.#random.below(10)
    await this.#tolerating(async () => {
      if (kind < 3) {
        await log.sync()
        this.#acknowledge(goal, 'synced')
      } else if (kind < 5) {
        log.syncSync()
        this.#acknowledge(goal, 'synced')
      } else if (kind < 6) {
        await log.write()
        this.#acknowledge(goal, 'written')
      } else if (kind < 7) {
        log.writeSync()
        this.#acknowledge(goal, 'written')
      } else if (kind < 9) await this.#overtake(goal)
      else this.clock.advance(20)
    })
  }

  /** Rule W9: a synchronous write while a group is in flight. */
  async #overtake(goal: number): Promise<void> {
    const inFlight = this.#random.below(3) === 0 ? this.log.write() : this.log.sync()
    const settled = inFlight?.then(
      () => 'done',
      () => 'failed'
    )
    for (let turns = this.#random.below(20); turns > 0; turns--) await Promise.resolve()
    this.commit()
    const own = this.log.committedSeq
    try {
      this.log.syncSync()
      this.#acknowledge(own, 'synced')
    } finally {
      const outcome = await settled
      if (outcome === 'done' && this.log.syncedSeq >= goal) this.#acknowledge(goal, 'synced')
    }
  }

  async retire(): Promise<void> {
    const durableSeq = Math.floor(this.log.syncedSeq * 0.9)
    this.witness.write({ durableSeq, syncedSeq: this.log.syncedSeq })
    const floor = this.log.floorFor(durableSeq)
    this.witness.write({ floor })
    await this.#tolerating(() => this.log.retire(floor))
  }

  /** Opens until no injected fault prevents it. */
  async #open(): Promise<Replayed> {
    for (;;) {
      try {
        return await openLog(this.faults, this.witness.value, {
          options: { segmentBytes, watermarkDelayMs: 10 },
          more: this.#more
        })
      } catch (error) {
        const isInjected = error instanceof KintsugiError && error.facts.errno !== undefined
        if (!isInjected || this.failures++ > 200) throw error
      }
    }
  }

  async closeAndOpen(): Promise<void> {
    const clean = this.#random.below(3) > 0
    const goal = this.log.committedSeq
    await this.#tolerating(async () => {
      const stated = async (cleanMark: CleanMark) => {
        this.witness.write({ cleanMark, syncedSeq: cleanMark.seq })
        this.#acknowledge(goal, 'synced')
      }
      await this.log.close({ clean, stated })
    })
    const opened = await this.#open()
    this.log = opened.log!
    const { segment: activeSegment, epoch, cleanMark } = opened.opened
    this.witness.write({ activeSegment, epoch, cleanMark })
  }
}

/** A failure of some kind at about every n-th operation on the log's files. */
function faultPlan(random: SeededRandom, everyNth: number, count: number): FaultPlan {
  const plan: FaultRule[] = []
  for (let nth = 8, i = 0; i < count; i++) {
    nth += 1 + random.below(everyNth * 2)
    const fault: Fault = random.chance(1, 4)
      ? { kind: 'short-write', lengthBytes: random.below(300), errno: 'EIO' }
      : { kind: 'error', errno: random.pick(['EIO', 'ENOSPC']), afterEffect: random.chance(1, 3) }
    plan.push({ operation: 'mutation', path: '/wal*', nth, fault })
  }
  return plan
}

async function history(
  context: HistoryContext<Fact>,
  seed: number,
  steps: number,
  withFaults: boolean
): Promise<LogUser> {
  const random = new SeededRandom(seed)
  const plan = withFaults ? faultPlan(random, 12, 40) : []
  const user = new LogUser(context, random, plan)
  await user.create()
  for (let i = 0; i < steps; i++) {
    await context.step(`step ${i}`)
    const kind = random.below(20)
    if (kind === 0) await user.retire()
    else if (kind === 1) await user.closeAndOpen()
    else await user.act()
  }
  return user
}

/** Opens a crash state and compares it with what was promised. */
async function check(clone: MemVfs, context: CheckContext<Fact>): Promise<void> {
  const { acknowledged, attempted, address, recovered } = context
  if (!clone.statSync('/wal') || clone.readdirSync('/').length < 2) {
    expect(acknowledged).toEqual([])
    return
  }
  const witness = new WitnessFile(clone)
  // What was read may be in the page cache only: STORE is made durable before it is acted upon.
  witness.write({})
  const opened = await openLog(clone, witness.value)
  const { segment: activeSegment, epoch, cleanMark } = opened.opened
  witness.write({ activeSegment, epoch, cleanMark })
  recovered()

  const promised = (kinds: Fact['kind'][]) =>
    Math.max(0, ...acknowledged.filter(({ kind }) => kinds.includes(kind)).map(({ seq }) => seq))
  const isKilled = /^\d+:k$/.test(address)
  const mustHave = promised(isKilled ? ['synced', 'written'] : ['synced'])
  const { durableSeq } = witness.value
  const last = opened.commits.at(-1)?.seq ?? durableSeq
  expect(last, 'an acknowledged commit is missing').toBeGreaterThanOrEqual(mustHave)
  const sizes = new Map<number, Set<number>>()
  for (const { seq, bytes } of attempted) {
    sizes.set(seq, (sizes.get(seq) ?? new Set()).add(bytes))
  }
  let expected = durableSeq + 1
  for (const { seq, payload } of opened.commits) {
    expect(seq, 'commits form a prefix').toBe(expected++)
    expect(sizes.get(seq)?.has(payload.length), `commit ${seq} was attempted`).toBe(true)
    expect(payload.equals(payloadOf(seq, payload.length)), `payload of ${seq}`).toBe(true)
  }

  await goOn(clone, witness, opened.log!, last)
}

/** The recovered log takes commits, and what it acknowledges survives the next power cut. */
async function goOn(clone: MemVfs, witness: WitnessFile, log: Log, last: number): Promise<void> {
  const first = log.committedSeq + 1
  for (let i = 0; i < 3; i++) {
    const room = log.stage(1500)
    payloadOf(first + i, 1500).copy(room.buffer, room.start)
    log.commit(first + i, 1, 1)
  }
  await log.sync()
  const again = await openLog(clone.crashClone('nothing'), witness.value)
  expect(again.report.dropped).toEqual([])
  const seqs = again.commits.map(({ seq }) => seq)
  expect(seqs.slice(-3)).toEqual([first, first + 1, first + 2])
  expect(seqs.at(-4) ?? witness.value.durableSeq).toBe(last)
}

/** Larger runs are a matter of more steps and more seeds. */
const scale = 1

function explore(
  seed: number,
  steps: number,
  more: Partial<ExplorerOptions<Fact>>,
  faults = false
) {
  return exploreCrashes<Fact>({
    seed,
    history: async (context) => void (await history(context, seed, steps, faults)),
    check,
    fixedFates: ['n', 'e', 'k'],
    randomFates: 3,
    ...more
  })
}

describe('a power cut at any moment', () => {
  it.each([1, 2, 3, 6])('keeps every promise (history %i)', async (seed) => {
    const report = await explore(seed, 25 * scale, {})
    expect(report.states).toBeGreaterThan(200)
  })

  it.each([11, 12, 13, 14])(
    'keeps every promise while threads and loop interleave (history %i)',
    async (seed) => {
      const scheduler = (random: SeededRandom) => new SeededScheduler(random)
      const report = await explore(seed, 25 * scale, { scheduler })
      expect(report.states).toBeGreaterThan(200)
    }
  )

  it.each([21, 25, 303, 310])('keeps every promise when syncs fail (history %i)', async (seed) => {
    const report = await explore(seed, 25 * scale, {}, true)
    expect(report.states).toBeGreaterThan(200)
  })

  it.each([31, 32])(
    'keeps every promise when recovery is interrupted (history %i)',
    async (seed) => {
      const report = await explore(
        seed,
        15 * scale,
        {
          depth: 2,
          everyNth: 20,
          fixedFates: ['k'],
          randomFates: 1,
          nested: { everyNth: 7, fixedFates: ['k'], randomFates: 1 }
        },
        seed % 2 === 0
      )
      expect(report.statesByDepth).toHaveLength(3)
    }
  )
})
