import { isDeepStrictEqual } from 'node:util'
import type { Bytes, Encoding } from '../../dist/index.js'
import { sortedEntries, textOf, type Entries, type KeyText } from '../model/reference.js'
import type { ScanPlan } from './scan-plan.js'

interface Encodings {
  readonly keyEncoding: Encoding
  readonly valueEncoding: Encoding
}

/** Any bytes as a key of the reference. */
export function keyText(key: Bytes): KeyText {
  return textOf(Buffer.from(key as string))
}

export function decoded(
  bytes: Buffer | undefined,
  encoding: Encoding
): Buffer | string | undefined {
  return encoding === 'utf8' ? bytes?.toString() : bytes
}

/** What an iterator has to yield if it reads one state of the store. */
export class ExpectedScan {
  readonly #plan: ScanPlan
  readonly #encodings: Encodings
  readonly #entries: readonly [KeyText, Buffer][]
  #position = 0
  #left: number

  constructor(entries: Entries, plan: ScanPlan, defaults: Encodings) {
    const { reverse, limit, keyEncoding, valueEncoding, ...bounds } = plan.options
    const range = Object.entries(bounds).map(([name, key]) => [name, keyText(key as Bytes)])
    this.#plan = plan
    this.#encodings = {
      keyEncoding: keyEncoding ?? defaults.keyEncoding,
      valueEncoding: valueEncoding ?? defaults.valueEncoding
    }
    this.#entries = sortedEntries(entries, Object.fromEntries(range), reverse)
    this.#left = limit === undefined || limit < 0 ? Infinity : limit
  }

  seek(key: Bytes): void {
    const text = keyText(key)
    const isBehind = ([other]: readonly [KeyText, Buffer]) =>
      this.#plan.options.reverse === true ? other <= text : other >= text
    const index = this.#entries.findIndex(isBehind)
    this.#position = index < 0 ? this.#entries.length : index
  }

  /** Goes on behind what one read got; returns what is wrong with it. */
  take(found: readonly unknown[], size = Infinity, maxBytes = Infinity): string | undefined {
    const next = this.#next(size)
    const wrong =
      maxBytes === Infinity && found.length !== next.length
        ? `${found.length} entries, not ${next.length}`
        : outsideOf(maxBytes, next, found.length)
    return wrong ?? this.#pass(found, this.#items(next.slice(0, found.length)))
  }

  /** The same of several reads at once: they share what comes next, in whatever order. */
  takeTogether(found: readonly unknown[], size: number): string | undefined {
    const wanted = this.#items(this.#next(size)).map((item) => JSON.stringify(item))
    return this.#pass(found.map((item) => JSON.stringify(item)).sort(), wanted.sort())
  }

  #next(size: number): readonly [KeyText, Buffer][] {
    return this.#entries.slice(this.#position, this.#position + Math.min(size, this.#left))
  }

  #items(entries: readonly [KeyText, Buffer][]): unknown[] {
    const { keyEncoding, valueEncoding } = this.#encodings
    return entries.map(([text, bytes]) => {
      const key = decoded(Buffer.from(text, 'latin1'), keyEncoding)
      const value = decoded(Buffer.from(bytes), valueEncoding)
      const { selection } = this.#plan
      return selection === 'keys' ? key : selection === 'values' ? value : [key, value]
    })
  }

  #pass(found: readonly unknown[], wanted: readonly unknown[]): string | undefined {
    this.#position += found.length
    this.#left -= found.length
    if (isDeepStrictEqual(found, wanted)) return undefined
    const at = wanted.findIndex((item, i) => !isDeepStrictEqual(found[i], item))
    return `entry ${at} is ${shown(found[at])}, not ${shown(wanted[at])}`
  }
}

/** Whether an answer is too long or too short for `maxBytes`; how texts are counted is left open. */
function outsideOf(maxBytes: number, next: readonly [KeyText, Buffer][], count: number) {
  if (count > next.length || (count === 0 && next.length > 0)) return `${count} entries`
  let least = 0
  let most = 0
  for (const [key, value] of next.slice(0, count)) {
    if (least > maxBytes) return `${count} entries, more than ${maxBytes} bytes`
    const [keySizes, valueSizes] = [sizesOf(Buffer.from(key, 'latin1')), sizesOf(value)]
    least += Math.min(...keySizes, ...valueSizes)
    most += Math.max(...keySizes) + Math.max(...valueSizes)
  }
  const isShort = count < next.length && most <= maxBytes
  return isShort ? `only ${count} entries for ${maxBytes} bytes` : undefined
}

const sizesOf = (bytes: Buffer): number[] => [bytes.length, bytes.toString().length]

export function shown(value: unknown): string {
  if (Array.isArray(value)) return `[${value.slice(0, 8).map(shown).join(', ')}]`
  if (!Buffer.isBuffer(value)) return JSON.stringify(value)?.slice(0, 80) ?? 'undefined'
  return `<${value.subarray(0, 32).toString('hex')}> of ${value.length} bytes`
}
