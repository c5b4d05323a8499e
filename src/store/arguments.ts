import type { ByteRange } from '../batch/batch.js'
import { KintsugiError } from '../errors.js'
import { describe, invalidOption, limits } from '../options.js'
import type { WorkOptions } from './work.js'

/** A key or a value as callers give it: bytes, or a string that is stored as UTF-8. */
export type Bytes = string | Uint8Array

/** A range of keys as callers give it; an absent bound is open. `gte` wins over `gt`, `lte` over `lt`. */
export interface KeyRange {
  /** From behind this key on. */
  readonly gt?: Bytes | undefined
  /** From this key on. */
  readonly gte?: Bytes | undefined
  /** Up to before this key. */
  readonly lt?: Bytes | undefined
  /** Up to this key. */
  readonly lte?: Bytes | undefined
}

/** What to compact, and how long that reports and is interrupted. */
export interface CompactOptions extends KeyRange, WorkOptions {
  /** Only tables of this level, into the next one; for stores with levels, the first is 0. */
  readonly level?: number | undefined
}

/** The bytes of a key; a wrong type or size is an error. */
export function keyBytes(key: Bytes): Uint8Array {
  const bytes = toBytes(key, 'key')
  if (bytes.length > limits.keyBytes) {
    throw new KintsugiError(
      'KINTSUGI_KEY_TOO_LARGE',
      `a key has ${bytes.length} bytes, at most ${limits.keyBytes} are allowed; nothing was written`
    )
  }
  return bytes
}

/** The bytes of a value; a wrong type or size is an error. */
export function valueBytes(value: Bytes): Uint8Array {
  const bytes = toBytes(value, 'value')
  if (bytes.length > limits.valueBytes) {
    throw new KintsugiError(
      'KINTSUGI_VALUE_TOO_LARGE',
      `a value has ${bytes.length} bytes, at most ${limits.valueBytes} are allowed; ` +
        'nothing was written'
    )
  }
  return bytes
}

function toBytes(given: Bytes, what: string): Uint8Array {
  if (given instanceof Uint8Array) {
    if (given.length === 0) checkAttached(given, what)
    return given
  }
  if (typeof given === 'string') return Buffer.from(given)
  throw new KintsugiError(
    'KINTSUGI_INVALID_ARGUMENT',
    `a ${what} must be a string or a Uint8Array, ${describe(given)} was given`
  )
}

/** Memory that was transferred away has no bytes left, which must not pass for an empty key. */
function checkAttached(bytes: Uint8Array, what: string): void {
  try {
    new Uint8Array(bytes.buffer)
  } catch (error) {
    throw new KintsugiError(
      'KINTSUGI_INVALID_ARGUMENT',
      `the memory of a ${what} was transferred away; nothing was written`,
      {},
      error
    )
  }
}

/** The range with its bounds as bytes that the caller can no longer change. */
export function rangeBytes(range: KeyRange): ByteRange {
  const result: { -readonly [Bound in keyof ByteRange]: Uint8Array } = {}
  if (range.gte !== undefined) result.gte = boundBytes(range.gte, 'gte')
  else if (range.gt !== undefined) result.gt = boundBytes(range.gt, 'gt')
  if (range.lte !== undefined) result.lte = boundBytes(range.lte, 'lte')
  else if (range.lt !== undefined) result.lt = boundBytes(range.lt, 'lt')
  return result
}

function boundBytes(bound: Bytes, name: string): Uint8Array {
  const bytes = toBytes(bound, `range bound '${name}'`)
  if (bytes.length > limits.keyBytes) {
    throw invalidOption(name, `a bound has ${bytes.length} bytes, allowed are ${limits.keyBytes}`)
  }
  // A view of the caller's memory could change while an iterator is open.
  return typeof bound === 'string' ? bytes : Buffer.from(bytes)
}

export const rangeNames = ['gt', 'gte', 'lt', 'lte'] as const

/** The level to compact, where one is given. */
export function levelOf({ level }: CompactOptions): number | undefined {
  if (level === undefined || (Number.isSafeInteger(level) && level >= 0)) return level
  throw invalidOption('level', `${describe(level)} was given, allowed is a whole number from 0`)
}
