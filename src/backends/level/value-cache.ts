import type { KeyHash } from '../../memtable/key-hash.js'
import { CopyPool } from '../../page/copy-pool.js'
import type { PageBytes } from '../../page/format.js'
import { StoredValue } from './format.js'

/** Of the memory for caches, the part that this one takes; LevelDB's has the rest. */
const share = 1 / 4
const maxCacheBytes = 2 ** 30
/** Of that, an eighth is for finding things; there is a place for each so many bytes. */
const indexShare = 1 / 8
const bytesPerPlace = 128

const segmentBytes = 64 * 1024
const segmentWords = segmentBytes >>> 2
/** Words in front of an entry's key, which its value follows, 4-byte aligned. */
const Head = { keyBytes: 0, valueBytes: 1, key: 2 } as const
/** The most words of an entry. */
const maxEntryWords = 1024
const maxKeyBytes = 4 * (maxEntryWords - Head.key)

/** Words of a key's place: half of its hash, and where its entry was written in which lap. */
const Place = { hash: 0, lap: 1, word: 2 } as const
const placeWords = 4
/** A key may have one of so many places, which lie in one line of the processor's cache. */
const placesPerSet = 4
const setWords = placeWords * placesPerSet
/** The lap of a key that was read once and has no entry. */
const noLap = 0

/** An epoch in which nothing is read. */
export const noEpoch = -1

/** Of `cacheBytes`, those for values that were read. */
export function valueCacheBytes(cacheBytes: number): number {
  return Math.min(Math.floor(cacheBytes * share), maxCacheBytes)
}

/**
 * Values that point reads got from LevelDB and found whole, unless they are large, so that the next
 * read of the key asks neither LevelDB nor its thread. A value is kept when its key is read for the
 * second time: what is read once costs little. Entries are written one behind the other into memory
 * that is used in rounds, so that the oldest ones go first.
 *
 * It knows what LevelDB has between two persists: whoever reads looks into the memtables first, which
 * hide what a persist is changing, and when it has ended everything here is forgotten. What is read
 * without a snapshot while a persist begins may be of before or after it. So a read belongs to an
 * epoch, and its value is kept only while that lasts.
 */
export class ValueCache {
  hits = 0
  misses = 0
  readonly #hash: KeyHash
  readonly #pool = new CopyPool()
  /** Memory is taken when it is reached for the first time. */
  readonly #segments: PageBytes[] = []
  readonly #maxSegments: number
  #index = new Uint32Array(0)
  readonly #sets: number
  /** Where the next entry goes, counted over all segments. */
  #head = 0
  /** How often that has begun anew, and more. */
  #lap = noLap + 2
  /** So that of keys without an entry, the one read first gives way. */
  #marks = 0
  #epoch = 0

  constructor(sizeBytes: number, hash: KeyHash) {
    this.#maxSegments = Math.max(1, Math.floor((sizeBytes * (1 - indexShare)) / segmentBytes))
    const sets = (this.#maxSegments * segmentBytes) / (bytesPerPlace * placesPerSet)
    this.#sets = 2 ** Math.floor(Math.log2(sets))
    this.#hash = hash
  }

  get allocatedBytes(): number {
    return this.#segments.length * segmentBytes + this.#index.byteLength
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
    // What is two laps old is forgotten.
    this.#lap += 2
    this.#head = 0
  }

  /** A copy of the value of a user's key, the caller's own; null where it is not known. */
  get(key: Uint8Array): Buffer | null {
    const { length } = key
    const index = this.#index
    if (index.length === 0 || length > maxKeyBytes) return null
    const place = this.#placeOf(key, 0)
    if (place === undefined) return null
    const word = index[place + Place.word]
    if (!this.#isThere(index[place + Place.lap], word)) return null
    const segment = this.#segments[Math.floor(word / segmentWords)]
    const entry = word % segmentWords
    const { u8, u32 } = segment
    if (u32[entry + Head.keyBytes] !== length) return null
    const start = (entry + Head.key) << 2
    for (let i = 0; i < length; i++) if (u8[start + i] !== key[i]) return null
    this.hits++
    const valueStart = start + ((length + 3) & ~3)
    return this.#pool.copy(segment, valueStart, u32[entry + Head.valueBytes])
  }

  /** Keeps what a read of an epoch found under a stored key: the value of a stored one. */
  keep(storedKey: Uint8Array, stored: Buffer, epoch: number): void {
    this.misses++
    const keyBytes = storedKey.length - 1
    const keyRoom = (keyBytes + 3) & ~3
    const valueBytes = stored.length - StoredValue.value
    const words = Head.key + ((keyRoom + valueBytes + 3) >>> 2)
    if (epoch !== this.#epoch || words > maxEntryWords) return
    const place = this.#placeOf(storedKey, 1)
    if (place === undefined) {
      this.#mark()
      return
    }
    const word = this.#reserve(words)
    if (word === undefined) return
    const { u8, u32 } = this.#segments[Math.floor(word / segmentWords)]
    const entry = word % segmentWords
    u32[entry + Head.keyBytes] = keyBytes
    u32[entry + Head.valueBytes] = valueBytes
    const start = (entry + Head.key) << 2
    for (let i = 0; i < keyBytes; i++) u8[start + i] = storedKey[i + 1]
    stored.copy(u8, start + keyRoom, StoredValue.value)
    this.#index[place + Place.lap] = this.#lap
    this.#index[place + Place.word] = word
  }

  /** Whether what was written there in that lap still is. */
  #isThere(lap: number, word: number): boolean {
    return lap === this.#lap || (lap === this.#lap - 1 && word >= this.#head)
  }

  /** Room for so many words, within one segment: the first of them; undefined without memory. */
  #reserve(words: number): number | undefined {
    const left = segmentWords - (this.#head % segmentWords)
    let word = words > left ? this.#head + left : this.#head
    let segment = Math.floor(word / segmentWords)
    if (segment === this.#maxSegments) {
      this.#lap++
      word = 0
      segment = 0
    }
    if (segment === this.#segments.length) {
      const memory = allocate(segmentBytes)
      if (memory === undefined) return undefined
      this.#segments.push({ u8: Buffer.from(memory), u32: new Uint32Array(memory) })
    }
    this.#head = word + words
    return word
  }

  /** The place of the key, which begins at `start`; leaves its hash behind. */
  #placeOf(key: Uint8Array, start: number): number | undefined {
    this.#hash.hash(key, start, key.length)
    const high = this.#hash.high >>> 0
    const first = this.#firstPlace()
    for (let place = first; place < first + setWords; place += placeWords) {
      if (this.#index[place + Place.hash] === high) return place
    }
    return undefined
  }

  /** Takes the oldest place for the key whose hash was made last. */
  #mark(): void {
    if (this.#index.length === 0) {
      const memory = allocate(this.#sets * setWords * 4)
      if (memory === undefined) return
      this.#index = new Uint32Array(memory)
    }
    const index = this.#index
    const first = this.#firstPlace()
    let oldest = first
    for (let place = first + placeWords; place < first + setWords; place += placeWords) {
      const byLap = index[place + Place.lap] - index[oldest + Place.lap]
      const byWord = index[place + Place.word] - index[oldest + Place.word]
      if (byLap < 0 || (byLap === 0 && byWord < 0)) oldest = place
    }
    index[oldest + Place.hash] = this.#hash.high
    index[oldest + Place.lap] = noLap
    index[oldest + Place.word] = ++this.#marks
  }

  /** Of the set of the key whose hash was made last. */
  #firstPlace(): number {
    return (this.#hash.low & (this.#sets - 1)) * setWords
  }
}

/** Undefined where there is no memory: reads go on without keeping what they find. */
function allocate(bytes: number): ArrayBuffer | undefined {
  try {
    return new ArrayBuffer(bytes)
  } catch {
    return undefined
  }
}
