// The data every contender sees: keys derive from an index through a permutation, values from key
// and version, so that a value read can be checked without remembering what was written.

export const KEY_BYTES = 16
export const VALUE_BYTES = 100
export const ENTRY_BYTES = KEY_BYTES + VALUE_BYTES

const VALUE_WORDS = VALUE_BYTES / 4
/** Words after the header (number, version) that look random; the rest compresses well. */
const RANDOM_WORDS = 11
const TAIL_WORD = 0x6e69746b

/** xorshift32: small, seedable, good enough for workloads. */
export class Random {
  #state

  constructor(seed) {
    this.#state = seed >>> 0 || 0x9e3779b9
  }

  next() {
    let state = this.#state
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    this.#state = state >>> 0
    return this.#state
  }

  below(limit) {
    return Math.floor((this.next() / 4294967296) * limit)
  }

  /** In [0, 1). */
  fraction() {
    return this.next() / 4294967296
  }
}

/** A random order of 0 .. count-1. */
export function permutation(count, seed) {
  const order = new Uint32Array(count)
  for (let i = 0; i < count; i++) order[i] = i
  const random = new Random(seed)
  for (let i = count - 1; i > 0; i--) {
    const j = random.below(i + 1)
    const kept = order[i]
    order[i] = order[j]
    order[j] = kept
  }
  return order
}

/**
 * Keys are 16 decimal digits. Number `2 * rank` is the key of that rank in the store; odd numbers
 * lie between present keys and are absent until a workload inserts them.
 */
export function writeKey(target, offset, number) {
  let rest = number
  for (let at = offset + KEY_BYTES - 1; at >= offset; at--) {
    target[at] = 48 + (rest % 10)
    rest = Math.floor(rest / 10)
  }
}

export function numberOf(key) {
  let number = 0
  for (let at = 0; at < KEY_BYTES; at++) number = number * 10 + key[at] - 48
  return number
}

function mix(number, version) {
  let state = Math.imul(number + 1, 0x85ebca6b) ^ Math.imul(version + 1, 0x9e3779b1)
  state = Math.imul(state ^ (state >>> 15), 0xc2b2ae35)
  return state ^ (state >>> 13) || 1
}

/** Fills one value, 25 words from `at` on: number, version, 44 random bytes, a constant rest. */
function writeValue(words, at, number, version) {
  words[at] = number
  words[at + 1] = version
  let state = mix(number, version)
  for (let i = 2; i < 2 + RANDOM_WORDS; i++) {
    words[at + i] = state
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
  }
  for (let i = 2 + RANDOM_WORDS; i < VALUE_WORDS; i++) words[at + i] = TAIL_WORD
}

function word(bytes, at) {
  return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0
}

function wrongValue(value, number, version) {
  const got =
    value === undefined || value === null
      ? 'nothing'
      : `${value.length} bytes, number ${word(value, 0)}, version ${word(value, 4)}`
  throw new Error(`wrong value for key ${number}, version ${version}: got ${got}`)
}

/** Throws unless `value` is that of this key and version: length and four words. */
export function checkValue(value, number, version) {
  if (
    value === undefined ||
    value === null ||
    value.length !== VALUE_BYTES ||
    word(value, 0) !== number ||
    word(value, 4) !== version ||
    word(value, 8) !== mix(number, version) >>> 0 ||
    word(value, 96) !== TAIL_WORD
  ) {
    wrongValue(value, number, version)
  }
}

/** The same where any version from `low` to `high` is right; returns the version found. */
export function checkVersions(value, number, low, high) {
  if (value === undefined || value === null) wrongValue(value, number, `${low}..${high}`)
  const version = word(value, 4)
  if (version < low || version > high) wrongValue(value, number, `${low}..${high}`)
  checkValue(value, number, version)
  return version
}

/**
 * Keys and values of one chunk of operations, rewritten in place from chunk to chunk so that the
 * workload itself makes no garbage. Refill only when everything issued was acknowledged.
 */
export class Chunk {
  keys = []
  values = []
  #keyBytes
  #words

  constructor(size) {
    this.size = size
    this.numbers = new Uint32Array(size)
    this.#keyBytes = Buffer.alloc(size * KEY_BYTES)
    const valueBytes = Buffer.from(new ArrayBuffer(size * VALUE_BYTES))
    this.#words = new Uint32Array(valueBytes.buffer)
    for (let i = 0; i < size; i++) {
      this.keys.push(this.#keyBytes.subarray(i * KEY_BYTES, (i + 1) * KEY_BYTES))
      this.values.push(valueBytes.subarray(i * VALUE_BYTES, (i + 1) * VALUE_BYTES))
    }
  }

  setKey(slot, number) {
    this.numbers[slot] = number
    writeKey(this.#keyBytes, slot * KEY_BYTES, number)
  }

  set(slot, number, version) {
    this.setKey(slot, number)
    writeValue(this.#words, slot * VALUE_WORDS, number, version)
  }
}

/** YCSB's zipfian request distribution (theta 0.99), as ranks 0 (hottest) to count-1. */
export class Zipfian {
  #count
  #random
  #zeta = 0
  #alpha
  #eta
  #half

  constructor(count, random, theta = 0.99) {
    this.#count = count
    this.#random = random
    for (let i = 1; i <= count; i++) this.#zeta += 1 / Math.pow(i, theta)
    const zeta2 = 1 + Math.pow(0.5, theta)
    this.#alpha = 1 / (1 - theta)
    this.#eta = (1 - Math.pow(2 / count, 1 - theta)) / (1 - zeta2 / this.#zeta)
    this.#half = zeta2
    this.theta = theta
  }

  next() {
    const u = this.#random.fraction()
    const uz = u * this.#zeta
    if (uz < 1) return 0
    if (uz < this.#half) return 1
    const rank = Math.floor(this.#count * Math.pow(this.#eta * u - this.#eta + 1, this.#alpha))
    return Math.min(rank, this.#count - 1)
  }
}

/** Values of 100 KiB, half of it random bytes taken from one slab at a place that they name. */
export class LargeValues {
  #slab
  #spread = 1 << 20

  constructor(sizeBytes, seed) {
    this.sizeBytes = sizeBytes
    const words = new Uint32Array((this.#spread + sizeBytes) / 4 + 1)
    const random = new Random(seed)
    for (let i = 0; i < words.length; i++) words[i] = random.next()
    this.#slab = Buffer.from(words.buffer)
  }

  #start(number, version) {
    return (mix(number, version) >>> 0) % this.#spread
  }

  write(target, number, version) {
    const half = this.sizeBytes / 2
    const start = this.#start(number, version)
    target.writeUInt32LE(number, 0)
    target.writeUInt32LE(version, 4)
    this.#slab.copy(target, 8, start, start + half)
    target.fill(0x6b, 8 + half)
  }

  check(value, number, version) {
    const start = this.#start(number, version)
    const middle = this.sizeBytes >> 2
    if (
      value === undefined ||
      value === null ||
      value.length !== this.sizeBytes ||
      word(value, 0) !== number ||
      word(value, 4) !== version ||
      word(value, 8) !== word(this.#slab, start) ||
      word(value, middle) !== word(this.#slab, start + middle - 8) ||
      value[this.sizeBytes - 1] !== 0x6b
    ) {
      wrongValue(value, number, version)
    }
  }
}
