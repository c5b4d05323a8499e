import type { KeyHash } from '../../memtable/key-hash.js'
import { CopyPool } from '../../page/copy-pool.js'
import type { PageBytes } from '../../page/format.js'
import { StoredValue } from './format.js'

/** Of the memory for caches, the part that this one takes; LevelDB's has the rest. */
const share = 1 / 4
const maxCacheBytes = 2 ** 30
/** It begins with so much and grows with what is read. */
const firstSlots = 1024

const slotBytes = 256
const slotWords = slotBytes >>> 2
/** Words in front of a slot's key, which its value follows, 4-byte aligned. */
const Slot = { generation: 0, hash: 1, keyBytes: 2, valueBytes: 3, key: 4 } as const
const maxEntryBytes = slotBytes - 4 * Slot.key

/** Of `cacheBytes`, those for values that were read. */
export function valueCacheBytes(cacheBytes: number): number {
  const slots = Math.min(cacheBytes * share, maxCacheBytes) / slotBytes
  return slotBytes * 2 ** Math.floor(Math.log2(slots))
}

/** An epoch in which nothing is read. */
export const noEpoch = -1

/**
 * Small values that point reads got from LevelDB and found whole, so that the next read of the key
 * asks neither LevelDB nor its thread. Each key has one slot, which the last one read takes.
 *
 * It knows what LevelDB has between two persists: whoever reads looks into the memtables first, which
 * hide what a persist is changing, and when it has ended everything here is forgotten. What is read
 * without a snapshot while a persist begins may be of before or after it. So a read belongs to an
 * epoch, and its value is kept only while that lasts.
 */
export class ValueCache {
  hits = 0
  misses = 0
  readonly #maxSlots: number
  readonly #hash: KeyHash
  readonly #pool = new CopyPool()
  #memory: PageBytes = { u8: Buffer.alloc(0), u32: new Uint32Array(0) }
  #slots = 0
  #keptSinceGrown = 0
  /** Of the slots that count; 0 is in none. */
  #generation = 1
  #epoch = 0

  constructor(sizeBytes: number, hash: KeyHash) {
    this.#maxSlots = sizeBytes / slotBytes
    this.#hash = hash
  }

  get allocatedBytes(): number {
    return this.#memory.u8.length
  }

  /** What a read has to name when its value is to be kept. */
  get epoch(): number {
    return this.#epoch
  }

  /** A persist is about to change what LevelDB has. */
  beginPersist(): void {
    this.#epoch++
  }

  /** The memtables no longer hide what LevelDB has now. */
  renew(): void {
    this.#epoch++
    this.#generation++
  }

  /** A copy of the value of a user's key, the caller's own; null where it is not known. */
  get(key: Uint8Array): Buffer | null {
    const { length } = key
    if (this.#slots === 0 || length > maxEntryBytes) return null
    const slot = this.#slotOf(key, 0)
    const { u8, u32 } = this.#memory
    if (
      u32[slot + Slot.generation] !== this.#generation ||
      u32[slot + Slot.hash] !== this.#hash.high >>> 0 ||
      u32[slot + Slot.keyBytes] !== length
    ) {
      return null
    }
    const start = (slot + Slot.key) << 2
    for (let i = 0; i < length; i++) if (u8[start + i] !== key[i]) return null
    this.hits++
    const valueStart = start + ((length + 3) & ~3)
    return this.#pool.copy(this.#memory, valueStart, u32[slot + Slot.valueBytes])
  }

  /** Keeps what a read of an epoch found under a stored key: the value of a stored one. */
  keep(storedKey: Uint8Array, stored: Buffer, epoch: number): void {
    this.misses++
    const keyBytes = storedKey.length - 1
    const keyRoom = (keyBytes + 3) & ~3
    const valueBytes = stored.length - StoredValue.value
    if (epoch !== this.#epoch || keyRoom + valueBytes > maxEntryBytes) return
    if (++this.#keptSinceGrown > this.#slots && this.#slots < this.#maxSlots) this.#grow()
    const slot = this.#slotOf(storedKey, 1)
    const { u8, u32 } = this.#memory
    u32[slot + Slot.generation] = this.#generation
    u32[slot + Slot.hash] = this.#hash.high
    u32[slot + Slot.keyBytes] = keyBytes
    u32[slot + Slot.valueBytes] = valueBytes
    const start = (slot + Slot.key) << 2
    for (let i = 0; i < keyBytes; i++) u8[start + i] = storedKey[i + 1]
    stored.copy(u8, start + keyRoom, StoredValue.value)
  }

  /** The slot's first word; leaves the hash of the key, which begins at `start`, behind. */
  #slotOf(key: Uint8Array, start: number): number {
    this.#hash.hash(key, start, key.length)
    return (this.#hash.low & (this.#slots - 1)) * slotWords
  }

  /** Begins anew with more memory; what there was is read again when it is wanted. */
  #grow(): void {
    this.#slots = Math.min(Math.max(this.#slots * 4, firstSlots), this.#maxSlots)
    const memory = new ArrayBuffer(this.#slots * slotBytes)
    this.#memory = { u8: Buffer.from(memory), u32: new Uint32Array(memory) }
    this.#keptSinceGrown = 0
  }
}
