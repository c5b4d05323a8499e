import { compareBytes } from '../base/bytes.js'
import { readLong, writeLong } from '../base/words.js'
import { KintsugiError } from '../errors.js'
import { compareHighs, isBelow } from './key-span.js'
import type { KeySpan } from './key-span.js'

/** A span of keys and the commits that removed all of it. */
export interface TombstoneSpan extends KeySpan {
  /** Newest first, without repetition. */
  readonly seqs: readonly number[]
}

/** One removed range, as a commit brings it. */
export interface RemovedRange extends KeySpan {
  readonly seq: number
}

const headerBytes = 4
/** Lengths of both bounds and number of sequence numbers, each a word. */
const spanHeaderBytes = 12
const seqBytes = 8
/** Stands for the length of an upper bound where there is none. */
const noHigh = 0xffff_ffff
/** As many arguments as a call takes without fear for the stack. */
const maxSpliced = 1024
/** Ranges that are added one by one before what they make is merged. */
const rangesPerSet = 64

/**
 * The removed ranges of a memtable or a table. A tombstone of sequence number t hides the versions
 * of its keys that are older than t; a version of t itself is visible, because it was written by the
 * same commit after the range was removed.
 *
 * Ranges that overlap are cut where one begins or ends: what is kept are disjoint spans in key
 * order, each with all the numbers that cover it; neighbours with the same numbers are one span. So
 * a lookup is one binary search, without allocation.
 *
 * Encoded (words little-endian, checked by the block around it):
 *
 *     count u32, then per span: lowBytes u32 | highBytes u32 | seqCount u32 | seqs u64 × seqCount
 *                               | low | high (none where highBytes is all ones: no upper bound)
 */
export class RangeTombstones {
  #spans: TombstoneSpan[] = []
  #seqCount = 0

  get isEmpty(): boolean {
    return this.#spans.length === 0
  }

  /** Sequence numbers over all spans: what the set costs in memory and time. */
  get seqCount(): number {
    return this.#seqCount
  }

  /** In key order. Valid until the next `add`. */
  spans(): readonly TombstoneSpan[] {
    return this.#spans
  }

  /**
   * Adds a removed range, of whose bounds it keeps the bytes. Numbers that the new one hides are
   * dropped where no reader can tell: those above `newestViewSeq`, the newest view anyone holds.
   */
  add(
    low: Uint8Array,
    high: Uint8Array | undefined,
    seq: number,
    newestViewSeq = Number.MAX_SAFE_INTEGER
  ): void {
    if (!isBelow(low, high)) return
    const spans = this.#spans
    // The neighbours that the range touches are taken along: they may become one with it.
    const first = this.#firstEndingAtOrBehind(low)
    const pieces = new SpanList()
    let at = first
    let from: Uint8Array | undefined = low
    for (; at < spans.length && compareHighs(spans[at].low, high) <= 0; at++) {
      const span = spans[at]
      if (from !== undefined && compareBytes(from, span.low) < 0) {
        pieces.push(from, span.low, [seq])
        from = span.low
      }
      from = addToSpan(pieces, span, from, high, seq, newestViewSeq)
    }
    if (from !== undefined && isBelow(from, high)) pieces.push(from, high, [seq])
    for (let i = first; i < at; i++) this.#seqCount -= spans[i].seqs.length
    this.#seqCount += pieces.seqCount
    if (pieces.spans.length <= maxSpliced) spans.splice(first, at - first, ...pieces.spans)
    else this.#spans = spans.slice(0, first).concat(pieces.spans, spans.slice(at))
  }

  /** The newest number up to `maxSeq` that covers `key[start, end)`; 0 where there is none. */
  coveringSeq(key: Uint8Array, start: number, end: number, maxSeq: number): number {
    const spans = this.#spans
    let low = 0
    let high = spans.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (compareKey(key, start, end, spans[middle].low) < 0) high = middle
      else low = middle + 1
    }
    if (low === 0) return 0
    const span = spans[low - 1]
    if (span.high !== undefined && compareKey(key, start, end, span.high) >= 0) return 0
    const seqs = span.seqs
    for (let i = 0; i < seqs.length; i++) if (seqs[i] <= maxSeq) return seqs[i]
    return 0
  }

  /** The part within the bounds; undefined: without bound. */
  clip(low: Uint8Array | undefined, high: Uint8Array | undefined): RangeTombstones {
    const list = new SpanList()
    const first = low === undefined ? 0 : this.#firstEndingAtOrBehind(low)
    for (let i = first; i < this.#spans.length; i++) {
      const span = this.#spans[i]
      if (!isBelow(span.low, high)) break
      const from = low !== undefined && compareBytes(span.low, low) < 0 ? low : span.low
      list.push(from, compareHighs(span.high, high) < 0 ? span.high : high, span.seqs)
    }
    return RangeTombstones.#of(list)
  }

  /** All of them in one. */
  static merge(all: readonly RangeTombstones[]): RangeTombstones {
    return RangeTombstones.#combine(all, Number.MAX_SAFE_INTEGER)
  }

  /** Any number of ranges at once, of which only the newest of each key is kept. */
  static newestOf(ranges: readonly RemovedRange[]): RangeTombstones {
    const sets: RangeTombstones[] = []
    for (let i = 0; i < ranges.length; i += rangesPerSet) {
      const set = new RangeTombstones()
      for (const { low, high, seq } of ranges.slice(i, i + rangesPerSet)) set.add(low, high, seq, 0)
      sets.push(set)
    }
    return RangeTombstones.#combine(sets, 0)
  }

  /** Both in one, less what newer numbers hide where no view tells; see `add`. */
  with(other: RangeTombstones, newestViewSeq: number): RangeTombstones {
    return RangeTombstones.#combine([this, other], newestViewSeq)
  }

  static #combine(all: readonly RangeTombstones[], newestViewSeq: number): RangeTombstones {
    const sets = all.filter((set) => !set.isEmpty).map((set) => set.#spans)
    // By halves: a span is looked at as often as there are halvings.
    while (sets.length > 1) {
      const pairs = sets.splice(0)
      for (let i = 0; i < pairs.length; i += 2) {
        const isPair = i + 1 < pairs.length
        sets.push(isPair ? mergeTwo(pairs[i], pairs[i + 1], newestViewSeq) : pairs[i])
      }
    }
    const list = new SpanList()
    for (const { low, high, seqs } of sets[0] ?? []) list.push(low, high, seqs)
    return RangeTombstones.#of(list)
  }

  /**
   * What a merge has to keep, given the views that are open (rising). Of the numbers between two
   * neighbouring views only the newest matters to anyone. With `isBottom` nothing older lies outside
   * of the merge, so that the numbers up to the oldest view go as well: what they hide, no view
   * needs, so that the merge itself leaves it out. A newer number stays, as it hides what is kept
   * for the views before it.
   */
  retain(viewSeqs: readonly number[], isBottom: boolean): RangeTombstones {
    const list = new SpanList()
    for (const { low, high, seqs } of this.#spans) {
      const kept: number[] = []
      let view = viewSeqs.length - 1
      for (const seq of seqs) {
        // The views that a kept, newer number already answers for.
        while (view >= 0 && viewSeqs[view] >= seq) view--
        if (isBottom && view < 0) break
        if (kept.length === 0 || isAskedBetween(viewSeqs, seq, kept.at(-1)!)) kept.push(seq)
      }
      if (kept.length > 0) list.push(low, high, kept)
    }
    return RangeTombstones.#of(list)
  }

  encode(): Buffer {
    let bytes = headerBytes
    for (const { low, high, seqs } of this.#spans) {
      bytes += spanHeaderBytes + seqs.length * seqBytes + low.length + (high?.length ?? 0)
    }
    const target = Buffer.allocUnsafe(bytes)
    target.writeUInt32LE(this.#spans.length, 0)
    let at = headerBytes
    for (const { low, high, seqs } of this.#spans) {
      target.writeUInt32LE(low.length, at)
      target.writeUInt32LE(high?.length ?? noHigh, at + 4)
      target.writeUInt32LE(seqs.length, at + 8)
      at += spanHeaderBytes
      for (const seq of seqs) {
        writeLong(target, at, seq)
        at += seqBytes
      }
      target.set(low, at)
      at += low.length
      if (high === undefined) continue
      target.set(high, at)
      at += high.length
    }
    return target
  }

  /** Throws CORRUPTION where the bytes are not what `encode` makes. The bytes are copied. */
  static decode(encoded: Uint8Array): RangeTombstones {
    const bytes = Buffer.from(encoded)
    const list = new SpanList()
    if (bytes.length < headerBytes) throw malformed('they end inside the header')
    const count = bytes.readUInt32LE(0)
    let at = headerBytes
    let previousHigh: Uint8Array | undefined = Buffer.alloc(0)
    for (let i = 0; i < count; i++) {
      const span = decodeSpan(bytes, at)
      if (!isBelow(span.low, span.high)) throw malformed('a span is empty')
      if (previousHigh === undefined || compareBytes(previousHigh, span.low) > 0) {
        throw malformed('spans out of order')
      }
      previousHigh = span.high
      list.push(span.low, span.high, span.seqs)
      at = span.end
    }
    if (at !== bytes.length) throw malformed('bytes behind the last span')
    return RangeTombstones.#of(list)
  }

  static #of(list: SpanList): RangeTombstones {
    const made = new RangeTombstones()
    made.#spans = list.spans
    made.#seqCount = list.seqCount
    return made
  }

  /** Index of the first span whose upper bound is `key` or behind it. */
  #firstEndingAtOrBehind(key: Uint8Array): number {
    const spans = this.#spans
    let low = 0
    let high = spans.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (compareHighs(spans[middle].high, key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Spans in key order as they come to be; neighbours with the same numbers become one. */
class SpanList {
  readonly spans: TombstoneSpan[] = []
  seqCount = 0

  /** A span that does not begin before the end of the last one; ignored where it is empty. */
  push(low: Uint8Array, high: Uint8Array | undefined, seqs: readonly number[]): void {
    if (!isBelow(low, high)) return
    const last = this.spans.at(-1)
    const touches = last?.high !== undefined && compareBytes(last.high, low) === 0
    if (touches && haveSameSeqs(last.seqs, seqs)) {
      this.spans[this.spans.length - 1] = { low: last.low, high, seqs: last.seqs }
      return
    }
    this.spans.push({ low, high, seqs })
    this.seqCount += seqs.length
  }
}

/**
 * Pushes the pieces of a span, `seq` added from `from` up to `high`; returns where the range goes on
 * behind the span, undefined where it does not.
 */
function addToSpan(
  pieces: SpanList,
  span: TombstoneSpan,
  from: Uint8Array | undefined,
  high: Uint8Array | undefined,
  seq: number,
  newestViewSeq: number
): Uint8Array | undefined {
  if (from === undefined || !isBelow(from, high) || !isBelow(from, span.high)) {
    pieces.push(span.low, span.high, span.seqs)
    return from
  }
  const to = compareHighs(span.high, high) < 0 ? span.high : high
  pieces.push(span.low, from, span.seqs)
  pieces.push(from, to, withSeq(span.seqs, seq, newestViewSeq))
  if (to !== undefined) pieces.push(to, span.high, span.seqs)
  return to
}

function withSeq(seqs: readonly number[], seq: number, newestViewSeq: number): readonly number[] {
  if (seqs[0] === seq) return seqs
  if (seqs[0] > seq) return union(seqs, [seq], newestViewSeq)
  return [seq, ...seqs.filter((other) => other <= newestViewSeq)]
}

function mergeTwo(a: TombstoneSpan[], b: TombstoneSpan[], newestViewSeq: number): TombstoneSpan[] {
  const list = new SpanList()
  let atA = 0
  let atB = 0
  // What lies before is merged.
  let from: Uint8Array = Buffer.alloc(0)
  while (atA < a.length && atB < b.length) {
    const spanA = a[atA]
    const spanB = b[atB]
    const lowA = compareBytes(spanA.low, from) < 0 ? from : spanA.low
    const lowB = compareBytes(spanB.low, from) < 0 ? from : spanB.low
    const order = compareBytes(lowA, lowB)
    const [first, low, other] = order <= 0 ? [spanA, lowA, lowB] : [spanB, lowB, lowA]
    // Up to the other's beginning one of them stands alone, then both up to the nearer end.
    if (order === 0) {
      const high = compareHighs(spanA.high, spanB.high) < 0 ? spanA.high : spanB.high
      list.push(low, high, union(spanA.seqs, spanB.seqs, newestViewSeq))
      if (compareHighs(spanA.high, high) === 0) atA++
      if (compareHighs(spanB.high, high) === 0) atB++
      if (high !== undefined) from = high
    } else {
      const isWhole = compareHighs(first.high, other) <= 0
      list.push(low, isWhole ? first.high : other, first.seqs)
      if (!isWhole) from = other
      else if (order < 0) atA++
      else atB++
    }
  }
  for (const rest of [a.slice(atA), b.slice(atB)]) {
    for (const { low, high, seqs } of rest) {
      list.push(compareBytes(low, from) < 0 ? from : low, high, seqs)
    }
  }
  return list.spans
}

/** Both lists in one, newest first, less what the newest hides from everyone. */
function union(
  a: readonly number[],
  b: readonly number[],
  newestViewSeq: number
): readonly number[] {
  const all = [...new Set([...a, ...b])].sort((x, y) => y - x)
  return all.filter((seq, i) => i === 0 || seq <= newestViewSeq)
}

/** True where a view lies from `seq` on and before `newer`. */
function isAskedBetween(viewSeqs: readonly number[], seq: number, newer: number): boolean {
  return viewSeqs.some((view) => view >= seq && view < newer)
}

function haveSameSeqs(a: readonly number[], b: readonly number[]): boolean {
  if (a === b) return true
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** Order of `key[start, end)` and a bound. */
function compareKey(key: Uint8Array, start: number, end: number, bound: Uint8Array): number {
  const length = Math.min(end - start, bound.length)
  for (let i = 0; i < length; i++) {
    const difference = key[start + i] - bound[i]
    if (difference !== 0) return difference
  }
  return end - start - bound.length
}

function decodeSpan(bytes: Buffer, at: number): TombstoneSpan & { end: number } {
  if (bytes.length - at < spanHeaderBytes) throw malformed('they end inside a span')
  const lowBytes = bytes.readUInt32LE(at)
  const highBytes = bytes.readUInt32LE(at + 4)
  const seqCount = bytes.readUInt32LE(at + 8)
  const seqsAt = at + spanHeaderBytes
  const lowAt = seqsAt + seqCount * seqBytes
  const highAt = lowAt + lowBytes
  const end = highAt + (highBytes === noHigh ? 0 : highBytes)
  if (end > bytes.length) throw malformed('a span is longer than all of them')
  if (seqCount === 0) throw malformed('a span without a sequence number')
  const seqs: number[] = []
  for (let i = 0; i < seqCount; i++) {
    const seq = readLong(bytes, seqsAt + i * seqBytes)
    const isFalling = i === 0 ? Number.isSafeInteger(seq) : seq < seqs[i - 1]
    if (seq === 0 || !isFalling) throw malformed('sequence numbers out of order')
    seqs.push(seq)
  }
  const high = highBytes === noHigh ? undefined : bytes.subarray(highAt, end)
  return { low: bytes.subarray(lowAt, highAt), high, seqs, end }
}

function malformed(what: string): KintsugiError {
  return new KintsugiError('KINTSUGI_CORRUPTION', `malformed range tombstones: ${what}`)
}
