import { Option, type Command } from 'commander'
import type { ByteRange } from '../batch/batch.js'
import { byteEncodings, jsonBytes, parseBytes, showBytes, type ByteEncoding } from './byte-text.js'
import { usageError } from './cli-error.js'
import { decodeParts, encodeParts, encodePartsPrefix } from './composite-key.js'
import { splitList } from './key-plan.js'

/** How the keys of a command line are written. */
export interface KeyOptions {
  readonly keyEncoding: ByteEncoding
  readonly parts?: boolean
}

export interface RangeOptions extends KeyOptions {
  readonly gt?: string
  readonly gte?: string
  readonly lt?: string
  readonly lte?: string
  readonly prefix?: string
}

export function addKeyOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--key-encoding <encoding>', 'how keys are written on the command line')
        .choices(byteEncodings)
        .default('utf8')
    )
    .option('--parts', 'keys are the parts of a composite key: a,b,c')
}

export function addRangeOptions(command: Command): Command {
  return addKeyOptions(command)
    .option('--gte <key>', 'from this key on')
    .option('--gt <key>', 'from behind this key on')
    .option('--lte <key>', 'up to this key')
    .option('--lt <key>', 'up to before this key')
    .option('--prefix <key>', 'keys that start with this; with --parts, with these whole parts')
}

export function parseKey(text: string, options: KeyOptions, what = 'the key'): Buffer {
  return options.parts
    ? encodeParts(parseParts(text, options, what))
    : parseBytes(text, options.keyEncoding, what)
}

function parseParts(text: string, options: KeyOptions, what: string): Buffer[] {
  return splitList(text, what).map((part) => parseBytes(part, options.keyEncoding, what))
}

/** The range that the options describe; a prefix may be narrowed by bounds of its own. */
export function parseRange(options: RangeOptions): ByteRange {
  const given = (name: 'gt' | 'gte' | 'lt' | 'lte'): Buffer | undefined =>
    options[name] === undefined ? undefined : parseKey(options[name], options, `--${name}`)
  const [gt, gte, lt, lte] = [given('gt'), given('gte'), given('lt'), given('lte')]
  if (gt && gte) throw usageError('use either --gt or --gte')
  if (lt && lte) throw usageError('use either --lt or --lte')
  const range: ByteRange = {
    ...(gt && { gt }),
    ...(gte && { gte }),
    ...(lt && { lt }),
    ...(lte && { lte })
  }
  if (options.prefix === undefined) return range
  return narrowToPrefix(range, parsePrefix(options.prefix, options))
}

function parsePrefix(text: string, options: KeyOptions): Buffer {
  return options.parts
    ? encodePartsPrefix(parseParts(text, options, '--prefix'))
    : parseBytes(text, options.keyEncoding, '--prefix')
}

function narrowToPrefix(range: ByteRange, prefix: Buffer): ByteRange {
  const low = range.gt ?? range.gte
  const high = range.lt ?? range.lte
  const end = prefixEnd(prefix)
  const { gt, gte, lt, lte } = range
  const lowSide = low && Buffer.compare(low, prefix) >= 0 ? { gt, gte } : { gte: prefix }
  const highSide = high && (!end || Buffer.compare(high, end) < 0) ? { lt, lte } : { lt: end }
  return withoutUndefined({ ...lowSide, ...highSide })
}

function withoutUndefined(range: {
  [Name in keyof ByteRange]: ByteRange[Name] | undefined
}): ByteRange {
  return Object.fromEntries(Object.entries(range).filter(([, bound]) => bound !== undefined))
}

/** The first key behind all that start with the prefix; undefined where there is none. */
function prefixEnd(prefix: Buffer): Buffer | undefined {
  let length = prefix.length
  while (length > 0 && prefix[length - 1] === 0xff) length--
  if (length === 0) return undefined
  const end = Buffer.from(prefix.subarray(0, length))
  end[length - 1]++
  return end
}

/** A key for people: its parts with --parts, otherwise text or hexadecimal. */
export function showKey(key: Buffer, options: KeyOptions, maxChars = Infinity): string {
  const parts = options.parts ? decodeParts(key) : undefined
  return parts === undefined
    ? showBytes(key, maxChars)
    : parts.map((part) => quoteItem(showBytes(part, maxChars))).join(',')
}

function quoteItem(text: string): string {
  return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** A key as JSON fields; with --parts its parts too, where they are text. */
export function keyJson(
  key: Buffer,
  options: KeyOptions,
  encoding: ByteEncoding | 'auto' = 'auto'
): Record<string, unknown> {
  const fields = jsonBytes('key', key, encoding)
  const parts = options.parts ? decodeParts(key) : undefined
  return parts === undefined ? fields : { ...fields, parts: parts.map((part) => showBytes(part)) }
}
