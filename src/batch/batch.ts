import { asBuffer } from '../base/bytes.js'
import { KintsugiError } from '../errors.js'

/** See format.md beside this file. */
export const OperationKind = { put: 1, delete: 2, clear: 3 } as const
export const ClearFlags = { lowerExcluded: 1, upperIncluded: 2, noUpper: 4 } as const
export const operationHeaderBytes = 8

/** A range of keys; an absent bound is open. At most one of `gt`/`gte` and one of `lt`/`lte`. */
export interface ByteRange {
  readonly gt?: Uint8Array
  readonly gte?: Uint8Array
  readonly lt?: Uint8Array
  readonly lte?: Uint8Array
}

/** One operation as callers of the engine's inner layers hand it over. */
export type BatchOperation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array }
  | { readonly type: 'clear'; readonly range: ByteRange }

const none = new Uint8Array(0)

export function putBytes(key: Uint8Array, value: Uint8Array): number {
  return operationHeaderBytes + key.length + value.length
}

function operationBytes(operation: BatchOperation): number {
  switch (operation.type) {
    case 'put':
      return putBytes(operation.key, operation.value)
    case 'del':
      return operationHeaderBytes + operation.key.length
    case 'clear': {
      const { gt, gte, lt, lte } = operation.range
      return operationHeaderBytes + (gte ?? gt ?? none).length + (lt ?? lte ?? none).length
    }
  }
}

/** Writes one operation at `offset` and returns the offset behind it. */
function writeOperation(target: Buffer, offset: number, operation: BatchOperation): number {
  switch (operation.type) {
    case 'put':
      return write(target, offset, OperationKind.put, 0, operation.key, operation.value)
    case 'del':
      return write(target, offset, OperationKind.delete, 0, operation.key, none)
    case 'clear': {
      const { gt, gte, lt, lte } = operation.range
      const flags =
        (gte === undefined && gt !== undefined ? ClearFlags.lowerExcluded : 0) |
        (lt === undefined && lte !== undefined ? ClearFlags.upperIncluded : 0) |
        (lt === undefined && lte === undefined ? ClearFlags.noUpper : 0)
      return write(target, offset, OperationKind.clear, flags, gte ?? gt ?? none, lt ?? lte ?? none)
    }
  }
}

/** The put of one key, without an operation object. */
export function writePut(target: Buffer, offset: number, key: Uint8Array, value: Uint8Array) {
  return write(target, offset, OperationKind.put, 0, key, value)
}

/** The removal of one key, without an operation object. */
export function writeDelete(target: Buffer, offset: number, key: Uint8Array) {
  return write(target, offset, OperationKind.delete, 0, key, none)
}

export function batchBytes(operations: readonly BatchOperation[]): number {
  let bytes = 0
  for (const operation of operations) bytes += operationBytes(operation)
  return bytes
}

/** Writes all operations from `offset` on; returns the offset behind them. */
export function writeBatch(
  target: Buffer,
  offset: number,
  operations: readonly BatchOperation[]
): number {
  for (const operation of operations) offset = writeOperation(target, offset, operation)
  return offset
}

export function encodeBatch(operations: readonly BatchOperation[]): Buffer {
  const target = Buffer.allocUnsafe(batchBytes(operations))
  writeBatch(target, 0, operations)
  return target
}

function write(
  target: Buffer,
  offset: number,
  kind: number,
  flags: number,
  key: Uint8Array,
  value: Uint8Array
): number {
  const keyBytes = key.length
  const valueBytes = value.length
  target[offset] = kind
  target[offset + 1] = flags
  target[offset + 2] = keyBytes & 0xff
  target[offset + 3] = keyBytes >>> 8
  target[offset + 4] = valueBytes & 0xff
  target[offset + 5] = (valueBytes >>> 8) & 0xff
  target[offset + 6] = (valueBytes >>> 16) & 0xff
  target[offset + 7] = valueBytes >>> 24
  const keyStart = offset + operationHeaderBytes
  const valueStart = keyStart + keyBytes
  copyInto(target, keyStart, key)
  copyInto(target, valueStart, value)
  return valueStart + valueBytes
}

/** Short runs are faster byte by byte than through the call that copies. */
function copyInto(target: Buffer, offset: number, source: Uint8Array): void {
  const length = source.length
  if (length <= 24) for (let i = 0; i < length; i++) target[offset + i] = source[i]
  else target.set(source, offset)
}

/**
 * Walks an encoded batch without allocating: after `next()` returned true, the fields describe one
 * operation as offsets into `bytes`. Malformed input throws a corruption error.
 */
export class BatchReader {
  bytes: Buffer
  kind = 0
  flags = 0
  keyStart = 0
  keyEnd = 0
  valueEnd = 0

  #offset: number
  #end: number

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = asBuffer(bytes)
    this.#offset = start
    this.#end = end
  }

  /** Starts over on other bytes. */
  reset(bytes: Buffer, start: number, end: number): void {
    this.bytes = bytes
    this.#offset = start
    this.#end = end
  }

  next(): boolean {
    const { bytes } = this
    const offset = this.#offset
    if (offset === this.#end) return false
    if (this.#end - offset < operationHeaderBytes) throw malformed('ends inside a header')
    const kind = bytes[offset]
    const flags = bytes[offset + 1]
    const keyBytes = bytes[offset + 2] | (bytes[offset + 3] << 8)
    const valueBytes =
      (bytes[offset + 4] |
        (bytes[offset + 5] << 8) |
        (bytes[offset + 6] << 16) |
        (bytes[offset + 7] << 24)) >>>
      0
    if (keyBytes + valueBytes > this.#end - offset - operationHeaderBytes) {
      throw malformed('an operation is longer than the batch')
    }
    if (kind === OperationKind.clear) {
      const withoutUpper = (flags & ClearFlags.noUpper) !== 0
      if (flags > 7 || (withoutUpper && (valueBytes > 0 || flags & ClearFlags.upperIncluded))) {
        throw malformed(`impossible range flags ${flags}`)
      }
    } else if (flags !== 0 || (kind !== OperationKind.put && kind !== OperationKind.delete)) {
      throw malformed(`unknown operation kind ${kind} with flags ${flags}`)
    } else if (kind === OperationKind.delete && valueBytes > 0) {
      throw malformed('a delete carries a value')
    }
    this.kind = kind
    this.flags = flags
    this.keyStart = offset + operationHeaderBytes
    this.keyEnd = this.keyStart + keyBytes
    this.valueEnd = this.keyEnd + valueBytes
    this.#offset = this.valueEnd
    return true
  }

  /** The current operation as an object; its bytes are views of the batch. */
  operation(): BatchOperation {
    const first = this.bytes.subarray(this.keyStart, this.keyEnd)
    const second = this.bytes.subarray(this.keyEnd, this.valueEnd)
    if (this.kind === OperationKind.put) return { type: 'put', key: first, value: second }
    if (this.kind === OperationKind.delete) return { type: 'del', key: first }
    const lower = this.flags & ClearFlags.lowerExcluded ? { gt: first } : { gte: first }
    if (this.flags & ClearFlags.noUpper) return { type: 'clear', range: lower }
    const upper = this.flags & ClearFlags.upperIncluded ? { lte: second } : { lt: second }
    return { type: 'clear', range: { ...lower, ...upper } }
  }
}

function malformed(what: string): KintsugiError {
  return new KintsugiError('KINTSUGI_CORRUPTION', `malformed batch: ${what}`)
}
