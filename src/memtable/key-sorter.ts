import type { PageBytes } from '../page/format.js'
import { compareKeys, keyHeaderWords } from './arena.js'

/** Fewer keys are sorted by comparing them. */
const shortRun = 32
/** Keys that agree even deeper than so many sorts can see are compared as a whole. */
const maxDepth = 64
/** Bytes of a key that one sort looks at, and values of a byte. */
const headBytes = 8
const byteValues = 256

/** Keys on their way through a sort: a reference, and the eight bytes that it sorts by. */
interface Column {
  readonly refs: Uint32Array
  readonly heads: Uint32Array
  readonly tails: Uint32Array
}

/**
 * Sorts references to keys, all of them different, in key order: by the eight bytes behind what the
 * keys have in common, byte by byte from the last one, and again what is equal there. A byte in
 * which all keys agree costs nothing, nor do keys that are in order already.
 */
export class KeySorter {
  readonly #u8: Uint8Array
  readonly #u32: Uint32Array
  readonly #counts = new Uint32Array(headBytes * byteValues)
  #refs: Uint32Array = new Uint32Array(0)
  #source = columnOf(0)
  #target = columnOf(0)

  constructor(memory: PageBytes) {
    this.#u8 = memory.u8
    this.#u32 = memory.u32
  }

  /** Sorts them in place. */
  sort(refs: Uint32Array): void {
    if (this.#source.refs.length < refs.length) {
      this.#source = columnOf(refs.length)
      this.#target = columnOf(refs.length)
    }
    this.#refs = refs
    this.#sort(0, refs.length, 0, 0)
  }

  /** Gives back its memory. */
  clear(): void {
    this.#refs = new Uint32Array(0)
    this.#source = columnOf(0)
    this.#target = columnOf(0)
  }

  /** Sorts a part, whose keys agree in their first `equal` bytes. */
  #sort(from: number, to: number, equal: number, depth: number): void {
    if (to - from <= shortRun) {
      this.#insertionSort(from, to)
      return
    }
    const refs = this.#refs
    if (depth === maxDepth) {
      const u32 = this.#u32
      refs.subarray(from, to).sort((a, b) => compareKeys(u32, a, b))
      return
    }
    const offset = this.#commonEnd(from, to, equal)
    const count = to - from
    if (!this.#fill(from, count, offset)) this.#sortColumns(count)
    const sorted = this.#source
    refs.set(sorted.refs.subarray(0, count), from)
    // What is equal is noted before it is sorted, which uses the columns again.
    for (const [start, end] of equalRuns(sorted, count)) {
      this.#sort(from + start, from + end, offset, depth + 1)
    }
  }

  /** Fills the columns, and counts the values of each byte; true where all is in order already. */
  #fill(from: number, count: number, offset: number): boolean {
    const { refs, heads, tails } = this.#source
    const counts = this.#counts
    counts.fill(0)
    let isOrdered = true
    let lastHead = 0
    let lastTail = 0
    for (let i = 0; i < count; i++) {
      const ref = this.#refs[from + i]
      const head = this.#word(ref, offset)
      const tail = this.#word(ref, offset + 4)
      if (head < lastHead || (head === lastHead && tail < lastTail)) isOrdered = false
      lastHead = head
      lastTail = tail
      refs[i] = ref
      heads[i] = head
      tails[i] = tail
      counts[tail & 0xff]++
      counts[byteValues + ((tail >>> 8) & 0xff)]++
      counts[2 * byteValues + ((tail >>> 16) & 0xff)]++
      counts[3 * byteValues + (tail >>> 24)]++
      counts[4 * byteValues + (head & 0xff)]++
      counts[5 * byteValues + ((head >>> 8) & 0xff)]++
      counts[6 * byteValues + ((head >>> 16) & 0xff)]++
      counts[7 * byteValues + (head >>> 24)]++
    }
    return isOrdered
  }

  /** Four bytes of the key from `offset` as a big-endian number, zeros behind its end. */
  #word(ref: number, offset: number): number {
    const u8 = this.#u8
    const at = (ref + keyHeaderWords) * 4 + offset
    const left = this.#u32[ref + 1] - offset
    if (left >= 4) {
      return ((u8[at] << 24) | (u8[at + 1] << 16) | (u8[at + 2] << 8) | u8[at + 3]) >>> 0
    }
    let word = 0
    for (let i = 0; i < left; i++) word |= u8[at + i] << (24 - 8 * i)
    return word >>> 0
  }

  /** One stable pass over the columns for each byte that tells keys apart, the last one first. */
  #sortColumns(count: number): void {
    const counts = this.#counts
    for (let byte = 0; byte < headBytes; byte++) {
      const base = byte * byteValues
      const { heads, tails } = this.#source
      const words = byte < 4 ? tails : heads
      const shift = 8 * (byte & 3)
      if (counts[base + ((words[0] >>> shift) & 0xff)] === count) continue
      let sum = 0
      for (let value = base; value < base + byteValues; value++) {
        const here = counts[value]
        counts[value] = sum
        sum += here
      }
      scatter(this.#source, this.#target, count, words, shift, counts, base)
      const source = this.#source
      this.#source = this.#target
      this.#target = source
    }
  }

  #insertionSort(from: number, to: number): void {
    const refs = this.#refs
    const u32 = this.#u32
    for (let i = from + 1; i < to; i++) {
      const ref = refs[i]
      let at = i
      while (at > from && compareKeys(u32, refs[at - 1], ref) > 0) {
        refs[at] = refs[at - 1]
        at--
      }
      refs[at] = ref
    }
  }

  /** How far the keys of a part agree. */
  #commonEnd(from: number, to: number, equal: number): number {
    const refs = this.#refs
    const u8 = this.#u8
    const u32 = this.#u32
    const first = (refs[from] + keyHeaderWords) * 4
    let common = u32[refs[from] + 1]
    for (let i = from + 1; i < to; i++) {
      const ref = refs[i]
      const start = (ref + keyHeaderWords) * 4
      if (u32[ref + 1] < common) common = u32[ref + 1]
      let at = equal
      while (at < common && u8[start + at] === u8[first + at]) at++
      common = at
    }
    return common
  }
}

function columnOf(count: number): Column {
  const memory = new Uint32Array(3 * count)
  return {
    refs: memory.subarray(0, count),
    heads: memory.subarray(count, 2 * count),
    tails: memory.subarray(2 * count)
  }
}

/** Moves every key to its place by one byte; `counts` has where each value's keys begin. */
function scatter(
  source: Column,
  target: Column,
  count: number,
  words: Uint32Array,
  shift: number,
  counts: Uint32Array,
  base: number
): void {
  const { refs, heads, tails } = source
  const { refs: toRefs, heads: toHeads, tails: toTails } = target
  for (let i = 0; i < count; i++) {
    const to = counts[base + ((words[i] >>> shift) & 0xff)]++
    toRefs[to] = refs[i]
    toHeads[to] = heads[i]
    toTails[to] = tails[i]
  }
}

/** Stretches of two or more keys that the sort cannot tell apart. */
function equalRuns({ heads, tails }: Column, count: number): [start: number, end: number][] {
  const runs: [number, number][] = []
  let start = 0
  for (let i = 1; i <= count; i++) {
    if (i < count && heads[i] === heads[i - 1] && tails[i] === tails[i - 1]) continue
    if (i - start > 1) runs.push([start, i])
    start = i
  }
  return runs
}
