/** Where time comes from; tests pass their own. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number
  /** Calls back once after `delayMs`; the timer keeps the process alive only where it says so. */
  after(delayMs: number, callback: () => void, keepsAlive?: boolean): Timer
}

export interface Timer {
  cancel(): void
}

export const systemClock: Clock = {
  now: Date.now,
  after(delayMs, callback, keepsAlive = false) {
    const handle = setTimeout(callback, delayMs)
    if (!keepsAlive) handle.unref()
    return { cancel: () => clearTimeout(handle) }
  }
}
