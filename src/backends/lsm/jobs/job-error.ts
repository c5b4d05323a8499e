import { KintsugiError } from '../../../errors.js'
import type { ErrorCode, ErrorFacts } from '../../../errors.js'

/** Further causes are of no interest, and a circle of them must end. */
const maxCauses = 8

/** An error as plain data, for the way from one thread to another. */
export interface PlainError {
  readonly code: ErrorCode
  readonly message: string
  readonly facts: ErrorFacts
  /** What its causes say, the nearest first. */
  readonly causes: readonly string[]
}

export function plainErrorOf(error: unknown): PlainError {
  if (error instanceof KintsugiError) {
    const { code, message, facts, cause } = error
    return { code, message, facts: copyOf(facts), causes: causesOf(cause) }
  }
  const message = 'a background job failed in a way that was not foreseen; please report this'
  return { code: 'KINTSUGI_INTERNAL', message, facts: {}, causes: causesOf(error) }
}

export function errorOf({ code, message, facts, causes }: PlainError): KintsugiError {
  let cause: Error | undefined
  for (const text of causes.toReversed()) cause = new Error(text, cause && { cause })
  return new KintsugiError(code, message, facts, cause)
}

/** A key may be a view of something large, all of which would be posted along. */
function copyOf(facts: ErrorFacts): ErrorFacts {
  const { lowKey, highKey } = facts
  return {
    ...facts,
    ...(lowKey && { lowKey: new Uint8Array(lowKey) }),
    ...(highKey && { highKey: new Uint8Array(highKey) })
  }
}

function causesOf(error: unknown): string[] {
  const texts: string[] = []
  let cause = error
  while (cause !== undefined && texts.length < maxCauses) {
    if (cause instanceof Error) {
      texts.push(cause.stack ?? cause.message)
      cause = cause.cause
    } else {
      texts.push(typeof cause === 'string' ? cause : 'something that is no error')
      break
    }
  }
  return texts
}
