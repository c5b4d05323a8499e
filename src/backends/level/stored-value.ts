import { BufferView, formatKey } from '../../base/bytes.js'
import type { Checksum } from '../../codec/checksum.js'
import { KintsugiError } from '../../errors.js'
import { KeyHash } from '../../memtable/key-hash.js'
import { successor } from '../../memtable/key-span.js'
import { KeySpace, seqBytes, StoredValue } from './format.js'
import { TextScratch } from './text-scratch.js'

/**
 * Makes and checks what LevelDB has as values: a checksum over key, sequence number and value, the
 * number, the value. A value that is whole but not this key's fails as well.
 */
export class StoredValues {
  readonly #checksum: Checksum
  readonly #hash: KeyHash
  readonly #text = new TextScratch()

  constructor(storeId: Uint8Array, checksum: Checksum) {
    this.#checksum = checksum
    this.#hash = new KeyHash(storeId)
  }

  /** Completes `stored`, which has the value behind room for the header. */
  seal(stored: Buffer, key: Uint8Array, seq: number): void {
    writeSeq(stored, seq)
    this.#hash.hash(key, 0, key.length)
    this.#sum(stored)
    writeWord(stored, StoredValue.sumLow, this.#checksum.low)
    writeWord(stored, StoredValue.sumHigh, this.#checksum.high)
  }

  /** Whether these bytes were stored under the stored key; they are the caller's own. */
  proves(stored: Buffer, key: Uint8Array): boolean {
    this.#hash.hash(key, 0, key.length)
    return this.#isWhole(stored)
  }

  /**
   * The bytes of a stored value that was read as text, valid until the next one, where they were
   * stored under the stored key. Undefined also where bytes that are no text became it: then the
   * bytes have to be read.
   */
  provenText(stored: string, key: string | Buffer): Buffer | undefined {
    const keyBytes = typeof key === 'string' ? this.#text.encode(key) : key
    this.#hash.hash(keyBytes, 0, keyBytes.length)
    const bytes = this.#text.encode(stored)
    return this.#isWhole(bytes) ? bytes : undefined
  }

  /** `#hash` holds the key's. */
  #isWhole(stored: Buffer): boolean {
    if (stored.length < StoredValue.value || !isHeader(stored)) return false
    const low = readWord(stored, StoredValue.sumLow)
    const high = readWord(stored, StoredValue.sumHigh)
    this.#sum(stored)
    // As they were, so that they can be checked again.
    writeWord(stored, StoredValue.sumLow, low)
    writeWord(stored, StoredValue.sumHigh, high)
    return low === (this.#checksum.low | 0) && high === (this.#checksum.high | 0)
  }

  /** The sequence number of the commit that wrote it. */
  seqOf(stored: Buffer): number {
    return readSeq(stored)
  }

  /** The value, as a view of bytes that are the caller's own; throws CORRUPTION. */
  open(stored: Buffer, key: Uint8Array, path: string): Buffer {
    if (!this.proves(stored, key)) throw damagedValue(key, path)
    const length = stored.length - StoredValue.value
    return new BufferView(stored.buffer, stored.byteOffset + StoredValue.value, length)
  }

  /** Of the header and the value, the place of the sum itself being zero. */
  #sum(stored: Buffer): void {
    for (let i = 0; i < StoredValue.seq; i++) stored[i] = 0
    this.#checksum.hash(stored, this.#hash.low >>> 0, this.#hash.high >>> 0)
  }
}

/** `stored` is the key as LevelDB has it. */
export function damagedValue(stored: Uint8Array, path: string): KintsugiError {
  const isUsers = stored[0] === KeySpace.user
  const key = isUsers ? stored.subarray(1) : stored
  const facts = isUsers ? { lowKey: Buffer.from(key), highKey: successor(key) } : {}
  return new KintsugiError(
    'KINTSUGI_CORRUPTION',
    `the value of key ${formatKey(key)} in ${path} is not what was written there; run ` +
      '`kintsugi repair`',
    { path, ...facts }
  )
}

/** Bits that no header has set are not lost sight of. */
function isHeader(bytes: Buffer): boolean {
  let all = 0
  for (let i = 0; i < StoredValue.value; i++) all |= bytes[i]
  return all < sevenBits && (bytes[StoredValue.sumLow + 4] | bytes[StoredValue.sumHigh + 4]) < 16
}

/** Four bytes of seven bits and one of four. */
function readWord(bytes: Buffer, at: number): number {
  return (
    bytes[at] |
    (bytes[at + 1] << 7) |
    (bytes[at + 2] << 14) |
    (bytes[at + 3] << 21) |
    (bytes[at + 4] << 28)
  )
}

function writeWord(bytes: Buffer, at: number, word: number): void {
  bytes[at] = word & 0x7f
  bytes[at + 1] = (word >>> 7) & 0x7f
  bytes[at + 2] = (word >>> 14) & 0x7f
  bytes[at + 3] = (word >>> 21) & 0x7f
  bytes[at + 4] = word >>> 28
}

const sevenBits = 0x80

function readSeq(bytes: Buffer): number {
  let seq = 0
  for (let i = seqBytes - 1; i >= 0; i--) seq = seq * sevenBits + bytes[StoredValue.seq + i]
  return seq
}

function writeSeq(bytes: Buffer, seq: number): void {
  let rest = seq
  for (let i = 0; i < seqBytes; i++) {
    bytes[StoredValue.seq + i] = rest % sevenBits
    rest = Math.floor(rest / sevenBits)
  }
}
