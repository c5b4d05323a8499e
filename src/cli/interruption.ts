import { exitCodes } from './exit-codes.js'

/**
 * Ctrl-C and termination: the first asks the command to stop at the next safe point and close the
 * store, the second ends the process at once. Nothing that was acknowledged is lost either way.
 */
export class Interruption {
  readonly #controller = new AbortController()
  readonly #exit: (exitCode: number) => void
  #exitCode: number = exitCodes.interrupted

  constructor(process: NodeJS.Process) {
    process.on('SIGINT', () => this.#receive(exitCodes.interrupted))
    process.on('SIGTERM', () => this.#receive(exitCodes.terminated))
    this.#exit = (exitCode) => process.exit(exitCode)
  }

  /** Asks the command to stop, and has the process end with this code. */
  stop(exitCode: number): void {
    if (this.#controller.signal.aborted) return
    this.#exitCode = exitCode
    this.#controller.abort()
  }

  #receive(exitCode: number): void {
    if (this.#controller.signal.aborted) this.#exit(exitCode)
    this.stop(exitCode)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get exitCode(): number {
    return this.#exitCode
  }
}
