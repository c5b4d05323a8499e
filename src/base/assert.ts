import { KintsugiError } from '../errors.js'

/**
 * Checks an invariant of the engine itself. Data from disk or from callers is never asserted on:
 * bad data is an ordinary error.
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) {
    throw new KintsugiError(
      'KINTSUGI_INTERNAL',
      `internal invariant violated: ${message}; please report this`
    )
  }
}
