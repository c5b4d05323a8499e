import { KintsugiError, type ErrorCode } from '../errors.js'

/** The code that users of Level know for each of ours. */
const codes: { readonly [Code in ErrorCode]: string } = {
  KINTSUGI_INVALID_ARGUMENT: 'LEVEL_INVALID_ARGUMENT',
  KINTSUGI_INVALID_OPTION: 'LEVEL_INVALID_ARGUMENT',
  KINTSUGI_KEY_TOO_LARGE: 'LEVEL_INVALID_KEY',
  KINTSUGI_VALUE_TOO_LARGE: 'LEVEL_INVALID_VALUE',
  KINTSUGI_BATCH_TOO_LARGE: 'LEVEL_INVALID_BATCH',
  KINTSUGI_NOT_OPEN: 'LEVEL_DATABASE_NOT_OPEN',
  KINTSUGI_ITERATOR_NOT_OPEN: 'LEVEL_ITERATOR_NOT_OPEN',
  KINTSUGI_SNAPSHOT_NOT_OPEN: 'LEVEL_SNAPSHOT_NOT_OPEN',
  KINTSUGI_TRANSACTION_NOT_OPEN: 'LEVEL_INVALID_ARGUMENT',
  KINTSUGI_STORE_MISSING: 'LEVEL_NOT_FOUND',
  KINTSUGI_STORE_EXISTS: 'LEVEL_INVALID_ARGUMENT',
  KINTSUGI_FOREIGN_DIRECTORY: 'LEVEL_INVALID_ARGUMENT',
  KINTSUGI_UNFINISHED_COPY: 'LEVEL_INVALID_ARGUMENT',
  KINTSUGI_UNSUPPORTED_VERSION: 'LEVEL_NOT_SUPPORTED',
  KINTSUGI_BACKEND_MISMATCH: 'LEVEL_INVALID_ARGUMENT',
  KINTSUGI_LOCKED: 'LEVEL_LOCKED',
  KINTSUGI_READ_ONLY: 'LEVEL_READ_ONLY',
  KINTSUGI_CORRUPTION: 'LEVEL_CORRUPTION',
  KINTSUGI_WAL_CORRUPTION: 'LEVEL_CORRUPTION',
  KINTSUGI_DISK_FULL: 'LEVEL_IO_ERROR',
  KINTSUGI_IO: 'LEVEL_IO_ERROR',
  KINTSUGI_TOO_MANY_FILES: 'LEVEL_IO_ERROR',
  KINTSUGI_PERMISSION: 'LEVEL_IO_ERROR',
  KINTSUGI_FILE_MISSING: 'LEVEL_IO_ERROR',
  KINTSUGI_FILE_EXISTS: 'LEVEL_IO_ERROR',
  KINTSUGI_OUTCOME_UNKNOWN: 'LEVEL_IO_ERROR',
  KINTSUGI_CONFLICT: 'LEVEL_CONFLICT',
  KINTSUGI_NOT_SUPPORTED: 'LEVEL_NOT_SUPPORTED',
  KINTSUGI_ABORTED: 'LEVEL_ABORTED',
  KINTSUGI_INTERNAL: 'LEVEL_INTERNAL'
}

/** An error as users of Level expect it; `cause` is the engine's own, with code and facts. */
export class LevelError extends Error {
  /** Stable name of what went wrong, `LEVEL_…`. */
  readonly code: string

  constructor(code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    // An aborted operation is told by its name on the web, and by Level.
    this.name = code === 'LEVEL_ABORTED' ? 'AbortError' : 'LevelError'
  }
}

/** The error to hand out for one of the engine; whatever else was thrown stays as it is. */
export function levelError(error: unknown): unknown {
  if (!(error instanceof KintsugiError)) return error
  const words = phrases[error.code]
  const message = words === undefined ? error.message : `${words}: ${error.message}`
  return new LevelError(codes[error.code], message, error)
}

/** Words that LevelDB's messages have, and that some programs look for. */
const phrases: { readonly [Code in ErrorCode]?: string } = {
  KINTSUGI_STORE_MISSING: 'database does not exist',
  KINTSUGI_STORE_EXISTS: 'database exists'
}

/** Throws what users of Level expect in place of an error of the engine. */
export function throwLevelError(error: unknown): never {
  throw levelError(error)
}

export function notOpen(what: string): LevelError {
  return new LevelError('LEVEL_DATABASE_NOT_OPEN', `Database is not open: ${what}`)
}
