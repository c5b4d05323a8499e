// Batches made by the user's own code, for stores that do not group concurrent writes well by
// themselves: puts collect while a commit is under way, and the next commit takes them all.

export class Grouping {
  #commit
  #keys = []
  #values = []
  #waiting = []
  #running = false

  /** `commit(keys, values)` writes one atomic batch and may return a promise. */
  constructor(commit) {
    this.#commit = commit
  }

  put(key, value) {
    return new Promise((resolve, reject) => {
      this.#keys.push(key)
      this.#values.push(value)
      this.#waiting.push({ resolve, reject })
      if (!this.#running) {
        this.#running = true
        queueMicrotask(() => void this.#run())
      }
    })
  }

  async #run() {
    while (this.#waiting.length > 0) {
      const waiting = this.#waiting
      const keys = this.#keys
      const values = this.#values
      this.#waiting = []
      this.#keys = []
      this.#values = []
      try {
        await this.#commit(keys, values)
        for (const writer of waiting) writer.resolve()
      } catch (error) {
        for (const writer of waiting) writer.reject(error)
      }
      // The acknowledged writers issue their next put in their own microtasks, before this returns.
      await Promise.resolve()
      await Promise.resolve()
    }
    this.#running = false
  }
}
