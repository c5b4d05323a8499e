import type { PageBytes } from '../../../page/format.js'
import { compareKeys, keyHeaderWords } from './arena.js'

/** Fewer keys are sorted by comparing them. */
const shortRun = 16
/** Keys that agree even deeper than so many sorts can see are compared as a whole. */
const maxDepth = 64
/** References below fit beside five bytes of the key, others beside four. */
const shortRefs = 2 ** 24

/**
 * Sorts references to keys, all of them different, in key order: by the five bytes behind what the
 * keys have in common, which as numbers take a small part of the time of comparing keys, and again
 * what is equal there.
 */
export class KeySorter {
  readonly #u8: Uint8Array
  readonly #u32: Uint32Array
  readonly #hasShortRefs: boolean
  #refs: Uint32Array = new Uint32Array(0)
  #sortKeys = new BigUint64Array(0)
  /** The same as pairs of words, the lower first. */
  #words = new Uint32Array(0)

  constructor(memory: PageBytes) {
    this.#u8 = memory.u8
    this.#u32 = memory.u32
    this.#hasShortRefs = memory.u32.length <= shortRefs
  }

  /** Sorts them in place. */
  sort(refs: Uint32Array): void {
    if (this.#sortKeys.length < refs.length) {
      this.#sortKeys = new BigUint64Array(refs.length)
      this.#words = new Uint32Array(this.#sortKeys.buffer)
    }
    this.#refs = refs
    this.#sort(0, refs.length, 0, 0)
  }

  /** Gives back its memory. */
  clear(): void {
    this.#refs = new Uint32Array(0)
    this.#sortKeys = new BigUint64Array(0)
    this.#words = new Uint32Array(0)
  }

  /** Sorts a part, whose keys agree in their first `equal` bytes. */
  #sort(from: number, to: number, equal: number, depth: number): void {
    if (to - from <= shortRun) {
      this.#insertionSort(from, to)
      return
    }
    const refs = this.#refs
    const words = this.#words
    const offset = this.#commonEnd(from, to, equal)
    if (depth === maxDepth) {
      const u32 = this.#u32
      refs.subarray(from, to).sort((a, b) => compareKeys(u32, a, b))
      return
    }
    this.#fill(from, to, offset)
    this.#sortKeys.subarray(from, to).sort()
    const refMask = this.#hasShortRefs ? shortRefs - 1 : 0xffff_ffff
    let runStart = from
    for (let i = from; i < to; i++) {
      refs[i] = words[2 * i] & refMask
      const isLast = i + 1 === to || words[2 * i + 1] !== words[2 * i + 3]
      const low = words[2 * i] & ~refMask
      if (!isLast && low === (words[2 * i + 2] & ~refMask)) continue
      if (i > runStart) this.#sort(runStart, i + 1, offset, depth + 1)
      runStart = i + 1
    }
  }

  /** Sort keys: four or five bytes of the key, and the reference. */
  #fill(from: number, to: number, offset: number): void {
    const refs = this.#refs
    const words = this.#words
    const u8 = this.#u8
    const u32 = this.#u32
    const hasShortRefs = this.#hasShortRefs
    for (let i = from; i < to; i++) {
      const ref = refs[i]
      const at = (ref + keyHeaderWords) * 4 + offset
      const left = u32[ref + 1] - offset
      words[2 * i] = hasShortRefs && left > 4 ? ref | (u8[at + 4] << 24) : ref
      if (left >= 4) {
        words[2 * i + 1] = (u8[at] << 24) | (u8[at + 1] << 16) | (u8[at + 2] << 8) | u8[at + 3]
        continue
      }
      let head = 0
      for (let j = 0; j < left; j++) head |= u8[at + j] << (24 - 8 * j)
      words[2 * i + 1] = head
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
