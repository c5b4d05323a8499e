import { exitCodes } from './exit-codes.js'

/**
 * Ctrl-C and termination: the first asks the command to stop at the next safe point and close the
 * store, the second ends the process at once. Nothing that was acknowledged is lost either way.
 */
export class Interruption {
  readonly #controller = new AbortController()
  #exitCode: number = exitCodes.interrupted

  constructor(process: NodeJS.Process) {
    const stop = (exitCode: number) => (): void => {
      if (this.#controller.signal.aborted) process.exit(exitCode)
      this.#exitCode = exitCode
      this.#controller.abort()
    }
    process.on('SIGINT', stop(exitCodes.interrupted))
    process.on('SIGTERM', stop(exitCodes.terminated))
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get exitCode(): number {
    return this.#exitCode
  }
}
