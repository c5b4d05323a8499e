import type { Progress } from '../backend/backend.js'
import { KintsugiError } from '../errors.js'
import { describe, invalidOption } from '../options.js'

/** How long work reports and is interrupted. */
export interface WorkOptions {
  /** Ends the work with an error of code `KINTSUGI_ABORTED`. */
  readonly signal?: AbortSignal | undefined
  /** Called now and then; `total` is 0 where it is not known. */
  readonly onProgress?: ((done: number, total: number, unit: string) => void) | undefined
}

/** Turns the reason that ended the work, whatever it is, into an error of ours with it as cause. */
export async function interruptible<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined
): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw signal?.aborted === true && error === signal.reason ? aborted(signal) : error
  }
}

/** The caller's wishes in the form that backends take. */
export function progressOf(options: WorkOptions): Progress {
  const { signal, onProgress } = options
  checkSignal(signal)
  if (signal?.aborted === true) throw aborted(signal)
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw invalidOption('onProgress', `${describe(onProgress)} was given, allowed is a function`)
  }
  return {
    signal,
    report(done, total, unit) {
      if (signal?.aborted === true) throw aborted(signal)
      onProgress?.(done, total, unit)
    }
  }
}

export function checkSignal(signal: unknown): asserts signal is AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return
  throw invalidOption('signal', `${describe(signal)} was given, allowed is an AbortSignal`)
}

export function aborted(signal: AbortSignal): KintsugiError {
  const message = 'the operation was aborted by its signal'
  return new KintsugiError('KINTSUGI_ABORTED', message, {}, signal.reason)
}
