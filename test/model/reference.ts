import { compareBytes } from '../../dist/base/bytes.js'

/** Keys as latin1 text: usable in a Map, and one character per byte. */
export type KeyText = string

/** A range of keys as text; at most one lower and one upper bound. */
export interface TextRange {
  readonly gt?: KeyText
  readonly gte?: KeyText
  readonly lt?: KeyText
  readonly lte?: KeyText
}

export type ReferenceOperation =
  | { readonly type: 'put'; readonly key: KeyText; readonly value: Buffer }
  | { readonly type: 'del'; readonly key: KeyText }
  | ({ readonly type: 'clear' } & TextRange)

export type Entries = Map<KeyText, Buffer>

export const bytesOf = (key: KeyText): Buffer => Buffer.from(key, 'latin1')
export const textOf = (key: Uint8Array): KeyText => Buffer.from(key).toString('latin1')

/** Order of latin1 text by code unit is order of unsigned bytes. */
export function contains({ gt, gte, lt, lte }: TextRange, key: KeyText): boolean {
  if (gte !== undefined ? key < gte : gt !== undefined && key <= gt) return false
  return lte !== undefined ? key <= lte : lt === undefined || key < lt
}

/** The range with its bounds as bytes, as the store takes it. */
export function rangeBytes(range: TextRange): Record<string, Buffer> {
  const bounds: Record<string, Buffer> = {}
  for (const [name, key] of Object.entries(range) as [string, KeyText | undefined][]) {
    if (key !== undefined) bounds[name] = bytesOf(key)
  }
  return bounds
}

export function applyOperation(entries: Entries, operation: ReferenceOperation): void {
  if (operation.type === 'put') entries.set(operation.key, operation.value)
  else if (operation.type === 'del') entries.delete(operation.key)
  else for (const key of entries.keys()) if (contains(operation, key)) entries.delete(key)
}

export function sortedEntries(
  entries: Entries,
  range: TextRange = {},
  reverse = false
): [KeyText, Buffer][] {
  const found = [...entries].filter(([key]) => contains(range, key))
  found.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return reverse ? found.reverse() : found
}

/**
 * What a store holds, as a plain map, and every commit since a known state: so the state after any
 * number of them can be told, which is what a crash may leave.
 */
export class Reference {
  #base: Entries = new Map()
  #baseSeq = 0
  #commits: (readonly ReferenceOperation[])[] = []
  #latest: Entries = new Map()

  /** Sequence number of the last commit. */
  get lastSeq(): number {
    return this.#baseSeq + this.#commits.length
  }

  get firstKnownSeq(): number {
    return this.#baseSeq
  }

  get latest(): Entries {
    return this.#latest
  }

  /** Records a commit and returns the sequence number it has to get. */
  commit(operations: readonly ReferenceOperation[]): number {
    this.#commits.push(operations)
    for (const operation of operations) applyOperation(this.#latest, operation)
    return this.lastSeq
  }

  /** What was there after the commit with this sequence number. */
  at(seq: number): Entries {
    if (seq === this.lastSeq) return this.#latest
    if (seq < this.#baseSeq || seq > this.lastSeq) {
      throw new Error(`no state ${seq}, known are ${this.#baseSeq} to ${this.lastSeq}`)
    }
    const entries = new Map(this.#base)
    for (const operations of this.#commits.slice(0, seq - this.#baseSeq)) {
      for (const operation of operations) applyOperation(entries, operation)
    }
    return entries
  }

  /** Forgets every commit after this one, and every older state. */
  settleAt(seq: number): void {
    this.#latest = new Map(this.at(seq))
    this.#base = new Map(this.#latest)
    this.#baseSeq = seq
    this.#commits = []
  }
}

/** The first difference between what should be there and what is; undefined when there is none. */
export function difference(
  expected: readonly [KeyText, Buffer][],
  found: Iterable<[Uint8Array, Uint8Array]>
): string | undefined {
  let index = 0
  for (const [keyBytes, value] of found) {
    const key = textOf(keyBytes)
    const wanted = expected[index++]
    if (wanted === undefined) return `unexpected entry ${show(key)} behind the last one`
    if (wanted[0] !== key) return `entry ${index - 1} has key ${show(key)}, not ${show(wanted[0])}`
    if (compareBytes(wanted[1], value) !== 0) {
      return (
        `the value of ${show(key)} has ${value.length} bytes (${show(textOf(value))}), ` +
        `not ${wanted[1].length} (${show(textOf(wanted[1]))})`
      )
    }
  }
  if (index === expected.length) return undefined
  return `${expected.length - index} entries are missing from ${show(expected[index]![0])} on`
}

export function show(text: string): string {
  const cut = text.length > 24 ? `${text.slice(0, 24)}… (${text.length} bytes)` : text
  return JSON.stringify(cut)
}
