import { malformed } from './byte-reader.js'

/** Element types, in the lowest two bits of a tag. */
const literal = 0
const shortCopy = 1
const mediumCopy = 2

/** Literals up to this length have it in the tag; behind that, so many bytes hold it. */
const longestTagged = 60
/** Copied by a loop rather than by a call. */
const shortBytes = 24

/**
 * Unpacks Snappy's raw format (https://github.com/google/snappy/blob/main/format_description.txt).
 * Every length is checked against both ends; throws CORRUPTION unless the bytes come out as exactly
 * as many as they say.
 */
export function unpackSnappy(input: Buffer): Buffer {
  const header = readLength(input)
  // Three bytes make 64 at best: what claims more is damaged, and gets no memory.
  if (header.sizeBytes > (input.length + 8) * 24) throw malformed(damaged)
  const output = Buffer.allocUnsafeSlow(header.sizeBytes)
  let from = header.end
  let to = 0
  while (from < input.length) {
    const tag = input[from++]
    const type = tag & 3
    if (type === literal) {
      let length = (tag >>> 2) + 1
      if (length > longestTagged) {
        const extra = length - longestTagged
        length = readNumber(input, from, extra) + 1
        from += extra
      }
      if (length > input.length - from || length > output.length - to) throw malformed(damaged)
      if (length > shortBytes) input.copy(output, to, from, from + length)
      else for (let i = 0; i < length; i++) output[to + i] = input[from + i]
      from += length
      to += length
      continue
    }
    let length = (tag >>> 2) + 1
    let distance: number
    if (type === shortCopy) {
      length = ((tag >>> 2) & 7) + 4
      distance = ((tag >>> 5) << 8) + readNumber(input, from, 1)
      from += 1
    } else {
      const bytes = type === mediumCopy ? 2 : 4
      distance = readNumber(input, from, bytes)
      from += bytes
    }
    if (distance === 0 || distance > to || length > output.length - to) throw malformed(damaged)
    // Byte by byte: the two may overlap, and then the copy repeats itself.
    for (let i = 0; i < length; i++) output[to + i] = output[to - distance + i]
    to += length
  }
  if (to !== output.length) throw malformed(damaged)
  return output
}

const damaged = 'a block does not decompress'

function readLength(input: Buffer): { readonly sizeBytes: number; readonly end: number } {
  let sizeBytes = 0
  let factor = 1
  for (let end = 0; end < Math.min(5, input.length); end++) {
    sizeBytes += (input[end] & 0x7f) * factor
    if (input[end] < 0x80) return { sizeBytes, end: end + 1 }
    factor *= 128
  }
  throw malformed(damaged)
}

/** Little-endian, never negative. */
function readNumber(input: Buffer, at: number, byteCount: number): number {
  if (byteCount > input.length - at) throw malformed(damaged)
  return input.readUIntLE(at, byteCount)
}
