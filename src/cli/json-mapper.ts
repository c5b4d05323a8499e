import { isUtf8 } from 'node:buffer'
import { isBase64, type ByteEncoding } from './byte-text.js'
import { inputError, usageError } from './cli-error.js'
import { buildKey, parseKeySpec, type KeyPart } from './key-plan.js'
import type { RawRecord } from './record-splitter.js'
import { exportColumns, type MappedRow, type MapperOptions, type RowMapper } from './row-mapper.js'

/**
 * Rows of JSON Lines. With `--key`, fields of each object make up the key and the value is the line
 * itself; without, each line is what `export` writes: a key and a value.
 */
export class JsonMapper implements RowMapper {
  readonly header = undefined
  readonly #options: MapperOptions
  readonly #keyParts: readonly KeyPart[] | undefined

  constructor(options: MapperOptions) {
    const { keySpec, valueColumn } = options
    if (keySpec === undefined && valueColumn !== undefined) {
      throw usageError('--value-column needs --key: say which fields make up the key')
    }
    this.#options = options
    this.#keyParts = keySpec === undefined ? undefined : parseKeySpec(keySpec, undefined)
  }

  map(record: RawRecord): MappedRow {
    const fail = (message: string): Error => inputError(message, record.number, record.line)
    const object = parseObject(record, fail)
    if (this.#keyParts === undefined) {
      return {
        key: exportedBytes(object, exportColumns.key, 'key', fail),
        value: exportedBytes(object, exportColumns.value, 'value', fail)
      }
    }
    const key = buildKey(
      this.#keyParts,
      record.number,
      (_, column) => fieldBytes(object, column, fail),
      fail
    )
    const { valueColumn, keepLineEnding } = this.#options
    if (valueColumn !== undefined) return { key, value: fieldBytes(object, valueColumn, fail) }
    return { key, value: keepLineEnding ? record.withEnding : record.bytes }
  }
}

type JsonObject = Readonly<Record<string, unknown>>
type Fail = (message: string) => Error

function parseObject(record: RawRecord, fail: Fail): JsonObject {
  // Decoding would quietly replace bytes that are not UTF-8, and keys could then collide.
  if (!isUtf8(record.bytes)) throw fail('the line is not UTF-8 text, which JSON has to be')
  let parsed: unknown
  try {
    parsed = JSON.parse(record.bytes.toString('utf8'))
  } catch (error) {
    throw fail(`the line is not JSON: ${(error as Error).message}`)
  }
  if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) {
    return parsed as JsonObject
  }
  throw fail('the line is not a JSON object')
}

function fieldBytes(object: JsonObject, name: string, fail: Fail): Buffer {
  const value = Object.hasOwn(object, name) ? object[name] : undefined
  if (typeof value === 'string') return textBytes(value, name, fail)
  if (typeof value === 'boolean') return Buffer.from(String(value))
  if (typeof value === 'number') {
    // JSON.parse rounds larger ones, which would let two keys become one.
    if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
      throw fail(`${name} is a number beyond 2^53 and would be rounded; write it as a string`)
    }
    return Buffer.from(String(value))
  }
  if (value === undefined) throw fail(`there is no field ${JSON.stringify(name)}`)
  throw fail(`${JSON.stringify(name)} is neither text nor a number`)
}

function exportedBytes(
  object: JsonObject,
  names: Readonly<Record<string, ByteEncoding>>,
  what: string,
  fail: Fail
): Buffer {
  const present = Object.keys(names).filter((name) => Object.hasOwn(object, name))
  if (present.length !== 1) {
    throw fail(
      `expected one of ${Object.keys(names).join(', ')}; ` +
        'for objects of your own, name the fields of the key with --key'
    )
  }
  const name = present[0]
  const encoding = names[name]
  const text = object[name]
  if (typeof text !== 'string') throw fail(`${name} has to be text`)
  if (encoding === 'utf8') return textBytes(text, what, fail)
  const valid = encoding === 'hex' ? /^([0-9a-fA-F]{2})*$/.test(text) : isBase64(text)
  if (!valid) throw fail(`${name} is not ${encoding}`)
  return Buffer.from(text, encoding)
}

/** Half of a surrogate pair has no bytes in UTF-8; it would become a replacement character. */
function textBytes(text: string, name: string, fail: Fail): Buffer {
  if (/\p{Surrogate}/u.test(text)) throw fail(`${name} contains half a surrogate pair`)
  return Buffer.from(text, 'utf8')
}
