// Timing helpers. Workloads prepare a chunk untimed, then run it timed.

/** Adds up timed stretches and stops after a budget of operations or time, whichever ends first. */
export class Meter {
  operations = 0
  elapsedMs = 0
  #operationsMax
  #timeMaxMs

  constructor({ operationsMax, timeMaxMs }) {
    this.#operationsMax = operationsMax
    this.#timeMaxMs = timeMaxMs
  }

  get open() {
    return this.operations < this.#operationsMax && this.elapsedMs < this.#timeMaxMs
  }

  add(operations, elapsedMs) {
    this.operations += operations
    this.elapsedMs += elapsedMs
  }

  get perSecond() {
    return (this.operations / this.elapsedMs) * 1000
  }
}

export function percentile(samples, fraction) {
  const sorted = Float64Array.from(samples).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))]
}

export function median(samples) {
  const sorted = [...samples].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

export function nextTurn() {
  return new Promise((resolve) => setImmediate(resolve))
}
