import { assert } from '../../../base/assert.js'
import type { LongKeys, PageBytes } from '../../../page/format.js'
import { BlockMemory } from './block-memory.js'

/** What frames belong to: a table, with the frame of each of its blocks, -1 for none. */
export interface FrameOwner {
  readonly frameOf: Int32Array
  /** Large values and lists of versions in memory, by their place. */
  readonly largeAt: Map<number, LargeBlock>
  readonly level: number
  /** Called where the memory of its filter is needed for those of upper levels. */
  readonly dropFilter: () => void
}

/** The contents of a block that is no page. */
export interface LargeBlock {
  readonly owner: FrameOwner
  readonly units: number
  readonly memory: BlockMemory
  readonly sizeBytes: number
}

const defaultSlabBytes = 4 * 1024 * 1024
const minBudgetFrames = 32

/**
 * The blocks of all tables in memory, as sorted pages in frames of one size. A frame is an integer;
 * no object stands for a block:
 *
 *     const frame = table.frameOf[block]                        // -1: not resident
 *     const slab = cache.slabs[frame >> cache.slabShift]
 *     const base = (frame & cache.slabMask) << cache.blockShift
 *
 * A frame holds its block until the next `takeFrame` unless it is pinned. Frames beyond the budget
 * are evicted by a clock that gives a second chance to those whose `touched` byte is set: point
 * reads set it, scans do not, so a scan pushes out little but its own blocks. Filters, large values
 * and long keys are taken from the same budget; memory that frames once had is used again, never
 * given back.
 */
export class BlockCache {
  readonly slabs: BlockMemory[] = []
  readonly blockBytes: number
  readonly blockShift: number
  readonly slabShift: number
  readonly slabMask: number
  /** Frame → set by reads that want the block kept. */
  touched = new Uint8Array(0)
  /** Frame → lowest and highest sequence number in it. */
  minSeq = new Float64Array(0)
  maxSeq = new Float64Array(0)
  /** Frame → 1 where every entry is one version with its value in the page. */
  plain = new Uint8Array(0)
  readonly longKeys: FrameLongKeys

  /** Blocks that came into memory; lookups that filters answered, and that they let through. */
  loads = 0
  filterRejections = 0
  filterPasses = 0
  /** Data blocks that point lookups found in memory. */
  hits = 0
  /** Lookups that a filter let through although the table has nothing of the key. */
  filterFalse = 0

  readonly #cacheBytes: number
  #owners: (FrameOwner | undefined)[] = []
  #blockOf = new Int32Array(0)
  #pins = new Int32Array(0)
  readonly #freeFrames: number[] = []
  #frameCount = 0
  #hand = 0
  #resident = 0
  /** Least recently used first. */
  readonly #large = new Set<LargeBlock>()
  #largeBytes = 0
  #longKeyBytes = 0
  readonly #filters = new Map<FrameOwner, number>()
  #filterBytes = 0

  constructor(blockBytes: number, cacheBytes: number, slabBytes = defaultSlabBytes) {
    this.blockBytes = blockBytes
    this.blockShift = 31 - Math.clz32(blockBytes)
    this.slabShift = 31 - Math.clz32(Math.max(1, slabBytes >> this.blockShift))
    this.slabMask = (1 << this.slabShift) - 1
    this.#cacheBytes = cacheBytes
    this.longKeys = new FrameLongKeys()
  }

  get residentCount(): number {
    return this.#resident
  }

  get allocatedBytes(): number {
    const frames = this.slabs.length << (this.slabShift + this.blockShift)
    return frames + this.#largeBytes + this.#longKeyBytes + this.#filterBytes
  }

  get filterBytes(): number {
    return this.#filterBytes
  }

  get largeBytes(): number {
    return this.#largeBytes
  }

  baseOf(frame: number): number {
    return (frame & this.slabMask) << this.blockShift
  }

  /** A frame without a block; its contents are undefined. Evicts when over budget. */
  takeFrame(): number {
    const budget = this.#budgetFrames()
    // Large values may have shrunk the budget by many frames at once; that is made up for in steps.
    for (let i = 0; i < 8 && this.#resident >= budget && this.#evictOne(); i++);
    let frame = this.#freeFrames.pop()
    if (frame === undefined) {
      this.#addSlab()
      frame = this.#freeFrames.pop()!
    }
    this.#pins[frame] = 1
    this.#resident++
    return frame
  }

  /** Gives a taken frame to a block of a table. */
  install(
    frame: number,
    owner: FrameOwner,
    block: number,
    minSeq: number,
    maxSeq: number,
    isPlain: boolean,
    longKeys: Buffer[] | undefined
  ): void {
    assert(owner.frameOf[block] === -1, `block ${block} is in memory twice`)
    owner.frameOf[block] = frame
    this.#owners[frame] = owner
    this.#blockOf[frame] = block
    this.#pins[frame]--
    this.touched[frame] = 0
    this.minSeq[frame] = minSeq
    this.maxSeq[frame] = maxSeq
    this.plain[frame] = Number(isPlain)
    this.loads++
    if (longKeys === undefined) return
    this.longKeys.lists[frame] = longKeys
    for (const key of longKeys) this.#longKeyBytes += key.length
  }

  /** Gives back a taken frame that was not installed. */
  returnFrame(frame: number): void {
    this.#pins[frame] = 0
    this.#release(frame)
  }

  /** Keeps the frame as it is until the matching `unpin`. Pins nest. */
  pin(frame: number): void {
    this.#pins[frame]++
  }

  unpin(frame: number): void {
    assert(this.#pins[frame] > 0, `frame ${frame} is unpinned too often`)
    if (--this.#pins[frame] === 0 && this.#blockOf[frame] === -1) this.#release(frame)
  }

  /** A large block, which counts as used now. */
  findLarge(owner: FrameOwner, units: number): LargeBlock | undefined {
    const large = owner.largeAt.get(units)
    if (large === undefined) return undefined
    this.#large.delete(large)
    this.#large.add(large)
    return large
  }

  /** Keeps a large block; it stays at least until the next one comes. */
  addLarge(owner: FrameOwner, units: number, memory: BlockMemory, sizeBytes: number): LargeBlock {
    const large = { owner, units, memory, sizeBytes }
    owner.largeAt.set(units, large)
    this.#large.add(large)
    this.#largeBytes += large.sizeBytes
    for (const oldest of this.#large) {
      if (this.#largeBytes <= this.#cacheBytes >>> 1 || oldest === large) break
      this.#dropLarge(oldest)
    }
    return large
  }

  /**
   * Whether a table may keep a filter of so many bytes: all of them together take at most a quarter
   * of the budget, and tables of upper levels, which every lookup visits, come first.
   */
  admitFilter(owner: FrameOwner, sizeBytes: number): boolean {
    const limit = this.#cacheBytes >>> 2
    while (this.#filterBytes + sizeBytes > limit) {
      let deepest: FrameOwner | undefined
      for (const other of this.#filters.keys()) {
        if (other.level > (deepest ?? owner).level) deepest = other
      }
      if (deepest === undefined) return false
      this.#forgetFilter(deepest)
      deepest.dropFilter()
    }
    this.#filters.set(owner, sizeBytes)
    this.#filterBytes += sizeBytes
    return true
  }

  /** Forgets everything of a table. Whoever has a frame pinned keeps its bytes until `unpin`. */
  drop(owner: FrameOwner): void {
    const { frameOf } = owner
    for (let block = 0; block < frameOf.length; block++) {
      const frame = frameOf[block]
      if (frame === -1) continue
      frameOf[block] = -1
      this.#blockOf[frame] = -1
      if (this.#pins[frame] === 0) this.#release(frame)
    }
    for (const large of owner.largeAt.values()) this.#dropLarge(large)
    this.#forgetFilter(owner)
  }

  #budgetFrames(): number {
    const bytes = this.#cacheBytes - this.#filterBytes - this.#largeBytes - this.#longKeyBytes
    return Math.max(minBudgetFrames, Math.floor(bytes / this.blockBytes))
  }

  #forgetFilter(owner: FrameOwner): void {
    this.#filterBytes -= this.#filters.get(owner) ?? 0
    this.#filters.delete(owner)
  }

  #dropLarge(large: LargeBlock): void {
    large.owner.largeAt.delete(large.units)
    this.#large.delete(large)
    this.#largeBytes -= large.sizeBytes
  }

  /** Moves the clock's hand to the next unpinned frame without a second chance. */
  #evictOne(): boolean {
    const count = this.#frameCount
    const { touched } = this
    const blockOf = this.#blockOf
    // Two rounds take every second chance away; more means that all of it is pinned.
    const maxSteps = Math.min(2 * count, 65_536)
    let hand = this.#hand
    for (let step = 0; step < maxSteps; step++) {
      if (hand >= count) hand = 0
      const frame = hand++
      const block = blockOf[frame]
      if (block === -1 || this.#pins[frame] > 0) continue
      if (touched[frame] === 1) {
        touched[frame] = 0
        continue
      }
      this.#hand = hand
      this.#owners[frame]!.frameOf[block] = -1
      this.#release(frame)
      return true
    }
    this.#hand = hand
    return false
  }

  #release(frame: number): void {
    this.#blockOf[frame] = -1
    this.#owners[frame] = undefined
    this.touched[frame] = 0
    this.#resident--
    this.#freeFrames.push(frame)
    const longKeys = this.longKeys.lists[frame]
    if (longKeys === undefined) return
    this.longKeys.lists[frame] = undefined
    for (const key of longKeys) this.#longKeyBytes -= key.length
  }

  #addSlab(): void {
    const first = this.#frameCount
    const count = first + this.slabMask + 1
    this.slabs.push(new BlockMemory(new ArrayBuffer((this.slabMask + 1) << this.blockShift)))
    if (count > this.touched.length) {
      const length = Math.max(count, this.touched.length * 2)
      this.touched = grown(this.touched, new Uint8Array(length))
      this.plain = grown(this.plain, new Uint8Array(length))
      this.minSeq = grown(this.minSeq, new Float64Array(length))
      this.maxSeq = grown(this.maxSeq, new Float64Array(length))
      this.#pins = grown(this.#pins, new Int32Array(length))
      this.#blockOf = grown(this.#blockOf, new Int32Array(length).fill(-1))
    }
    for (let frame = first; frame < count; frame++) {
      this.#owners.push(undefined)
      this.longKeys.lists.push(undefined)
    }
    this.#frameCount = count
    for (let frame = count - 1; frame >= first; frame--) this.#freeFrames.push(frame)
  }
}

/** The long keys of the blocks in memory: a reference is the frame's number and an index. */
export class FrameLongKeys implements LongKeys {
  readonly lists: (Buffer[] | undefined)[] = []

  compare(
    memory: PageBytes,
    reference: number,
    key: Uint8Array,
    start: number,
    end: number,
    equalBytes: number
  ): number {
    const whole = this.keyAt(memory, reference)
    const length = Math.min(whole.length, end - start)
    for (let i = equalBytes; i < length; i++) {
      const difference = key[start + i] - whole[i]
      if (difference !== 0) return difference
    }
    return end - start - whole.length
  }

  /** The whole key that the reference at byte `reference` names. */
  keyAt(memory: PageBytes, reference: number): Buffer {
    const at = reference >>> 2
    const list = this.lists[memory.u32[at]]
    assert(list !== undefined, 'a long key of a block that is not in memory')
    return list[memory.u32[at + 1]]
  }
}

function grown<T extends Uint8Array | Int32Array | Float64Array>(old: T, replacement: T): T {
  replacement.set(old)
  return replacement
}
