import fc from 'fast-check'
import { expect } from 'vitest'
import { newestSeq } from '../../dist/memtable/entry.js'
import { KeyHash } from '../../dist/memtable/key-hash.js'
import { spanHolds, spanOf } from '../../dist/memtable/key-span.js'
import { Found, Lookup } from '../../dist/memtable/lookup.js'
import type { RangeTombstones } from '../../dist/memtable/range-tombstones.js'
import { Arena } from '../../dist/memtable/arena.js'
import { Memtable } from '../../dist/memtable/memtable.js'
import { SortedMemtable } from '../../dist/memtable/sorted-memtable.js'
import { encodeBatch, type BatchOperation } from '../../dist/batch/batch.js'

/** What one key is: its value in hexadecimal, 'removed', or 'unknown' where nothing is known here. */
type Known = string

const letters = [0, 7, 97, 255]
/** Every key that the generated operations use, in key order. */
export const universe: Buffer[] = [Buffer.alloc(0)]
for (const a of letters) {
  universe.push(Buffer.from([a]))
  for (const b of letters) {
    universe.push(Buffer.from([a, b]))
    for (const c of [0, 97]) universe.push(Buffer.from(`${'same'.repeat(3)}\0${a}${b}${c}`))
  }
}
universe.sort((a, b) => Buffer.compare(a, b))

export const key = fc.constantFrom(...universe)
const value = fc
  .tuple(fc.oneof(fc.nat({ max: 20 }), fc.nat({ max: 700 })), fc.nat({ max: 255 }))
  .map(([length, byte]) => Buffer.alloc(length, byte))
const range = fc.oneof(
  fc.record({ gte: key, lt: key }),
  fc.record({ gt: key, lte: key }),
  fc.record({ gt: key }),
  fc.record({ lt: key }),
  fc.constant({})
)
export const operation: fc.Arbitrary<BatchOperation> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ type: fc.constant('put' as const), key, value }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('del' as const), key }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('clear' as const), range }) }
)

/** All keys in one of two slots, all tags the same: only comparing keys tells them apart. */
export class WeakHash extends KeyHash {
  override hash(bytes: Uint8Array, start: number, end: number): void {
    super.hash(bytes, start, end)
    this.low &= 1
    this.high = 0
  }
}

function changed(before: ReadonlyMap<string, Known>, operations: readonly BatchOperation[]) {
  const after = new Map(before)
  for (const entry of operations) {
    if (entry.type === 'clear') {
      const span = spanOf(entry.range)
      for (const probe of universe) {
        if (spanHolds(span, probe)) after.set(probe.toString('hex'), 'removed')
      }
    } else {
      const known = entry.type === 'put' ? Buffer.from(entry.value).toString('hex') : 'removed'
      after.set(Buffer.from(entry.key).toString('hex'), known)
    }
  }
  return after
}

/** A memtable beside a naive history of states. */
export class Model {
  readonly memtable: Memtable
  readonly keyHash: KeyHash
  seq: number
  /** Numbers of the open views and what they see. */
  readonly views = new Map<number, ReadonlyMap<string, Known>>()
  state: ReadonlyMap<string, Known> = new Map()
  readonly lookup = new Lookup()

  constructor(keyHash: KeyHash, firstSeq = 1, entryBytes = 256 * 1024) {
    this.keyHash = keyHash
    this.seq = firstSeq - 1
    this.memtable = new Memtable(Arena.make(entryBytes, 0), keyHash)
  }

  get newestViewSeq(): number {
    return Math.max(0, ...this.views.keys())
  }

  /** Applies a batch, or a further part of the last commit; false where there is no room. */
  apply(operations: readonly BatchOperation[], isPart = false): boolean {
    const canRepeat = this.newestViewSeq < this.seq && !this.memtable.isEmpty
    const hasRange = operations.some((entry) => entry.type === 'clear')
    const batch = Buffer.concat([Buffer.from('xyz'), encodeBatch(operations), Buffer.from('!')])
    const end = batch.length - 1
    if (!this.memtable.roomFor(end - 3, operations.length)) return false
    if (!isPart || !canRepeat || hasRange) this.seq++
    this.memtable.apply(batch, 3, end, this.seq, this.newestViewSeq)
    this.state = changed(this.state, operations)
    return true
  }

  openView(): void {
    this.views.set(this.seq, this.state)
  }

  /** Closes one of the open views. */
  closeView(choice: number): void {
    const open = [...this.views.keys()]
    if (open.length > 0) this.views.delete(open[choice % open.length]!)
  }

  /** Every state that somebody can see. */
  states(): [number, ReadonlyMap<string, Known>][] {
    return [...this.views, [newestSeq, this.state]]
  }

  check(): void {
    const { memtable, lookup } = this
    for (const [seq, state] of this.states()) {
      for (const probe of universe) {
        this.keyHash.hash(probe, 0, probe.length)
        const found = memtable.find(probe, this.keyHash, seq, lookup) === Found.present
        const known = knownOf(memtable.tombstones, probe, seq, found ? lookup : undefined)
        expectKnown(known, state, probe, seq)
      }
      this.#checkCursor(seq, state, false)
      this.#checkCursor(seq, state, true)
    }
  }

  /** The flush's view of it: every version, in order, from which each state can be read. */
  checkSorted(): void {
    const frozen = structuredClone(this.memtable.freeze())
    const sorted = new SortedMemtable(frozen)
    const versions = new Map<string, { seq: number; known: Known }[]>()
    let lastKey: Buffer | undefined
    let count = 0
    for (; sorted.next(); count++) {
      const here = Buffer.from(sorted.memory.u8.subarray(sorted.keyStart, sorted.keyEnd))
      const name = here.toString('hex')
      expect(sorted.isNewKey).toBe(lastKey === undefined || !here.equals(lastKey))
      if (sorted.isNewKey) {
        if (lastKey !== undefined) expect(Buffer.compare(lastKey, here)).toBe(-1)
        versions.set(name, [])
      }
      lastKey = here
      const list = versions.get(name)!
      if (list.length > 0) expect(sorted.seq).toBeLessThan(list.at(-1)!.seq)
      expect(sorted.seq).toBeGreaterThanOrEqual(frozen.minSeq)
      expect(sorted.seq).toBeLessThanOrEqual(frozen.maxSeq)
      const bytes = sorted.memory.u8.subarray(sorted.valueStart, sorted.valueEnd)
      list.push({ seq: sorted.seq, known: sorted.kind === 1 ? bytes.toString('hex') : 'removed' })
    }
    expect(sorted.next()).toBe(false)
    expect(count).toBe(frozen.entries)
    for (const [seq, state] of this.states()) {
      for (const probe of universe) {
        const list = versions.get(probe.toString('hex')) ?? []
        const version = list.find((one) => one.seq <= seq)
        const covering = sorted.tombstones.coveringSeq(probe, 0, probe.length, seq)
        const isHidden = version !== undefined && version.seq < covering
        const known = isHidden ? 'removed' : version?.known
        expectKnown(known ?? (covering > 0 ? 'removed' : 'unknown'), state, probe, seq)
      }
    }
  }

  #checkCursor(seq: number, state: ReadonlyMap<string, Known>, reverse: boolean): void {
    const { memtable, lookup } = this
    const cursor = memtable.cursor()
    const shown: string[] = []
    for (let more = cursor.seek(undefined, reverse); more; more = cursor.next()) {
      const here = cursor.memory.u8.subarray(cursor.keyStart, cursor.keyEnd)
      const found = cursor.read(seq, lookup) === Found.present
      const known = knownOf(memtable.tombstones, here, seq, found ? lookup : undefined)
      if (known !== 'removed' && known !== 'unknown') shown.push(here.toString('hex'))
    }
    expect(cursor.isValid).toBe(false)
    const expected = universe
      .map((probe) => probe.toString('hex'))
      .filter((name) => !['removed', 'unknown'].includes(state.get(name) ?? 'unknown'))
    expect(shown).toEqual(reverse ? expected.toReversed() : expected)
  }
}

function knownOf(
  tombstones: RangeTombstones,
  probe: Uint8Array,
  seq: number,
  version: Lookup | undefined
): Known {
  const covering = tombstones.coveringSeq(probe, 0, probe.length, seq)
  if (version === undefined || version.seq < covering) return covering > 0 ? 'removed' : 'unknown'
  expect(version.start % 4).toBe(0)
  if (version.isDelete) return 'removed'
  return version.memory.u8.subarray(version.start, version.end).toString('hex')
}

function expectKnown(
  known: Known,
  state: ReadonlyMap<string, Known>,
  probe: Buffer,
  seq: number
): void {
  const expected = state.get(probe.toString('hex')) ?? 'unknown'
  if (known === expected) return
  const at = `${probe.toString('hex')} at ${seq}: `
  expect(at + known).toBe(at + expected)
}
