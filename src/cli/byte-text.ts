import { isUtf8 } from 'node:buffer'
import { usageError } from './cli-error.js'

/** How keys and values, which are bytes, are written as text. */
export const byteEncodings = ['utf8', 'hex', 'base64'] as const
export type ByteEncoding = (typeof byteEncodings)[number]

/** Bytes from an argument; what is not of the encoding is refused rather than half decoded. */
export function parseBytes(text: string, encoding: ByteEncoding, what: string): Buffer {
  if (encoding === 'hex' && !/^([0-9a-fA-F]{2})*$/.test(text)) {
    throw usageError(`${what} is not hexadecimal: give two digits per byte, such as 00ff`)
  }
  if (encoding === 'base64' && !isBase64(text)) {
    throw usageError(`${what} is not base64`)
  }
  return Buffer.from(text, encoding)
}

/** Standard base64 with padding: exactly what `toString('base64')` writes. */
export function isBase64(text: string): boolean {
  return Buffer.from(text, 'base64').toString('base64') === text
}

/** The text of bytes that are UTF-8, undefined for others. */
export function utf8Text(bytes: Buffer): string | undefined {
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined
}

/**
 * Bytes for people: text with control characters escaped, anything else as 0x and hexadecimal;
 * at most `maxChars` characters, a cut shown by an ellipsis.
 */
export function showBytes(bytes: Buffer, maxChars = Infinity): string {
  // Looks at no more than can be shown; a cut inside a character is repaired by the check below.
  const head = bytes.length > 4 * maxChars ? bytes.subarray(0, 4 * maxChars) : bytes
  const text = utf8Text(bytes.length === head.length ? bytes : wholeCharacters(head))
  const shown =
    text === undefined ? `0x${head.toString('hex')}` : text.replace(/[\p{Cc}\\]/gu, escapeCharacter)
  return shown.length <= maxChars ? shown : `${shown.slice(0, Math.max(0, maxChars - 1))}…`
}

function wholeCharacters(bytes: Buffer): Buffer {
  let end = bytes.length
  while (end > bytes.length - 4 && end > 0 && (bytes[end - 1] & 0xc0) === 0x80) end--
  return end > 0 && bytes[end - 1] >= 0xc0 ? bytes.subarray(0, end - 1) : bytes
}

function escapeCharacter(character: string): string {
  switch (character) {
    case '\\':
      return '\\\\'
    case '\n':
      return '\\n'
    case '\r':
      return '\\r'
    case '\t':
      return '\\t'
    case '\0':
      return '\\0'
    default:
      return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
  }
}

/**
 * One side of an entry as JSON fields: `{key: "text"}`, or `{keyBase64: "…"}` where the bytes are
 * not UTF-8, or as the caller asks. `import` reads all of them back.
 */
export function jsonBytes(
  name: 'key' | 'value',
  bytes: Buffer,
  encoding: ByteEncoding | 'auto'
): Record<string, string> {
  if (encoding === 'hex') return { [`${name}Hex`]: bytes.toString('hex') }
  if (encoding === 'base64') return { [`${name}Base64`]: bytes.toString('base64') }
  const text = utf8Text(bytes)
  if (text !== undefined) return { [name]: text }
  if (encoding === 'utf8') throw notUtf8(name, bytes)
  return { [`${name}Base64`]: bytes.toString('base64') }
}

export function notUtf8(name: string, bytes: Buffer): Error {
  return usageError(
    `a ${name} is not UTF-8 text (${showBytes(bytes, 60)}); use --encoding base64 or hex`
  )
}
