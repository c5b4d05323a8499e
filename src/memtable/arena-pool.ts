import { Arena, entryBytesFor } from './arena.js'

/** One is being written and one flushed; only while a flush lags there are more. */
const maxSpare = 1

/**
 * Makes the arenas of memtables and keeps those given back: memory touched for the first time costs
 * several times as much as memory in use. Only arenas of the usual size are kept.
 */
export class ArenaPool {
  readonly #entryBytes: number
  readonly #spare: Arena[] = []

  constructor(memtableBytes: number) {
    this.#entryBytes = memtableBytes
  }

  /** An empty arena that the batch fits into; larger than the usual where it has to be. */
  take(batchBytes: number, operations: number): Arena {
    const spare = this.#spare.at(-1)
    if (spare?.holds(batchBytes, operations) === true) {
      this.#spare.pop()
      spare.clear()
      return spare
    }
    return Arena.make(Math.max(this.#entryBytes, entryBytesFor(batchBytes, operations)), operations)
  }

  /** Gives back one that nothing reads any more, in no thread. */
  give(arena: Arena): void {
    const isUsual = arena.shared.byteLength === Arena.bytesFor(this.#entryBytes, 0)
    if (isUsual && this.#spare.length < maxSpare) this.#spare.push(arena)
  }

  /** Bytes of the arenas that wait. */
  get spareBytes(): number {
    return this.#spare.reduce((sum, arena) => sum + arena.shared.byteLength, 0)
  }
}
