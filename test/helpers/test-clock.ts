import type { Clock, Timer } from '../../dist/base/clock.js'

interface TestTimer {
  readonly dueMs: number
  readonly callback: () => void
  readonly keepsAlive: boolean
}

/** Time that stands still until a test moves it; timers fire in order and never by themselves. */
export class TestClock implements Clock {
  #nowMs: number
  #timers: TestTimer[] = []

  constructor(startMs = 1_700_000_000_000) {
    this.#nowMs = startMs
  }

  now(): number {
    return this.#nowMs
  }

  after(delayMs: number, callback: () => void, keepsAlive = false): Timer {
    const timer = { dueMs: this.#nowMs + Math.max(delayMs, 0), callback, keepsAlive }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer)
      }
    }
  }

  /** Timers that would keep a process from ending by itself. */
  get keepingAlive(): number {
    return this.#timers.filter(({ keepsAlive }) => keepsAlive).length
  }

  get pendingTimers(): number {
    return this.#timers.length
  }

  /** Moves time forward and fires what falls due, each timer at its own time. */
  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs
    for (;;) {
      let next: TestTimer | undefined
      for (const timer of this.#timers) {
        if (timer.dueMs <= untilMs && (!next || timer.dueMs < next.dueMs)) next = timer
      }
      if (!next) break
      this.#timers.splice(this.#timers.indexOf(next), 1)
      this.#nowMs = Math.max(this.#nowMs, next.dueMs)
      next.callback()
    }
    this.#nowMs = untilMs
  }

  /** Moves time forward in steps and lets promises and I/O go on after each. */
  async run(byMs: number, stepMs = 10): Promise<void> {
    for (let passedMs = 0; passedMs < byMs; passedMs += stepMs) {
      this.advance(Math.min(stepMs, byMs - passedMs))
      await turn()
    }
  }
}

/** One turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve))
}
