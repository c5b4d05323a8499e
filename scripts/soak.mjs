// Random load that is killed every few seconds and checked after each kill:
//
//   node scripts/soak.mjs --backend lsm --minutes 30
//
// A child process puts, removes, clears and batches keys of a small space with every durability and
// values of every size, holds snapshots and iterators and checks them against a map of its own,
// persists and compacts. Before each commit it appends what it is about to write to a ledger file,
// and after it that it was acknowledged. The parent ends it with SIGKILL at random moments, opens
// the store, checks all of it, and compares its full contents with what the ledger says: a prefix of
// the commits, no shorter than what was acknowledged. Ends with 1 and keeps the directory at the
// first difference. The same `--seed` gives the same load, though never the same kills.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { SeededRandom } from '../dist/base/random.js'
import { open } from '../dist/open.js'

const { values } = parseArgs({
  options: {
    backend: { type: 'string', default: 'btree' },
    minutes: { type: 'string', default: '30' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    dir: { type: 'string' },
    child: { type: 'boolean', default: false },
    round: { type: 'string', default: '0' }
  }
})
const seed = Number(values.seed)

/** Small, so that segments, flushes and compactions come many times in each round. */
const options = {
  backend: values.backend,
  walSegmentBytes: 64 * 1024,
  cacheBytes: 4 * 1024 * 1024,
  persistDirtyBytes: 2 * 1024 * 1024,
  persistWalBytes: 2 * 1024 * 1024,
  pageBytes: 4096,
  memtableBytes: 64 * 1024,
  blockBytes: 4096,
  compactionThreshold: 2,
  levelSizeMultiplier: 4
}

const keySpace = 3000
const durabilities = ['sync', 'sync', 'os', 'memory']
const longTail = '.'.repeat(2000)

/** Every fiftieth key is a long one. */
function keyOf(n) {
  const key = `key${String(n).padStart(6, '0')}`
  return n % 50 === 0 ? key + longTail : key
}

/** Told by its number alone, so that the ledger stays small. */
function valueOf(number, size) {
  return Buffer.alloc(size, `${number}/${size};`)
}

// --- the ledger: one line of JSON for each commit before it is begun, and for each acknowledgement

/** `[number, durability, operations]`, an operation being `[key number, size]`, removed: size -1. */
function operationsOf([number, , operations]) {
  return operations.map((operation) => {
    const [first, size, last] = operation
    if (last !== undefined) return { type: 'clear', gte: keyOf(first), lt: keyOf(last) }
    const key = keyOf(first)
    return size < 0 ? { type: 'del', key } : { type: 'put', key, value: valueOf(number, size) }
  })
}

/** What a commit does to a map of numbers and sizes. */
function applyCommit(map, [number, , operations]) {
  for (const [first, size, last] of operations) {
    if (last !== undefined) for (let n = first; n < last; n++) map.delete(n)
    else if (size < 0) map.delete(first)
    else map.set(first, [number, size])
  }
}

function readLedger(path) {
  const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : []
  lines.pop() // what a kill cut short was never begun
  const ledger = { begun: [], acknowledged: 0, reads: 0, persists: 0, compactions: 0 }
  for (const line of lines) {
    const [what, ...rest] = JSON.parse(line)
    if (what === 'begin') ledger.begun.push(rest)
    // What was acknowledged out of order is durable only with all that is before it.
    else if (what === 'done') ledger.acknowledged = Math.max(ledger.acknowledged, rest[0])
    else if (what === 'figures') {
      for (const [name, count] of Object.entries(rest[0])) ledger[name] += count
    } else throw new Error(`the ledger has ${line}`)
  }
  return ledger
}

// --- the child

/** Contents as the child knows them; a copy is what a held view has to show. */
class Load {
  constructor(store, random, state, ledgerFile) {
    this.store = store
    this.random = random
    this.latest = state.map
    this.number = state.number
    this.ledgerFile = ledgerFile
    this.held = []
    this.pending = []
    this.figures = { reads: 0, persists: 0, compactions: 0 }
  }

  log(...line) {
    writeSync(this.ledgerFile, `${JSON.stringify(line)}\n`)
  }

  size() {
    const { random } = this
    if (random.chance(1, 300)) return random.pick([20_000, 120_000, 700_000])
    return random.pick([0, 20, 100, 100, 300, 300, 1000, 1000, 3000, 5000])
  }

  operation() {
    const { random } = this
    const n = random.below(keySpace)
    if (random.chance(1, 400)) return [n, -2, Math.min(keySpace, n + random.pick([1, 20, 600]))]
    if (random.chance(1, 6)) return [n, -1]
    return [n, this.size()]
  }

  commit() {
    const { random } = this
    const count = random.chance(1, 4) ? 1 + random.below(40) : 1
    const durability = random.pick(durabilities)
    const operations = Array.from({ length: count }, () => this.operation())
    const commit = [++this.number, durability, operations]
    this.log('begin', ...commit)
    applyCommit(this.latest, commit)
    const done = () => {
      // A killed process keeps what the operating system has.
      if (durability !== 'memory') this.log('done', commit[0])
    }
    if (random.chance(1, 12)) {
      this.store.batchSync(operationsOf(commit), { durability })
      done()
      return
    }
    this.pending.push(this.store.batch(operationsOf(commit), { durability }).then(done))
  }

  async settled() {
    await Promise.all(this.pending.splice(0))
  }

  hold() {
    const view = new Map(this.latest)
    const snapshot = this.store.snapshot()
    if (snapshot.seq !== this.number) throw new Error(`a snapshot of ${snapshot.seq}`)
    const reverse = this.random.chance(1, 2)
    const iterator = snapshot.entries({ reverse })[Symbol.asyncIterator]()
    const keys = [...view.keys()].sort((a, b) => (a - b) * (reverse ? -1 : 1))
    this.held.push({ snapshot, iterator, keys, view, position: 0 })
  }

  /** Some steps of an iterator and some reads of a view. */
  async look() {
    const { random } = this
    const held = random.pick(this.held)
    for (let steps = random.below(200); steps > 0; steps--) {
      const { value, done } = await held.iterator.next()
      const n = held.keys[held.position++]
      if (done) {
        if (n !== undefined) throw new Error(`an iterator ended before ${keyOf(n)}`)
        held.position--
        break
      }
      if (n === undefined) throw new Error(`an iterator went on to ${value[0]}`)
      if (value[0].toString() !== keyOf(n)) throw new Error(`${value[0]} instead of ${keyOf(n)}`)
      compare(n, value[1], held.view.get(n))
      this.figures.reads++
    }
    for (let i = 0; i < 5; i++) {
      const n = random.below(keySpace)
      compare(n, held.snapshot.getSync(keyOf(n)), held.view.get(n))
      this.figures.reads++
    }
  }

  async read() {
    const n = this.random.below(keySpace)
    compare(n, this.store.getSync(keyOf(n)), this.latest.get(n))
    compare(n, await this.store.get(keyOf(n)), this.latest.get(n))
    this.figures.reads += 2
  }

  async run() {
    const { random } = this
    for (let i = 0; ; i++) {
      for (let burst = 1 + random.below(12); burst > 0; burst--) this.commit()
      await this.settled()
      if (random.chance(1, 3)) await this.read()
      if (random.chance(1, 30) && this.held.length < 6) this.hold()
      if (this.held.length > 0 && random.chance(1, 5)) await this.look()
      if (this.held.length > 3 && random.chance(1, 30)) {
        const [{ snapshot }] = this.held.splice(random.below(this.held.length), 1)
        snapshot.close()
      }
      if (random.chance(1, 150)) this.work('persists', this.store.persist())
      if (random.chance(1, 1500)) this.work('compactions', this.store.compact())
      if (i % 50 === 49) {
        this.log('figures', this.figures)
        this.figures = { reads: 0, persists: 0, compactions: 0 }
        // Lets the loop's other work come in.
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
  }

  work(name, promise) {
    this.figures[name]++
    this.pending.push(promise)
  }
}

function compare(n, found, expected) {
  const wanted = expected && valueOf(...expected)
  if (wanted === undefined ? found === undefined : found && wanted.equals(found)) return
  const is = found === undefined ? 'nothing' : `${found.length} bytes, ${found.subarray(0, 24)}`
  const should = wanted ? `${wanted.length} bytes, ${wanted.subarray(0, 24)}` : 'nothing'
  throw new Error(`${keyOf(n).slice(0, 12)} has ${is}; it should have ${should}`)
}

async function child(directory) {
  const store = await open(join(directory, 'store'), options)
  const ledger = readLedger(join(directory, 'ledger'))
  const map = new Map(JSON.parse(readFileSync(join(directory, 'state.json'), 'utf8')))
  for (const commit of ledger.begun) applyCommit(map, commit)
  const random = new SeededRandom(seed * 1000 + Number(values.round))
  const file = openSync(join(directory, 'ledger'), 'a')
  await new Load(store, random, { map, number: store.seq }, file).run()
}

// --- the parent

class Soak {
  constructor(directory) {
    this.directory = directory
    this.path = join(directory, 'store')
    this.ledger = join(directory, 'ledger')
    this.map = new Map()
    this.totals = { rounds: 0, operations: 0, commits: 0, acknowledged: 0, lostUnacknowledged: 0 }
    this.more = { reads: 0, persists: 0, compactions: 0, killedWhileOpening: 0, entriesCompared: 0 }
    this.baseSeq = 0
  }

  async run(endMs) {
    const random = new SeededRandom(seed)
    let saidMs = performance.now()
    while (performance.now() < endMs) {
      this.writeState()
      // Most live for some seconds; some do not get through their opening.
      await this.killed(random.chance(1, 8) ? random.below(300) : 1000 + random.below(6000))
      await this.check()
      this.totals.rounds++
      if (performance.now() - saidMs < 20_000) continue
      saidMs = performance.now()
      this.say('so far')
    }
    this.say('clean')
  }

  say(what) {
    const figures = { ...this.totals, ...this.more, ...this.last }
    console.log(`soak of ${values.backend}, seed ${seed}, ${what}: ${JSON.stringify(figures)}`)
  }

  writeState() {
    rmSync(this.ledger, { force: true })
    writeFileSync(join(this.directory, 'state.json'), JSON.stringify([...this.map]))
  }

  async killed(afterMs) {
    const script = fileURLToPath(import.meta.url)
    const { backend } = values
    const args = ['--child', '--backend', backend, '--seed', `${seed}`, '--dir', this.directory]
    const round = ['--round', `${this.totals.rounds}`]
    const running = spawn(process.execPath, [script, ...args, ...round], {
      stdio: ['ignore', 'inherit', 'inherit']
    })
    const timer = setTimeout(() => running.kill('SIGKILL'), afterMs)
    const [code, signal] = await new Promise((resolve, reject) => {
      running.on('error', reject)
      running.on('close', (...how) => resolve(how))
    })
    clearTimeout(timer)
    // Without the addon there is no lock that ends with its process (rule S5).
    if (signal === 'SIGKILL') rmSync(join(this.path, 'LOCK.owner'), { force: true })
    else throw new Error(`the load ended by itself with ${code}`)
  }

  /** Opens, checks everything, and takes over what is there as the state of the next round. */
  async check() {
    const ledger = readLedger(this.ledger)
    const store = await open(this.path, options)
    const { seq } = store
    const kept = seq - this.baseSeq
    const { begun, acknowledged } = ledger
    if (seq < acknowledged) throw new Error(`${acknowledged} was acknowledged, ${seq} is there`)
    if (kept > begun.length) throw new Error(`${kept} commits are there of ${begun.length} begun`)
    for (const [i, commit] of begun.slice(0, kept).entries()) {
      if (commit[0] !== this.baseSeq + i + 1) throw new Error(`commit ${commit[0]} out of order`)
      applyCommit(this.map, commit)
      this.totals.operations += commit[2].length
    }
    await this.compareAll(store)
    const findings = await store.verify('comprehensive')
    if (findings.length > 0) throw new Error(`found ${JSON.stringify(findings)}`)
    this.last = await figuresOf(store)
    // A clean close every other time: what it does is part of what is tried.
    if (this.totals.rounds % 2 === 0) await store.close()
    else await this.closedAfterWrites(store)
    if (begun.length === 0) this.more.killedWhileOpening++
    for (const name of ['reads', 'persists', 'compactions']) this.more[name] += ledger[name]
    this.totals.commits += kept
    this.totals.acknowledged += Math.max(0, acknowledged - this.baseSeq)
    this.totals.lostUnacknowledged += begun.length - kept
    this.baseSeq = this.nextSeq ?? seq
    this.nextSeq = undefined
  }

  async compareAll(store) {
    const keys = [...this.map.keys()].sort((a, b) => a - b)
    for (const reverse of [false, true]) {
      const expected = reverse ? keys.toReversed() : keys
      let at = 0
      for await (const [key, value] of store.entries({ reverse })) {
        const n = expected[at++]
        if (n === undefined || key.toString() !== keyOf(n)) {
          throw new Error(`${key} is there instead of ${n === undefined ? 'nothing' : keyOf(n)}`)
        }
        compare(n, value, this.map.get(n))
      }
      if (at < expected.length)
        throw new Error(`entries are missing from ${keyOf(expected[at])} on`)
      this.more.entriesCompared += at
    }
    for (let n = 0; n < keySpace; n += 7) compare(n, store.getSync(keyOf(n)), this.map.get(n))
  }

  async closedAfterWrites(store) {
    const commit = [store.seq + 1, 'sync', [[7, 500]]]
    await store.batch(operationsOf(commit))
    applyCommit(this.map, commit)
    await store.close()
    this.nextSeq = commit[0]
  }
}

async function figuresOf(store) {
  let entries = 0
  for await (const _ of store.keys()) entries++
  return { entries, seq: store.seq }
}

async function main() {
  if (values.child) return child(values.dir)
  const directory = values.dir ?? mkdtempSync(join(tmpdir(), 'kintsugi-soak-'))
  console.log(`soak of ${values.backend} for ${values.minutes} min, seed ${seed}, in ${directory}`)
  const soak = new Soak(directory)
  try {
    await soak.run(performance.now() + Number(values.minutes) * 60_000)
  } catch (error) {
    console.error(`failed in round ${soak.totals.rounds}, kept in ${directory}`)
    throw error
  }
  if (values.dir === undefined) rmSync(directory, { recursive: true, force: true })
  return undefined
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
