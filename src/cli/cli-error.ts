/** A failure of the command rather than of the store: wrong usage, bad input, an interruption. */
export class CliError extends Error {
  override readonly name = 'CliError'

  constructor(
    readonly code: CliErrorCode,
    message: string,
    readonly facts: Readonly<Record<string, string | number>> = {}
  ) {
    super(message)
  }

  toJSON(): Record<string, unknown> {
    return { code: this.code, message: this.message, ...this.facts }
  }
}

export type CliErrorCode =
  | 'CLI_USAGE'
  | 'CLI_KEY_ABSENT'
  | 'CLI_BAD_INPUT'
  | 'CLI_FILE'
  | 'CLI_INTERRUPTED'

export function usageError(message: string): CliError {
  return new CliError('CLI_USAGE', message)
}

/** A record of an input file that cannot be imported. */
export function inputError(message: string, record: number, line: number): CliError {
  return new CliError('CLI_BAD_INPUT', `record ${record} (line ${line}): ${message}`, {
    record,
    line
  })
}

/** A file of the user's that cannot be read or written, in words instead of an errno. */
export function fileError(action: string, path: string, error: unknown): CliError {
  const errno = (error as NodeJS.ErrnoException | null)?.code
  const reason = (errno && reasons[errno]) ?? (error instanceof Error ? error.message : errno)
  return new CliError('CLI_FILE', `cannot ${action} ${path}: ${reason}`, {
    path,
    ...(errno && { errno })
  })
}

/** What a call about a file answers, or undefined where there is no such file. */
export async function ifThere<T>(
  action: string,
  path: string,
  call: Promise<T>
): Promise<T | undefined> {
  try {
    return await call
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw fileError(action, path, error)
  }
}

const reasons: Record<string, string> = {
  ENOENT: 'there is no such file or directory',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ENOTDIR: 'it is not a directory',
  EISDIR: 'it is a directory',
  EEXIST: 'it is there already; use --force to replace it',
  ENOSPC: 'the disk is full',
  EROFS: 'the file system is read-only'
}
