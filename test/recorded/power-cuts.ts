import fs from 'node:fs'
import { dirname, join } from 'node:path'
import { mix, SeededRandom } from '../../dist/base/random.js'
import { open, type OpenOptions } from '../../dist/index.js'
import type { CrashFate } from '../../dist/vfs/mem-crash.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { recordWriter } from './recording.js'
import { Replay, type TraceEvent } from './trace.js'
import { applyTo, commitOf, options } from '../../test/recorded/workload.mjs'
import { forgetOwner } from '../helpers/forget-owner.js'

/**
 * Records what a process does to the files of a store, its libraries included, and turns the power
 * off at many moments of that: each time other parts of what no sync had covered are lost. What is
 * left is laid on the disk and opened. One of those states is where the next process goes on, so
 * that openings and recoveries are cut short as well.
 */

export interface PowerCutOptions {
  readonly backend: NonNullable<OpenOptions['backend']>
  readonly seed: number
  /** Processes, each of which goes on where the power went off. */
  readonly rounds: number
  readonly commitsPerRound: number
  /** Moments at which each process loses power. */
  readonly cutsPerRound: number
  /** States for each moment beside the two extremes. */
  readonly randomFates: number
  readonly recorder: string
  /** For stores; every state that passed is removed again. */
  readonly directory: string
  /** The address of the one state to try, as a failure names it. */
  readonly only?: string | undefined
}

export interface PowerCutFigures {
  operations: number
  moments: number
  states: number
  /** States in which there was no store yet. */
  empty: number
  /** States that were written to and opened once more. */
  continued: number
  commits: number
}

/** What the ledger says. */
class Ledger {
  attempted = 0
  synced = 0
  handedOver = 0
  #rest = ''

  read(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop()!
    for (const line of lines) {
      const number = Number(line.slice(2))
      if (line[0] === 'a') this.attempted = Math.max(this.attempted, number)
      if (line[0] === 's') this.synced = Math.max(this.synced, number)
      if (line[0] === 's' || line[0] === 'o') this.handedOver = Math.max(this.handedOver, number)
    }
  }
}

type Entries = Map<string, Buffer>

/** Contents after every commit. */
class Contents {
  readonly #seed: number
  readonly #after: Entries[] = [new Map()]

  constructor(seed: number) {
    this.#seed = seed
  }

  after(number: number): Entries {
    for (let next = this.#after.length; next <= number; next++) {
      const entries = new Map(this.#after[next - 1])
      applyTo(entries, commitOf(this.#seed, next))
      this.#after.push(entries)
    }
    return this.#after[number]!
  }

  /** Whether a commit leaves no trace of its number. */
  isClear(number: number): boolean {
    return commitOf(this.#seed, number).operations === undefined
  }
}

export async function cutPower(campaign: PowerCutOptions): Promise<PowerCutFigures> {
  return new Campaign(campaign).run()
}

class Campaign {
  readonly #options: PowerCutOptions
  readonly #contents: Contents
  readonly #figures: PowerCutFigures = {
    operations: 0,
    moments: 0,
    states: 0,
    empty: 0,
    continued: 0,
    commits: 0
  }
  #states = 0

  constructor(campaign: PowerCutOptions) {
    this.#options = campaign
    this.#contents = new Contents(campaign.seed)
  }

  async run(): Promise<PowerCutFigures> {
    const { rounds, seed } = this.#options
    let base = new MemVfs()
    let last = 0
    for (let round = 0; round < rounds; round++) {
      const random = new SeededRandom(mix(seed * 1000 + round))
      ;[base, last] = await this.#round(round, base, last, random)
    }
    this.#figures.commits = last
    return this.#figures
  }

  /** Returns the state that the next process begins with, and the commit it ends with. */
  async #round(
    round: number,
    base: MemVfs,
    last: number,
    random: SeededRandom
  ): Promise<[MemVfs, number]> {
    const { backend, seed, commitsPerRound: count, recorder, directory } = this.#options
    const root = join(directory, `round-${round}`)
    dump(base, root)
    const ending = random.chance(1, 3) ? 'close' : 'exit'
    const run = { backend, seed, first: last + 1, count, ending } as const
    const events = recordWriter(recorder, root, run)
    fs.rmSync(root, { recursive: true })
    const replay = new Replay(base.killClone(), root)
    const ledger = new Ledger()
    ledger.attempted = ledger.synced = ledger.handedOver = last
    const cuts = this.#chooseCuts(events, random)
    const successor = random.below(cuts.length)
    let next: [MemVfs, number] | undefined
    let at = 0
    for (const [i, cut] of cuts.entries()) {
      for (; at < cut; at++) {
        const event = events[at]!
        if (event.kind === 'write' && replay.pathOf(event) === '/ledger') {
          ledger.read(event.bytes.toString())
        } else {
          replay.apply(event)
        }
      }
      this.#figures.moments++
      const before = `before operation ${cut} of ${events.length} of round ${round}`
      const what = cut < events.length ? `${events[cut]!.kind} ${replay.pathOf(events[cut]!)}` : ''
      const fates = ['nothing', 'everything']
      for (let fate = 0; fate < this.#options.randomFates; fate++) fates.push(`${fate}`)
      for (const fate of fates) {
        const address = `${round}:${cut}:${fate}`
        const state = replay.vfs.crashClone(fateOf(fate, seed, address))
        const label = `${address}, ${before} (${what}), ending with ${ending}`
        const found = await this.#check(state, ledger, fate, label)
        if (i >= successor && fate === '0') next ??= [state, found]
      }
    }
    this.#figures.operations += events.length
    return next ?? [replay.vfs.crashClone('nothing'), ledger.synced]
  }

  /** Moments to lose power at, in order: any of them, and more often where it matters. */
  #chooseCuts(events: readonly TraceEvent[], random: SeededRandom): number[] {
    const { cutsPerRound } = this.#options
    const chosen = new Set<number>([events.length])
    const rare: number[] = []
    for (const [i, { kind }] of events.entries()) {
      if (kind !== 'write' && kind !== 'close') rare.push(i)
    }
    while (chosen.size < Math.min(cutsPerRound, events.length)) {
      chosen.add(random.chance(2, 3) ? random.pick(rare) : random.below(events.length))
    }
    return [...chosen].sort((a, b) => a - b)
  }

  /** Opens what the cut left; returns which commit it ends with. */
  async #check(state: MemVfs, ledger: Ledger, fate: string, label: string): Promise<number> {
    const { only, directory, seed, backend } = this.#options
    if (only !== undefined && !label.startsWith(`${only},`)) return ledger.synced
    const number = this.#states++
    const root = join(directory, `state-${number}`)
    dump(state, root)
    try {
      const isEmpty = !fs.existsSync(join(root, 'store', 'STORE-A'))
      const least = fate === 'everything' ? ledger.handedOver : ledger.synced
      const found = await this.#open(root, least, ledger.attempted, number % 4 === 0)
      this.#figures.states++
      if (isEmpty) this.#figures.empty++
      if (number % 4 === 0) this.#figures.continued++
      fs.rmSync(root, { recursive: true })
      return found
    } catch (error) {
      // As the cut left it, not as opening did.
      fs.rmSync(root, { recursive: true })
      dump(state, root)
      const again = `seed ${seed} on ${backend}, state ${label}`
      throw new Error(`${again}; files kept in ${root}: ${String(error)}`, { cause: error })
    }
  }

  async #open(root: string, least: number, most: number, goOn: boolean): Promise<number> {
    const { backend } = this.#options
    const path = join(root, 'store')
    const store = await open(path, { ...options, backend })
    let found: number
    try {
      found = await this.#expectContents(store, least, most)
      await expectSound(store)
      if (!goOn) return found
      await store.put('later', 'on', { durability: 'sync' })
      await store.persist()
    } finally {
      await store.close()
    }
    const again = await open(path, { ...options, backend })
    try {
      if ((await again.get('later'))?.toString() !== 'on') throw new Error('a new commit is gone')
      await again.del('later')
      await this.#expectContents(again, found, found)
      await expectSound(again)
    } finally {
      await again.close()
    }
    return found
  }

  /** The contents are those after one commit between two; returns which. */
  async #expectContents(store: Store, least: number, most: number): Promise<number> {
    let number = Number((await store.get('number'))?.toString() ?? '0')
    const entries: Entries = new Map()
    for await (const [key, value] of store.entries()) entries.set(key.toString(), value)
    const first = number
    while (!isSame(entries, this.#contents.after(number))) {
      number++
      if (number > most || !this.#contents.isClear(number)) {
        throw new Error(`this is not what was there after commit ${first}`)
      }
    }
    // Clearing what is empty already changes nothing.
    while (
      number < least &&
      this.#contents.isClear(number + 1) &&
      isSame(entries, this.#contents.after(number + 1))
    ) {
      number++
    }
    if (number < least) throw new Error(`commit ${least} was acknowledged, ${number} is there`)
    if (number > most) throw new Error(`commit ${number} is there, ${most} was the last`)
    return number
  }
}

type Store = Awaited<ReturnType<typeof open>>

async function expectSound(store: Store): Promise<void> {
  const findings = await store.verify('comprehensive')
  if (findings.length > 0) throw new Error(`verify found ${JSON.stringify(findings)}`)
}

function isSame(found: Entries, expected: Entries): boolean {
  if (found.size !== expected.size) return false
  for (const [key, value] of expected) if (!found.get(key)?.equals(value)) return false
  return true
}

function fateOf(fate: string, seed: number, address: string): CrashFate {
  if (fate === 'nothing' || fate === 'everything') return fate
  let mixed = seed
  for (let i = 0; i < address.length; i++) mixed = mix(mixed ^ address.charCodeAt(i))
  return new SeededRandom(mixed)
}

/** Writes the files of a file system in memory below a directory. */
function dump(vfs: MemVfs, root: string): void {
  const visit = (path: string): void => {
    fs.mkdirSync(root + path, { recursive: true })
    for (const name of vfs.readdirSync(path)) {
      const below = path === '/' ? `/${name}` : `${path}/${name}`
      if (vfs.statSync(below)!.isDirectory) visit(below)
    }
  }
  visit('/')
  for (const path of vfs.medium.paths()) {
    fs.mkdirSync(dirname(root + path), { recursive: true })
    fs.writeFileSync(root + path, vfs.medium.read(path))
  }
  forgetOwner(root)
}
