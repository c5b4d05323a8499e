/**
 * Tells of nearly all keys that are not in a table that they are not: a binary fuse filter with 8-bit
 * fingerprints, after Graf and Lemire, "Binary Fuse Filters: Fast and Smaller Than Xor Filters"
 * (2022, https://arxiv.org/abs/2201.01174). Layout and the reason for the choice: format.md.
 */

const headerBytes = 20
const binaryFuse8 = 1
const minSegmentBits = 4
/** The third place takes its bits from half a word. */
const maxSegmentBits = 16
const maxSegments = 2 ** 16
const maxAttempts = 32
const places = 3

/** Where the fingerprints of a filter lie. */
interface Layout {
  readonly segmentBytes: number
  /** Segments in which a key's first place can be; two more follow. */
  readonly segments: number
}

/** Collects the hashes of a table's keys. */
export class FilterBuilder {
  #hashes = new Int32Array(2048)
  #count = 0

  get count(): number {
    return this.#count
  }

  add(low: number, high: number): void {
    if (2 * this.#count === this.#hashes.length) {
      const grown = new Int32Array(2 * this.#hashes.length)
      grown.set(this.#hashes)
      this.#hashes = grown
    }
    this.#hashes[2 * this.#count] = low
    this.#hashes[2 * this.#count + 1] = high
    this.#count++
  }

  /** The filter as it stands on disk; undefined where two keys have the same hash. */
  finish(): Buffer | undefined {
    const layout = layoutFor(this.#count)
    const { segmentBytes, segments } = layout
    const size = (segments + places - 1) * segmentBytes
    for (let attempt = 1; attempt <= maxAttempts; attempt++) {
      const seed = Math.imul(attempt, 0x9e37_79b9)
      const order = peel(this.#hashes, this.#count, layout, seed)
      if (order === undefined) continue
      const bytes = Buffer.alloc(headerBytes + size)
      bytes.writeUInt32LE(binaryFuse8, 0)
      bytes.writeInt32LE(seed, 4)
      bytes.writeUInt32LE(segmentBytes, 8)
      bytes.writeUInt32LE(segments, 12)
      bytes.writeUInt32LE(this.#count, 16)
      assign(order, this.#count, layout, seed, bytes.subarray(headerBytes))
      return bytes
    }
    return undefined
  }
}

export class Filter {
  readonly sizeBytes: number
  readonly #prints: Uint8Array
  readonly #seed: number
  readonly #span: number
  readonly #segmentBytes: number
  readonly #mask: number

  private constructor(prints: Uint8Array, { segmentBytes, segments }: Layout, seed: number) {
    this.sizeBytes = prints.length
    this.#prints = prints
    this.#seed = seed
    this.#segmentBytes = segmentBytes
    this.#span = segments * segmentBytes
    this.#mask = segmentBytes - 1
  }

  /** A filter from disk, copied; a message where the bytes are none. */
  static decode(bytes: Buffer): Filter | string {
    if (bytes.length < headerBytes) return 'a filter that ends inside its header'
    const kind = bytes.readUInt32LE(0)
    if (kind !== binaryFuse8) return `a filter of unknown kind ${kind}`
    const segmentBytes = bytes.readUInt32LE(8)
    const segments = bytes.readUInt32LE(12)
    const bits = 31 - Math.clz32(segmentBytes)
    const isSane =
      bits >= minSegmentBits &&
      bits <= maxSegmentBits &&
      segmentBytes === 1 << bits &&
      segments > 0 &&
      segments <= maxSegments &&
      bytes.length === headerBytes + (segments + places - 1) * segmentBytes
    if (!isSane) return `a filter of ${segments} segments in ${bytes.length} bytes`
    const prints = new Uint8Array(bytes.subarray(headerBytes))
    return new Filter(prints, { segmentBytes, segments }, bytes.readInt32LE(4))
  }

  /** False: no key of the table has this hash. */
  mayHold(low: number, high: number): boolean {
    const prints = this.#prints
    const first = firstPlace(low, this.#seed, this.#span)
    const second = (first + this.#segmentBytes) ^ (high & this.#mask)
    const third = (first + 2 * this.#segmentBytes) ^ ((high >>> 16) & this.#mask)
    const print = prints[first] ^ prints[second] ^ prints[third]
    return print === fingerprint(low, high, this.#seed)
  }
}

function layoutFor(count: number): Layout {
  const logarithm = Math.log(Math.max(2, count))
  const bits = Math.floor(logarithm / Math.log(3.33) + 2.25)
  const segmentBytes = 1 << Math.min(maxSegmentBits, Math.max(minSegmentBits, bits))
  const factor = Math.max(1.125, 0.875 + (0.25 * Math.log(1_000_000)) / logarithm)
  const segments = Math.ceil((count * factor) / segmentBytes) - (places - 1)
  return { segmentBytes, segments: Math.min(maxSegments, Math.max(1, segments)) }
}

/**
 * An order in which every key has a place that no later key needs: place and hash, three numbers a
 * key. Undefined where this seed has none.
 */
function peel(
  hashes: Int32Array,
  count: number,
  { segmentBytes, segments }: Layout,
  seed: number
): Int32Array | undefined {
  const size = (segments + places - 1) * segmentBytes
  const span = segments * segmentBytes
  const mask = segmentBytes - 1
  // Of each place: number of its keys, and all of their hashes. Side by side they are one cache miss.
  const cells = new Int32Array(3 * size)
  for (let i = 0; i < count; i++) {
    const low = hashes[2 * i]
    const high = hashes[2 * i + 1]
    const first = firstPlace(low, seed, span)
    change(cells, first, low, high, 1)
    change(cells, (first + segmentBytes) ^ (high & mask), low, high, 1)
    change(cells, (first + 2 * segmentBytes) ^ ((high >>> 16) & mask), low, high, 1)
  }
  const alone = new Int32Array(size)
  let top = 0
  for (let at = 0; at < size; at++) if (cells[3 * at] === 1) alone[top++] = at
  const order = new Int32Array(3 * count)
  let done = 0
  while (top > 0) {
    const at = alone[--top]
    if (cells[3 * at] !== 1) continue
    const low = cells[3 * at + 1]
    const high = cells[3 * at + 2]
    order[done++] = at
    order[done++] = low
    order[done++] = high
    const first = firstPlace(low, seed, span)
    const second = (first + segmentBytes) ^ (high & mask)
    const third = (first + 2 * segmentBytes) ^ ((high >>> 16) & mask)
    if (change(cells, first, low, high, -1) === 1) alone[top++] = first
    if (change(cells, second, low, high, -1) === 1) alone[top++] = second
    if (change(cells, third, low, high, -1) === 1) alone[top++] = third
  }
  return done === order.length ? order : undefined
}

/** Puts a key into the cell of a place or takes it out; how many are there now. */
function change(cells: Int32Array, place: number, low: number, high: number, by: number): number {
  const cell = 3 * place
  cells[cell + 1] ^= low
  cells[cell + 2] ^= high
  return (cells[cell] += by)
}

/** Sets the fingerprints, last key first: its place belongs to it alone among those before. */
function assign(
  order: Int32Array,
  count: number,
  { segmentBytes, segments }: Layout,
  seed: number,
  prints: Buffer
): void {
  const span = segments * segmentBytes
  const mask = segmentBytes - 1
  for (let i = 3 * (count - 1); i >= 0; i -= 3) {
    const low = order[i + 1]
    const high = order[i + 2]
    const first = firstPlace(low, seed, span)
    const second = (first + segmentBytes) ^ (high & mask)
    const third = (first + 2 * segmentBytes) ^ ((high >>> 16) & mask)
    // The key's own place is empty yet.
    const print = prints[first] ^ prints[second] ^ prints[third]
    prints[order[i]] = print ^ fingerprint(low, high, seed)
  }
}

function firstPlace(low: number, seed: number, span: number): number {
  const mixed = Math.imul(low ^ seed, 0x85eb_ca6b)
  return Math.floor((((mixed ^ (mixed >>> 15)) >>> 0) * span) / 0x1_0000_0000)
}

function fingerprint(low: number, high: number, seed: number): number {
  const mixed = Math.imul(low ^ high ^ seed, 0xc2b2_ae35)
  return (mixed ^ (mixed >>> 16)) & 255
}
