import { EntryKind } from '../../../../dist/memtable/entry.js'
import type { EntrySource } from '../../../../dist/backends/lsm/jobs/merge-source.js'
import { RangeTombstones } from '../../../../dist/memtable/range-tombstones.js'

/** A version of a key, or a removed range from `key` up to `high`. */
export interface Version {
  readonly key: string
  readonly seq: number
  readonly kind: 'put' | 'delete' | 'clear'
  readonly value?: string
  readonly high?: string
}

/** What a reader at `view` sees of a key, looked for in the plainest way. */
export function valueAt(all: readonly Version[], key: string, view: number): string | undefined {
  let best: Version | undefined
  let cleared = 0
  for (const version of all) {
    if (version.seq > view) continue
    if (version.kind === 'clear') {
      const covers = version.key <= key && (version.high === undefined || key < version.high)
      if (covers) cleared = Math.max(cleared, version.seq)
    } else if (version.key === key && (best === undefined || version.seq > best.seq)) best = version
  }
  return best === undefined || best.kind === 'delete' || cleared > best.seq ? undefined : best.value
}

export function tombstonesOf(versions: readonly Version[]): RangeTombstones {
  const set = new RangeTombstones()
  for (const { kind, key, high, seq } of versions) {
    if (kind === 'clear')
      set.add(Buffer.from(key), high === undefined ? high : Buffer.from(high), seq)
  }
  return set
}

/** Versions of an array as a source; one buffer is used again, as a scanner does. */
export class ArraySource implements EntrySource {
  readonly tombstones: RangeTombstones
  readonly key = Buffer.alloc(64)
  readonly keyStart = 0
  keyEnd = 0
  seq = 0
  kind: EntryKind = EntryKind.delete
  value = Buffer.alloc(0)
  readonly valueStart = 0
  valueEnd = 0
  readonly bytesRead = 0
  isClosed = false
  readonly #versions: readonly Version[]
  readonly #isAsync: boolean
  #at = 0

  constructor(versions: readonly Version[], isAsync = false) {
    this.tombstones = tombstonesOf(versions)
    this.#isAsync = isAsync
    this.#versions = versions
      .filter(({ kind }) => kind !== 'clear')
      .toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : b.seq - a.seq))
  }

  next(): boolean | Promise<boolean> {
    if (this.#isAsync && this.#at % 3 === 0) return Promise.resolve().then(() => this.#step())
    return this.#step()
  }

  #step(): boolean {
    const version = this.#versions[this.#at++]
    this.key.fill(0xee)
    if (version === undefined) return false
    this.keyEnd = this.key.write(version.key)
    this.seq = version.seq
    this.kind = version.kind === 'put' ? EntryKind.put : EntryKind.delete
    this.value = Buffer.from(version.value ?? '')
    this.valueEnd = this.value.length
    return true
  }

  async loadValue(): Promise<void> {}

  async close(): Promise<void> {
    this.isClosed = true
  }
}
