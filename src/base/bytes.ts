/** Order of keys: unsigned bytes, shorter first on a tie. Negative, zero or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const difference = a[i] - b[i]
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

type MakeBuffer = new (memory: ArrayBufferLike, start: number, sizeBytes: number) => Buffer

/**
 * Makes a Buffer over `memory[start, start + sizeBytes)`. This is the class of all Buffers, which
 * their own methods make views with; called directly it takes half the time of `subarray`.
 */
export const BufferView = (Buffer as unknown as { [Symbol.species]: MakeBuffer })[Symbol.species]

/** A Buffer over the same memory, without copying. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/**
 * Keys as people read them in messages: printable text quoted, anything else hexadecimal. Zeros in
 * and behind text, as in the key that follows another or in keys of several parts, stand as `\0`.
 */
export function formatKey(key: Uint8Array): string {
  const shown = key.length > 64 ? key.subarray(0, 64) : key
  const more = key.length > 64 ? `… (${key.length} bytes)` : ''
  let printable = key.length > 0 && key[0] !== 0
  for (const byte of shown) printable &&= (byte >= 0x20 && byte < 0x7f) || byte === 0
  const buffer = asBuffer(shown)
  if (!printable) return `0x${buffer.toString('hex')}${more}`
  const parts = buffer.toString('latin1').split('\0')
  return `"${parts.map((part) => JSON.stringify(part).slice(1, -1)).join('\\0')}"${more}`
}
