// YCSB core workloads on the loaded store, unsynced writes, zipfian requests (theta 0.99) scattered
// over the key space. 64 logical clients: reads are answered at once, a write may be pending until
// its client's next turn, so a value read is right when its version lies between the last
// acknowledged and the last issued one of that key.
import { Chunk, Zipfian, checkVersions, numberOf, permutation } from '../lib/data.mjs'
import { Meter } from '../lib/measure.mjs'
import { warm } from '../lib/workload.mjs'

const MIXED_TIME_MS = 1200
const CLIENTS = 64

const READ = 0
const UPDATE = 1
const MODIFY = 2
const SCAN = 3
const INSERT = 4

class MixedRun {
  #context
  #store
  #chunk = new Chunk(CLIENTS)
  #kinds = new Uint8Array(CLIENTS)
  #lengths = new Uint8Array(CLIENTS)
  #versions = new Uint32Array(CLIENTS)
  #issued
  #acknowledged
  #inserted = 0
  #insertOrder
  #order
  #zipfian
  #random
  #pick
  #writes
  #pending = []
  #previous = -1
  #seen = 0

  constructor(context, store, pick) {
    this.#context = context
    this.#store = store
    this.#pick = pick
    this.#random = context.random(31)
    this.#zipfian = new Zipfian(context.count, this.#random)
    this.#order = permutation(context.count, 37)
    this.#insertOrder = permutation(context.count, 41)
    this.#issued = new Uint32Array(context.count * 2)
    this.#acknowledged = new Uint32Array(context.count * 2)
    this.#writes = store.mixedPut
  }

  async measure() {
    const meter = new Meter({ operationsMax: Infinity, timeMaxMs: MIXED_TIME_MS })
    for (let round = 0; meter.open; round++) {
      this.#prepare()
      const from = performance.now()
      const pending = this.#store.getSync ? this.#runSync() : this.#runAsync()
      if (pending !== undefined) await pending
      const elapsedMs = performance.now() - from
      this.#acknowledge()
      if (round >= 100) meter.add(CLIENTS, elapsedMs)
    }
    return { perSecond: meter.perSecond }
  }

  #prepare() {
    for (let slot = 0; slot < CLIENTS; slot++) {
      const kind = this.#pick(this.#random.fraction())
      this.#kinds[slot] = kind
      let number = this.#order[this.#zipfian.next()] * 2
      if (kind === INSERT)
        number = this.#insertOrder[this.#inserted++ % this.#context.count] * 2 + 1
      if (kind === SCAN) this.#lengths[slot] = 1 + this.#random.below(100)
      if (kind === READ || kind === SCAN) {
        this.#chunk.setKey(slot, number)
        continue
      }
      const version = this.#issued[number] + 1
      this.#issued[number] = version
      this.#versions[slot] = version
      this.#chunk.set(slot, number, version)
    }
  }

  /**
   * After a window the last version of a key is there. Where reads are asynchronous the clients'
   * writes of one window have no order, so any of its versions may have stayed.
   */
  #acknowledge() {
    const ordered = this.#store.getSync !== undefined
    for (let i = 0; i < CLIENTS; i++) {
      const slot = ordered ? i : CLIENTS - 1 - i
      const kind = this.#kinds[slot]
      if (kind === READ || kind === SCAN) continue
      this.#acknowledged[this.#chunk.numbers[slot]] = this.#versions[slot]
    }
  }

  #check(value, number) {
    checkVersions(value, number, this.#acknowledged[number], this.#issued[number])
  }

  #visit = (key, value) => {
    const number = numberOf(key)
    if (number <= this.#previous) throw new Error(`scan out of order at ${number}`)
    // No present key may be left out.
    if (this.#previous >= 0 && number - this.#previous > 2) throw new Error(`gap before ${number}`)
    this.#previous = number
    this.#seen += 1
    this.#check(value, number)
  }

  #write(slot) {
    const pending = this.#store[this.#writes](this.#chunk.keys[slot], this.#chunk.values[slot])
    if (pending !== undefined) this.#pending.push(pending)
  }

  #scan(slot) {
    this.#previous = -1
    this.#seen = 0
    const range = { gte: this.#chunk.keys[slot], limit: this.#lengths[slot] }
    return this.#store.scan(range, this.#visit)
  }

  #scanned(slot) {
    const number = this.#chunk.numbers[slot]
    const length = this.#lengths[slot]
    const nearEnd = number / 2 + length > this.#context.count
    if (this.#seen !== length && !nearEnd) {
      throw new Error(`scan of ${length} entries at ${number} saw ${this.#seen}`)
    }
  }

  /** For stores with synchronous reads; scans may still be asynchronous. */
  #runSync(from = 0) {
    const { keys, numbers } = this.#chunk
    for (let slot = from; slot < CLIENTS; slot++) {
      const kind = this.#kinds[slot]
      if (kind === READ || kind === MODIFY) {
        this.#check(this.#store.getSync(keys[slot]), numbers[slot])
      } else if (kind === SCAN) {
        const pending = this.#scan(slot)
        if (pending !== undefined) {
          return pending.then(() => {
            this.#scanned(slot)
            return this.#runSync(slot + 1)
          })
        }
        this.#scanned(slot)
      }
      if (kind !== READ && kind !== SCAN) this.#write(slot)
    }
    if (this.#pending.length === 0) return undefined
    const pending = this.#pending
    this.#pending = []
    return Promise.all(pending)
  }

  /** For stores with asynchronous reads only: the 64 clients at once, scans in turn. */
  async #runAsync() {
    const clients = []
    for (let slot = 0; slot < CLIENTS; slot++) {
      if (this.#kinds[slot] === SCAN) {
        await this.#scan(slot)
        this.#scanned(slot)
      } else {
        clients.push(this.#client(slot))
      }
    }
    await Promise.all(clients)
  }

  async #client(slot) {
    const kind = this.#kinds[slot]
    const { keys, values, numbers } = this.#chunk
    if (kind === READ || kind === MODIFY) {
      this.#check(await this.#store.get(keys[slot]), numbers[slot])
    }
    if (kind !== READ) await this.#store[this.#writes](keys[slot], values[slot])
  }
}

function ycsb(pick) {
  return async (context) => {
    const store = await context.openFixture('os')
    await warm(store, context.count)
    const metrics = await new MixedRun(context, store, pick).measure()
    await store.close()
    return metrics
  }
}

export const mixedCells = {
  'ycsb-a': { fixture: 'copy', run: ycsb((u) => (u < 0.5 ? READ : UPDATE)) },
  'ycsb-b': { fixture: 'copy', run: ycsb((u) => (u < 0.95 ? READ : UPDATE)) },
  'ycsb-c': { fixture: 'shared', run: ycsb(() => READ) },
  'ycsb-e': { fixture: 'copy', run: ycsb((u) => (u < 0.95 ? SCAN : INSERT)) },
  'ycsb-f': { fixture: 'copy', run: ycsb((u) => (u < 0.5 ? READ : MODIFY)) }
}
