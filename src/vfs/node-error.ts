import { KintsugiError } from '../errors.js'
import { fileError } from './file-error.js'

/** How often in a row a call may be told to try again before that is an error of its own. */
const maxAttempts = 100

/** The typed error for anything that `node:fs` throws or passes to a callback. */
export function nodeError(operation: string, path: string, cause: unknown): KintsugiError {
  if (cause instanceof KintsugiError) return cause
  const code = errnoOf(cause)
  // Node refused the arguments before it asked the operating system, for example a NUL in a path.
  if (code === undefined || code.startsWith('ERR_')) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const message = `${operation} of ${JSON.stringify(path)} was refused: ${reason}`
    return new KintsugiError('KINTSUGI_INVALID_ARGUMENT', message, { operation, path }, cause)
  }
  return fileError(operation, path, code, cause)
}

export function errnoOf(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | null | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

/** Runs a call of `node:fs` with typed errors. */
export function withTypedErrors<T>(operation: string, path: string, call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw nodeError(operation, path, error)
  }
}

/** The same for the callback form. */
export function asPromise<T>(
  operation: string,
  path: string,
  start: (done: (error: Error | null, result?: T) => void) => void
): Promise<T> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, result?: T) => {
      if (error) reject(nodeError(operation, path, error))
      else resolve(result as T)
    }
    try {
      start(done)
    } catch (error) {
      reject(nodeError(operation, path, error))
    }
  })
}

/** True when a read or write that failed this way, for the `attempt`th time, should be repeated. */
export function mayTryAgain(error: unknown, attempt: number): boolean {
  if (attempt >= maxAttempts) return false
  const errno = error instanceof KintsugiError ? error.facts.errno : errnoOf(error)
  return errno === 'EINTR' || errno === 'EAGAIN'
}
