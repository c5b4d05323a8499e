import { compareKeys, compareWithKey } from './arena.js'
import type { Arena } from './arena.js'
import { KeySorter } from './key-sorter.js'

/** References in a block at most; as many as a shift moves in little time. */
export const maxBlockRefs = 512
/** So full are blocks that are made at once: what comes in between finds room. */
const filledRefs = 384

interface Block {
  readonly refs: Uint32Array
  count: number
}

/**
 * The keys of a memtable in key order, as far as somebody asked for it: blocks of references, each
 * block's keys before the next one's. What was written since the last time is sorted by itself and
 * then merged in, block by block; the first time, that is all.
 *
 * Whoever holds a position remembers `version` with it: the position counts as long as that is the
 * same.
 */
export class KeyOrder {
  /** Keys in order: so many of the arena's key list, from its beginning. */
  size = 0
  /** Another one after every change. */
  version = 0

  readonly #arena: Arena
  readonly #u32: Uint32Array
  readonly #sorter: KeySorter
  #blocks: Block[] = []
  readonly #merged = new Uint32Array(2 * maxBlockRefs)

  constructor(arena: Arena) {
    this.#arena = arena
    this.#u32 = arena.u32
    this.#sorter = new KeySorter(arena)
  }

  get blockCount(): number {
    return this.#blocks.length
  }

  blockSize(block: number): number {
    return this.#blocks[block].count
  }

  refAt(block: number, index: number): number {
    return this.#blocks[block].refs[index]
  }

  /** Takes in the keys of the list up to the `end`th. */
  add(end: number): void {
    if (end <= this.size) return
    const listAt = this.#arena.keyListAt
    const added = this.#u32.slice(listAt + this.size, listAt + end)
    this.#sorter.sort(added)
    if (added.length > filledRefs) this.#sorter.clear()
    if (this.#blocks.length === 0) this.#blocks = blocksOf(added, 0, added.length)
    else if (added.length * 2 > this.size) this.#mergeAll(added)
    else this.#mergeIn(added)
    this.size = end
    this.version++
  }

  /** The last block that begins at or before the key; 0 where none does. */
  blockFor(key: Uint8Array, start: number, end: number): number {
    let low = 0
    let high = this.#blocks.length
    while (low < high) {
      const middle = (low + high) >> 1
      const first = this.#blocks[middle].refs[0]
      if (compareWithKey(this.#arena, first, key, start, end) < 0) high = middle
      else low = middle + 1
    }
    return low === 0 ? 0 : low - 1
  }

  /** Index in the block of the first key at or behind the given one; its size where none is. */
  indexIn(block: number, key: Uint8Array, start: number, end: number): number {
    const { refs, count } = this.#blocks[block]
    let low = 0
    let high = count
    while (low < high) {
      const middle = (low + high) >> 1
      if (compareWithKey(this.#arena, refs[middle], key, start, end) > 0) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Both in one walk, where there are many new keys. */
  #mergeAll(added: Uint32Array): void {
    const u32 = this.#u32
    const all = new Uint32Array(this.size + added.length)
    let to = 0
    let at = 0
    for (const { refs, count } of this.#blocks) {
      for (let i = 0; i < count; i++) {
        const ref = refs[i]
        while (at < added.length && compareKeys(u32, added[at], ref) < 0) all[to++] = added[at++]
        all[to++] = ref
      }
    }
    all.set(added.subarray(at), to)
    this.#blocks = blocksOf(all, 0, all.length)
  }

  /** Merges the new keys into the blocks they belong to. */
  #mergeIn(added: Uint32Array): void {
    const u32 = this.#u32
    let block = 0
    for (let from = 0; from < added.length;) {
      block = this.#blockBefore(added[from], block)
      let to = from + 1
      if (block + 1 < this.#blocks.length) {
        const next = this.#blocks[block + 1].refs[0]
        while (to < added.length && compareKeys(u32, added[to], next) < 0) to++
      } else {
        to = added.length
      }
      this.#mergeIntoBlock(block, added.subarray(from, to))
      from = to
    }
  }

  /** The last block from `from` on that begins before the key; `from` where none does. */
  #blockBefore(ref: number, from: number): number {
    const u32 = this.#u32
    let low = from
    let high = this.#blocks.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (compareKeys(u32, ref, this.#blocks[middle].refs[0]) < 0) high = middle
      else low = middle + 1
    }
    return low === from ? from : low - 1
  }

  #mergeIntoBlock(index: number, added: Uint32Array): void {
    const block = this.#blocks[index]
    const size = block.count + added.length
    if (size <= maxBlockRefs) {
      this.#mergeBackwards(block.refs, block.count, added)
      block.count = size
      return
    }
    const merged = size <= this.#merged.length ? this.#merged : new Uint32Array(size)
    merged.set(block.refs.subarray(0, block.count))
    this.#mergeBackwards(merged, block.count, added)
    const blocks = blocksOf(merged, 0, size)
    const rest = this.#blocks.splice(index)
    this.#blocks = this.#blocks.concat(blocks, rest.slice(1))
  }

  /** Merges into the sorted `refs[0, count)`, behind which there is room, from the last one on. */
  #mergeBackwards(refs: Uint32Array, count: number, added: Uint32Array): void {
    const u32 = this.#u32
    let high = count
    for (let i = added.length - 1; i >= 0; i--) {
      const ref = added[i]
      let low = 0
      let end = high
      while (low < end) {
        const middle = (low + end) >> 1
        if (compareKeys(u32, refs[middle], ref) < 0) low = middle + 1
        else end = middle
      }
      refs.copyWithin(low + i + 1, low, high)
      refs[low + i] = ref
      high = low
    }
  }
}

/** Blocks of `refs[from, to)`, evenly filled. */
function blocksOf(refs: Uint32Array, from: number, to: number): Block[] {
  const blocks: Block[] = []
  const count = Math.ceil((to - from) / filledRefs)
  for (let i = 0; i < count; i++) {
    const start = from + Math.floor(((to - from) * i) / count)
    const end = from + Math.floor(((to - from) * (i + 1)) / count)
    const block = { refs: new Uint32Array(maxBlockRefs), count: end - start }
    block.refs.set(refs.subarray(start, end))
    blocks.push(block)
  }
  return blocks
}
