/** The longest that a timer can wait. */
const longestMs = 2 ** 31 - 1

/**
 * Keeps the process from ending while somebody waits for background work, whose threads by
 * themselves do not.
 */
export class KeepAlive {
  #timer: NodeJS.Timeout | undefined

  set(isWanted: boolean): void {
    if (isWanted) {
      this.#timer ??= setInterval(() => {}, longestMs)
    } else {
      clearInterval(this.#timer)
      this.#timer = undefined
    }
  }
}
