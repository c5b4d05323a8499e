import { Manifest } from '../../../../dist/backends/lsm/manifest/manifest.js'
import { settleTableFiles } from '../../../../dist/backends/lsm/manifest/table-files.js'
import type { Version } from '../../../../dist/backends/lsm/manifest/version.js'
import type { EditRequest } from '../../../../dist/backends/lsm/manifest/version-edit.js'
import {
  type TableMeta,
  tableName,
  temporaryName
} from '../../../../dist/backends/lsm/table-meta.js'
import type { SeededRandom } from '../../../../dist/base/random.js'
import { KintsugiError } from '../../../../dist/errors.js'
import type { Vfs } from '../../../../dist/vfs/vfs.js'
import { TestClock } from '../../../helpers/test-clock.js'
import { contextOf, directory, newDirectory, stateOf } from './fixture.js'

/** States are numbered in the order they were tried; `synced` says which one was acknowledged. */
export interface Fact {
  readonly kind: 'attempt' | 'synced'
  readonly id: number
  readonly state: string
}

export interface Witnesses {
  readonly attempt: (fact: Fact) => void
  readonly acknowledge: (fact: Fact) => void
}

/** A table's file in these tests: its record, as a footer, padded to its size. */
export function tableFile(table: TableMeta): Buffer {
  const { low, high } = table
  const text = JSON.stringify({
    ...table,
    low: Buffer.from(low).toString('hex'),
    high: high && Buffer.from(high).toString('hex')
  })
  return Buffer.from(text.padEnd(table.sizeBytes))
}

export function footerReader(vfs: Vfs) {
  return async (path: string): Promise<TableMeta> => {
    const file = await vfs.open(path, 'read')
    try {
      const bytes = Buffer.alloc(file.sizeSync())
      await file.read(bytes, 0)
      const parsed = JSON.parse(bytes.toString()) as TableMeta & { low: string; high?: string }
      return {
        ...parsed,
        low: Buffer.from(parsed.low, 'hex'),
        high: parsed.high === undefined ? undefined : Buffer.from(parsed.high, 'hex')
      }
    } catch (error) {
      if (error instanceof KintsugiError) throw error
      throw new KintsugiError('KINTSUGI_CORRUPTION', `${path} has no footer`, { path })
    } finally {
      await file.close()
    }
  }
}

/** A backend that keeps nothing but tables: flushes, compacts, retires, closes, opens again. */
export class ManifestUser {
  readonly clock = new TestClock()
  readonly #vfs: Vfs
  readonly #random: SeededRandom
  readonly #witnesses: Witnesses
  manifest!: Manifest
  failures = 0
  rolls = 0
  #epoch = 1
  #nextTable = 1
  #seq = 0
  #states = 0

  constructor(vfs: Vfs, random: SeededRandom, witnesses: Witnesses) {
    this.#vfs = vfs
    this.#random = random
    this.#witnesses = witnesses
  }

  get #context() {
    const random = this.#random
    return contextOf(this.#vfs, { clock: this.clock, random, epoch: this.#epoch })
  }

  async create(): Promise<void> {
    newDirectory(this.#vfs)
    this.manifest = await Manifest.create(this.#context)
    this.#nextTable = 1
    const fact = { id: this.#states++, state: stateOf(this.manifest.version) }
    this.#witnesses.attempt({ ...fact, kind: 'attempt' })
    this.#witnesses.acknowledge({ ...fact, kind: 'synced' })
  }

  async act(): Promise<void> {
    const { manifest } = this
    const kind = this.#random.below(20)
    if (kind < 8) await this.#append(await this.#flush(1 + this.#random.below(2)))
    else if (kind < 11) await this.#appendTwo()
    else if (kind < 14) await this.#append(await this.#compaction())
    else if (kind < 16) await this.#retire()
    else if (kind < 17) await this.#tolerating(() => manifest.acknowledge())
    else if (kind < 18) await this.#tolerating(() => manifest.settle())
    else this.clock.advance(20)
    this.rolls = Math.max(this.rolls, manifest.stats().manifestRolls ?? 0)
  }

  /** Two edits in one turn: the second is for what the first makes. */
  async #appendTwo(): Promise<void> {
    const first = await this.#flush(1)
    const second = await this.#flush(1)
    const before = this.manifest.version
    const between = first ? before.apply({ ...empty, ...first }) : before
    await Promise.all([this.#append(first, before), this.#append(second, between)])
  }

  async #append(request: EditRequest | undefined, base = this.manifest.version): Promise<void> {
    if (!request) return
    const state = stateOf(base.apply({ ...empty, ...request }))
    const fact = { id: this.#states++, state }
    this.#witnesses.attempt({ ...fact, kind: 'attempt' })
    await this.#tolerating(async () => {
      await this.manifest.append(request)
      this.#witnesses.acknowledge({ ...fact, kind: 'synced' })
    })
  }

  async #flush(count: number): Promise<EditRequest | undefined> {
    const firstOutput = this.#nextTable
    const added: TableMeta[] = []
    this.#nextTable += count
    for (let i = 0; i < count; i++) {
      const seq = ++this.#seq
      const job = { firstOutput, isLast: i === count - 1, inputs: [] }
      added.push(this.#table(firstOutput + i, 0, 0, 100, seq, seq, job))
    }
    if (!(await this.#writeTables(added))) return undefined
    return { added, durableSeq: this.#seq, nextTable: this.#nextTable }
  }

  /** Everything of level 0 and 1 goes to level 1, or one table from there to level 2. */
  async #compaction(): Promise<EditRequest | undefined> {
    const { levels } = this.manifest.version
    const inputs = [...(levels[0] ?? []), ...(levels[1] ?? [])]
    if (inputs.length === 0) return undefined
    if (this.#random.below(4) === 0 && levels.length === 2 && levels[1].length > 0) {
      const moved = levels[1][0]
      return { added: [{ ...moved, level: 2 }], removed: [moved.number] }
    }
    const level = 1 + this.#random.below(2)
    const numbers = [...inputs, ...(level === 2 ? (levels[2] ?? []) : [])]
    const maxSeq = Math.max(...numbers.map((table) => table.maxSeq))
    const minSeq = Math.min(...numbers.map((table) => table.minSeq))
    const count = 1 + this.#random.below(4)
    const firstOutput = this.#nextTable
    this.#nextTable += count
    const added: TableMeta[] = []
    for (let i = 0; i < count; i++) {
      const job = {
        firstOutput,
        isLast: i === count - 1,
        inputs: numbers.map(({ number }) => number)
      }
      const [low, high] = [(100 * i) / count, (100 * (i + 1)) / count]
      added.push(this.#table(firstOutput + i, level, low, high, minSeq, maxSeq, job))
    }
    if (!(await this.#writeTables(added))) return undefined
    return { added, removed: numbers.map(({ number }) => number) }
  }

  #table(
    number: number,
    level: number,
    low: number,
    high: number,
    minSeq: number,
    maxSeq: number,
    job: TableMeta['job']
  ): TableMeta {
    const keyOf = (value: number) => Buffer.from(String(Math.floor(value)).padStart(50, '0'))
    const figures = {
      entries: 1,
      deletes: 0,
      rangeTombstones: 0,
      rawBytes: 9,
      sumLow: 1,
      sumHigh: 2
    }
    const sizeBytes = 900 + number + 9 * job.inputs.length
    const [lowKey, highKey] = [keyOf(low), high === 100 ? undefined : keyOf(high)]
    return { number, level, sizeBytes, minSeq, maxSeq, ...figures, low: lowKey, high: highKey, job }
  }

  /** Rule B2: temporaries, synced, renamed, the directory synced; only then the edit. */
  async #writeTables(tables: readonly TableMeta[]): Promise<boolean> {
    return this.#tolerating(async () => {
      for (const table of tables) {
        const path = `${directory}/${temporaryName(table.number, this.#epoch)}`
        const file = await this.#vfs.open(path, 'create')
        try {
          await file.writeAndDatasync(tableFile(table), 0)
        } finally {
          await file.close()
        }
      }
      for (const { number } of tables) {
        const path = `${directory}/${tableName(number)}`
        await this.#vfs.rename(`${directory}/${temporaryName(number, this.#epoch)}`, path)
      }
      await this.#vfs.syncDirectory(directory)
    })
  }

  async #retire(): Promise<void> {
    const numbers = this.manifest.version.obsolete.map(({ number }) => number)
    if (numbers.length === 0) return
    await this.#tolerating(async () => {
      await this.manifest.append({ retired: numbers })
      for (const number of numbers) await this.#vfs.unlink(`${directory}/${tableName(number)}`)
      await this.#vfs.syncDirectory(directory)
      this.manifest.forget(numbers)
    })
  }

  async #tolerating(action: () => Promise<void>): Promise<boolean> {
    try {
      await action()
      return true
    } catch (error) {
      if (!(error instanceof KintsugiError) || error.code === 'KINTSUGI_INTERNAL') throw error
      this.failures++
      return false
    }
  }

  /** Closes and opens again, as often as it takes. */
  async reopen(): Promise<void> {
    await this.#tolerating(() => this.manifest.close(this.#random.below(3) > 0))
    for (;;) {
      this.#epoch++
      let manifest: Manifest | undefined
      const isOpen = await this.#tolerating(async () => {
        manifest = await Manifest.open(this.#context)
        const files = await settleTableFiles(this.#context, manifest, footerReader(this.#vfs))
        this.#nextTable = Math.max(this.#nextTable, files.nextTable)
        this.manifest = manifest
      })
      if (isOpen) break
      await this.#tolerating(async () => manifest?.close(false))
      if (this.failures > 500) throw new Error('it does not open')
    }
    // An append that was refused may have come true.
    const fact = { id: this.#states++, state: stateOf(this.manifest.version) }
    this.#witnesses.attempt({ ...fact, kind: 'attempt' })
    this.#witnesses.acknowledge({ ...fact, kind: 'synced' })
  }
}

const empty = { added: [], removed: [], retired: [], leftovers: [] }

/** A crash may leave the last acknowledged state, or a later one that was tried. */
export function checkState(
  version: Version,
  acknowledged: readonly Fact[],
  attempted: readonly Fact[]
): string | undefined {
  const last = acknowledged.at(-1)
  if (!last) return undefined
  const found = stateOf(version)
  const allowed = attempted.filter(({ id }) => id >= last.id).map(({ state }) => state)
  return allowed.includes(found)
    ? undefined
    : `found ${found}; allowed:\n${allowed.slice(0, 5).join('\n')}`
}
