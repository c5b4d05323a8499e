import { asBuffer } from '../base/bytes.js'

/**
 * Keys made of several parts, such as airline, source and destination.
 *
 * The parts are joined by the byte 00. Inside a part 00 is written 01 01 and 01 is written 01 02;
 * everything else stands as it is. So 00 occurs between parts only, parts can be told apart again,
 * and keys order as their parts do: by the first, then by the second, each in unsigned byte order.
 * A key of one part is that part's bytes, unescaped.
 */
export function encodeParts(parts: readonly Uint8Array[]): Buffer {
  if (parts.length === 1) return asBuffer(parts[0])
  const key = Buffer.allocUnsafe(joinedLength(parts) - 1)
  writeParts(parts, key)
  return key
}

/** What all keys start with whose first parts are these whole parts. */
export function encodePartsPrefix(parts: readonly Uint8Array[]): Buffer {
  const prefix = Buffer.allocUnsafe(joinedLength(parts))
  const end = writeParts(parts, prefix)
  prefix[end] = 0
  return prefix
}

/** The parts of a key; undefined where the bytes are not a composite key. */
export function decodeParts(key: Uint8Array): Buffer[] | undefined {
  const parts: Buffer[] = []
  let part = Buffer.allocUnsafe(key.length)
  let length = 0
  for (let i = 0; i < key.length; i++) {
    const byte = key[i]
    if (byte === 0) {
      parts.push(part.subarray(0, length))
      part = part.subarray(length)
      length = 0
    } else if (byte === 1) {
      const escaped = key[++i]
      if (escaped !== 1 && escaped !== 2) return undefined
      part[length++] = escaped - 1
    } else {
      part[length++] = byte
    }
  }
  parts.push(part.subarray(0, length))
  return parts
}

/** Bytes of all parts, escaped, each with one separator behind it. */
function joinedLength(parts: readonly Uint8Array[]): number {
  let length = parts.length
  for (const part of parts) {
    length += part.length
    for (let i = 0; i < part.length; i++) if (part[i] <= 1) length++
  }
  return length
}

/** Writes the parts with separators between them and returns where they end. */
function writeParts(parts: readonly Uint8Array[], target: Buffer): number {
  let at = 0
  for (let p = 0; p < parts.length; p++) {
    if (p > 0) target[at++] = 0
    const part = parts[p]
    for (let i = 0; i < part.length; i++) {
      const byte = part[i]
      if (byte > 1) {
        target[at++] = byte
      } else {
        target[at++] = 1
        target[at++] = byte + 1
      }
    }
  }
  return at
}
