import { batchBytes, type BatchOperation } from '../batch/batch.js'
import { KintsugiError } from '../errors.js'
import { checkOptionNames, describe, limits } from '../options.js'
import {
  keyBytes,
  rangeBytes,
  rangeNames,
  valueBytes,
  type Bytes,
  type KeyRange
} from './arguments.js'

/** One operation of a batch. */
export type Operation =
  | { readonly type: 'put'; readonly key: Bytes; readonly value: Bytes }
  | { readonly type: 'del'; readonly key: Bytes }
  | ({ readonly type: 'clear' } & KeyRange)

const clearNames = ['type', ...rangeNames] as const

/** The operations of a batch in bytes; one that is not valid is named by its index. */
export function checkOperations(operations: readonly Operation[]): BatchOperation[] {
  if (!Array.isArray(operations)) {
    throw new KintsugiError(
      'KINTSUGI_INVALID_ARGUMENT',
      `a batch must be an array of operations, ${describe(operations)} was given`
    )
  }
  let index = 0
  try {
    const checked: BatchOperation[] = []
    for (; index < operations.length; index++) checked.push(checkOperation(operations[index]))
    return checked
  } catch (error) {
    if (!(error instanceof KintsugiError)) throw error
    const message = `operations[${index}]: ${error.message}`
    throw new KintsugiError(error.code, message, error.facts)
  }
}

/** The operation in bytes; it is the caller's own object where nothing has to be converted. */
function checkOperation(operation: Operation): BatchOperation {
  switch (operation?.type) {
    case 'put': {
      const key = keyBytes(operation.key)
      const value = valueBytes(operation.value)
      const same = key === operation.key && value === operation.value
      return same ? (operation as BatchOperation) : { type: 'put', key, value }
    }
    case 'del': {
      const key = keyBytes(operation.key)
      return key === operation.key ? (operation as BatchOperation) : { type: 'del', key }
    }
    case 'clear':
      // A misspelled bound would remove more than was meant.
      checkOptionNames(operation, clearNames)
      return { type: 'clear', range: rangeBytes(operation) }
    default: {
      const wrong = (operation as { type?: unknown } | undefined)?.type ?? operation
      throw new KintsugiError(
        'KINTSUGI_INVALID_ARGUMENT',
        `an operation needs type 'put', 'del' or 'clear', ${describe(wrong)} was given`
      )
    }
  }
}

/** Bytes of the batch; too many are an error. */
export function sizeOf(operations: readonly BatchOperation[]): number {
  const bytes = batchBytes(operations)
  if (bytes <= limits.batchBytes) return bytes
  throw new KintsugiError(
    'KINTSUGI_BATCH_TOO_LARGE',
    `a batch has ${bytes} bytes, at most ${limits.batchBytes} are allowed; nothing was written`
  )
}
