import { KintsugiError, type ErrorCode } from '../errors.js'
import { CliError, type CliErrorCode } from './cli-error.js'

/** What the process ends with; scripts may rely on these numbers. */
export const exitCodes = {
  done: 0,
  failed: 1,
  usage: 2,
  damage: 3,
  locked: 4,
  keyAbsent: 5,
  storeUnavailable: 6,
  badInput: 7,
  interrupted: 130,
  pipeClosed: 141,
  terminated: 143
} as const

/** The table that `--help` prints. */
export const exitCodeHelp = `
Exit codes:
  0    done
  1    failed: I/O error, disk full, or anything not listed below
  2    wrong usage: unknown command or option, missing or malformed argument
  3    damage found in the store
  4    another process has the store open
  5    the key is not in the store
  6    no usable store: missing, already there, of another kind or backend, or of a newer version
  7    the input cannot be imported: a malformed row, or a repeated key with --unique
  130  interrupted (141: the reader of a pipe went away, 143: terminated)`

const byErrorCode: Record<CliErrorCode, number> & Partial<Record<ErrorCode, number>> = {
  CLI_USAGE: exitCodes.usage,
  CLI_KEY_ABSENT: exitCodes.keyAbsent,
  CLI_BAD_INPUT: exitCodes.badInput,
  CLI_FILE: exitCodes.failed,
  CLI_INTERRUPTED: exitCodes.interrupted,
  KINTSUGI_INVALID_ARGUMENT: exitCodes.usage,
  KINTSUGI_INVALID_OPTION: exitCodes.usage,
  KINTSUGI_KEY_TOO_LARGE: exitCodes.usage,
  KINTSUGI_VALUE_TOO_LARGE: exitCodes.usage,
  KINTSUGI_CORRUPTION: exitCodes.damage,
  KINTSUGI_WAL_CORRUPTION: exitCodes.damage,
  KINTSUGI_LOCKED: exitCodes.locked,
  KINTSUGI_STORE_MISSING: exitCodes.storeUnavailable,
  KINTSUGI_STORE_EXISTS: exitCodes.storeUnavailable,
  KINTSUGI_FOREIGN_DIRECTORY: exitCodes.storeUnavailable,
  KINTSUGI_UNFINISHED_COPY: exitCodes.storeUnavailable,
  KINTSUGI_UNSUPPORTED_VERSION: exitCodes.storeUnavailable,
  KINTSUGI_BACKEND_MISMATCH: exitCodes.storeUnavailable,
  KINTSUGI_ABORTED: exitCodes.interrupted
}

/** What the process ends with after an error. */
export function exitCodeOf(error: unknown): number {
  const isOurs = error instanceof CliError || error instanceof KintsugiError
  return (isOurs ? byErrorCode[error.code] : undefined) ?? exitCodes.failed
}
