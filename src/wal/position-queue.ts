/** One frame behind the last proven-synced one. */
export interface FramePosition {
  segment: number
  offset: number
  end: number
  chainLow: number
  chainHigh: number
  seq: number
}

const fields = 6

/** A queue of frame positions without an object per frame: replay passes millions through it. */
export class PositionQueue {
  #values = new Float64Array(fields * 1024)
  #first = 0
  #end = 0

  get length(): number {
    return this.#end - this.#first
  }

  push(
    segment: number,
    offset: number,
    end: number,
    chainLow: number,
    chainHigh: number,
    seq: number
  ): void {
    if ((this.#end + 1) * fields > this.#values.length) this.#makeRoom()
    const values = this.#values
    const at = this.#end++ * fields
    values[at] = segment
    values[at + 1] = offset
    values[at + 2] = end
    values[at + 3] = chainLow
    values[at + 4] = chainHigh
    values[at + 5] = seq
  }

  /** Removes frames up to `seq` from the front; the last one of them, or undefined. */
  popThrough(seq: number): FramePosition | undefined {
    const before = this.#first
    while (this.#first < this.#end && this.#values[this.#first * fields + 5] <= seq) this.#first++
    return this.#first > before ? this.#at(this.#first - 1) : undefined
  }

  /** Removes frames above `seq` from the back. */
  dropAbove(seq: number): void {
    while (this.#end > this.#first && this.#values[(this.#end - 1) * fields + 5] > seq) this.#end--
  }

  get(index: number): FramePosition {
    return this.#at(this.#first + index)
  }

  #at(index: number): FramePosition {
    const at = index * fields
    const [segment, offset, end, chainLow, chainHigh, seq] = this.#values.subarray(at, at + fields)
    return { segment, offset, end, chainLow, chainHigh, seq }
  }

  #makeRoom(): void {
    const live = this.#values.subarray(this.#first * fields, this.#end * fields)
    const target =
      live.length > this.#values.length / 2
        ? new Float64Array(this.#values.length * 2)
        : new Float64Array(this.#values.length)
    target.set(live)
    this.#values = target
    this.#end -= this.#first
    this.#first = 0
  }
}
