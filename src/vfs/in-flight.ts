/** Counts the asynchronous operations of an open file, so that closing can wait for them. */
export class InFlight {
  #count = 0
  #onIdle: (() => void)[] = []

  async run<T>(operation: () => Promise<T>): Promise<T> {
    this.#count++
    try {
      return await operation()
    } finally {
      this.#count--
      if (this.#count === 0) for (const wake of this.#onIdle.splice(0)) wake()
    }
  }

  /** Settles once nothing is in flight. */
  async idle(): Promise<void> {
    if (this.#count > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve))
  }
}
