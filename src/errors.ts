/**
 * Every failure this engine reports is a `KintsugiError`. Programs tell them apart by `code`, never
 * by message; the message is for people and says what to do next.
 */

/** How urgent an error is: P0 data or service is at stake, P3 a mistake of the caller. */
export type Severity = 'P0' | 'P1' | 'P2' | 'P3'

interface ErrorClass {
  readonly severity: Severity
  readonly retryable: boolean
}

/** What each code means for whoever has to react: severity and whether trying again can help. */
const classes = {
  /** An argument has the wrong type or shape; nothing was written. */
  KINTSUGI_INVALID_ARGUMENT: { severity: 'P3', retryable: false },
  /** An option is unknown, misspelled, of the wrong type or out of range. */
  KINTSUGI_INVALID_OPTION: { severity: 'P1', retryable: false },
  /** A key is longer than 65,535 bytes. */
  KINTSUGI_KEY_TOO_LARGE: { severity: 'P3', retryable: false },
  /** A value is longer than 1 GiB. */
  KINTSUGI_VALUE_TOO_LARGE: { severity: 'P3', retryable: false },
  /** A batch is larger than the log can hold in one commit. */
  KINTSUGI_BATCH_TOO_LARGE: { severity: 'P3', retryable: false },
  /** The store is closed or closing. */
  KINTSUGI_NOT_OPEN: { severity: 'P3', retryable: false },
  /** The iterator was closed, or its store was. */
  KINTSUGI_ITERATOR_NOT_OPEN: { severity: 'P3', retryable: false },
  /** The snapshot was closed, or its store was. */
  KINTSUGI_SNAPSHOT_NOT_OPEN: { severity: 'P3', retryable: false },
  /** The transaction has ended. */
  KINTSUGI_TRANSACTION_NOT_OPEN: { severity: 'P3', retryable: false },
  /** There is no store at the given path, and `createIfMissing` is false. */
  KINTSUGI_STORE_MISSING: { severity: 'P1', retryable: false },
  /** There is a store at the given path, and `errorIfExists` is true. */
  KINTSUGI_STORE_EXISTS: { severity: 'P3', retryable: false },
  /** A directory holds something that is not a Kintsugi store. */
  KINTSUGI_FOREIGN_DIRECTORY: { severity: 'P1', retryable: false },
  /** A directory holds a copy that was interrupted; it is no store before it is complete. */
  KINTSUGI_UNFINISHED_COPY: { severity: 'P1', retryable: false },
  /** The store was written by a newer version or uses a feature this version does not know. */
  KINTSUGI_UNSUPPORTED_VERSION: { severity: 'P1', retryable: false },
  /** The store was created with another backend or with options that fix its format otherwise. */
  KINTSUGI_BACKEND_MISMATCH: { severity: 'P1', retryable: false },
  /** Another opener, in this process or another one, holds the store. */
  KINTSUGI_LOCKED: { severity: 'P1', retryable: true },
  /** The store is open read-only, or became read-only after a failure. */
  KINTSUGI_READ_ONLY: { severity: 'P1', retryable: false },
  /** Bytes on disk are not what was written there: page, meta page, identity slot. */
  KINTSUGI_CORRUPTION: { severity: 'P0', retryable: false },
  /** Synced bytes of the write-ahead log are damaged or missing. */
  KINTSUGI_WAL_CORRUPTION: { severity: 'P0', retryable: false },
  /** The file system or a quota has no room. */
  KINTSUGI_DISK_FULL: { severity: 'P0', retryable: true },
  /** The file system reported an I/O error; this is not corruption. */
  KINTSUGI_IO: { severity: 'P0', retryable: false },
  /** The process may not open more files. */
  KINTSUGI_TOO_MANY_FILES: { severity: 'P1', retryable: true },
  /** The file system refused access. */
  KINTSUGI_PERMISSION: { severity: 'P1', retryable: false },
  /** A file that was expected is not there, or its directory is not. */
  KINTSUGI_FILE_MISSING: { severity: 'P1', retryable: false },
  /** A file that must not exist yet does. */
  KINTSUGI_FILE_EXISTS: { severity: 'P1', retryable: false },
  /** A write failed in a way that leaves open whether it will survive; reopening tells. */
  KINTSUGI_OUTCOME_UNKNOWN: { severity: 'P0', retryable: false },
  /** A transaction read something that another commit changed meanwhile. */
  KINTSUGI_CONFLICT: { severity: 'P3', retryable: true },
  /** The operation is not available here, and the message says why. */
  KINTSUGI_NOT_SUPPORTED: { severity: 'P3', retryable: false },
  /** The caller's `AbortSignal` ended the operation. */
  KINTSUGI_ABORTED: { severity: 'P3', retryable: true },
  /** An invariant of the engine itself does not hold: a defect, please report it. */
  KINTSUGI_INTERNAL: { severity: 'P0', retryable: false }
} as const satisfies Record<string, ErrorClass>

/** The stable name of what went wrong; programs decide by it. */
export type ErrorCode = keyof typeof classes

/** The facts an error carries beside its message; which are set depends on the code. */
export interface ErrorFacts {
  /** File or directory concerned. */
  path?: string
  /** Byte offset in that file. */
  offset?: number
  /** Page number in that file. */
  page?: number
  /** WAL segment number. */
  segment?: number
  /** First sequence number concerned. */
  firstSeq?: number
  /** Last sequence number concerned. */
  lastSeq?: number
  /** Lower bound of the keys concerned, itself included; absent: unbounded. */
  lowKey?: Uint8Array
  /** Upper bound of the keys concerned, itself not included; absent: unbounded. */
  highKey?: Uint8Array
  /** Operation of the file system or the store that failed. */
  operation?: string
  /** The operating system's own code, such as `ENOSPC`. */
  errno?: string
  /** The name of the option concerned. */
  option?: string
  /** Who holds a locked store. */
  owner?: { pid: number; host: string; since: string }
}

/** Every failure that the engine reports. */
export class KintsugiError extends Error {
  override readonly name = 'KintsugiError'
  /** What went wrong; stable from version to version. */
  readonly code: ErrorCode
  /** Where it went wrong: file, offset, keys and so on, as far as the code has them. */
  readonly facts: Readonly<ErrorFacts>

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.facts = facts
  }

  /** How urgent it is. */
  get severity(): Severity {
    return classes[this.code].severity
  }

  /** True when the same call may succeed later without anybody repairing anything. */
  get retryable(): boolean {
    return classes[this.code].retryable
  }

  /** Everything but the stack, with keys in hexadecimal; what `JSON.stringify` prints. */
  toJSON(): Record<string, unknown> {
    const { lowKey, highKey, ...rest } = this.facts
    return {
      code: this.code,
      message: this.message,
      severity: this.severity,
      retryable: this.retryable,
      ...rest,
      ...(lowKey && { lowKey: Buffer.from(lowKey).toString('hex') }),
      ...(highKey && { highKey: Buffer.from(highKey).toString('hex') })
    }
  }
}

/** True where a file or directory is not there. */
export function isFileMissing(error: unknown): error is KintsugiError {
  return error instanceof KintsugiError && error.code === 'KINTSUGI_FILE_MISSING'
}

/** True for damage of any kind: bytes that are not what was written. */
export function isCorruption(error: unknown): error is KintsugiError {
  return (
    error instanceof KintsugiError &&
    (error.code === 'KINTSUGI_CORRUPTION' || error.code === 'KINTSUGI_WAL_CORRUPTION')
  )
}
