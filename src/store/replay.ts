import { turn } from '../base/turn.js'
import type { Backend } from '../backend/backend.js'
import { BatchMerger } from '../batch/batch-merger.js'
import { BatchReader, OperationKind } from '../batch/batch.js'
import { isCorruption } from '../errors.js'

/** Applied one after the other before the event loop goes on. */
const appliedPerTurnBytes = 2 ** 20

/** Collected before they are applied: the more, the more of them meet in the same page. */
const collectedBytes = 8 * 2 ** 20

interface Commit {
  readonly start: number
  readonly end: number
  readonly seq: number
}

/**
 * Feeds the log's commits to the backend while a store is opened. Nothing is read or persisted
 * before the last of them, so many commits are merged and applied in key order where that pays.
 *
 * Operations on damaged pages are parked by `apply` (rule W10): their keys answer with the damage
 * until a repair. To know the commits concerned, those that were merged are then applied one by
 * one; that some of it happened before changes nothing, as the last operation on a key decides.
 */
export class Replay {
  readonly #backend: Backend
  /** Made when there is something to collect: most openings replay nothing. */
  #merger: BatchMerger | undefined
  #commits: Commit[] = []
  /** Applied since the event loop went on. */
  #appliedBytes = 0

  constructor(backend: Backend) {
    this.#backend = backend
  }

  /** Takes the next commit; its bytes are no longer needed when it is done. */
  add(bytes: Buffer, start: number, end: number, seq: number): void | Promise<void> {
    if (!this.#backend.capabilities.prefersSortedWrites)
      return this.#addInTurn(bytes, start, end, seq)
    const merger = (this.#merger ??= new BatchMerger(collectedBytes))
    const at = merger.add(bytes, start, end)
    if (at < 0) return this.#addAlone(merger, bytes, start, end, seq)
    this.#commits.push({ start: at, end: at + end - start, seq })
    return undefined
  }

  /** Applies what was collected. */
  async finish(): Promise<void> {
    const merger = this.#merger
    if (merger === undefined || this.#commits.length === 0) return
    try {
      await this.#applyMerged(merger)
    } catch (error) {
      if (!isCorruption(error)) throw error
      for (const { start, end, seq } of this.#commits) {
        await this.#apply(merger.bytes, start, end, seq)
      }
    }
    merger.clear()
    this.#commits = []
  }

  /** Applies a commit at once, where order does not matter. */
  #addInTurn(bytes: Buffer, start: number, end: number, seq: number): void | Promise<void> {
    const backend = this.#backend
    let isPrepared = false
    try {
      isPrepared = backend.tryPrepare(bytes, start, end)
    } catch (error) {
      if (!isCorruption(error)) throw error
    }
    // What is damaged or has to be loaded takes the other way.
    if (!isPrepared) return this.#apply(bytes, start, end, seq)
    backend.apply(bytes, start, end, seq)
    this.#appliedBytes += end - start
    if (this.#appliedBytes < appliedPerTurnBytes) return undefined
    this.#appliedBytes = 0
    return turn()
  }

  /** A commit for which there is no room yet, or that cannot be merged. */
  async #addAlone(
    merger: BatchMerger,
    bytes: Buffer,
    start: number,
    end: number,
    seq: number
  ): Promise<void> {
    await this.finish()
    const at = merger.add(bytes, start, end)
    if (at < 0) await this.#apply(bytes, start, end, seq)
    else this.#commits.push({ start: at, end: at + end - start, seq })
  }

  async #applyMerged(merger: BatchMerger): Promise<void> {
    const backend = this.#backend
    const { seq } = this.#commits[this.#commits.length - 1]
    merger.sort()
    for (let size = merger.next(); size > 0; size = merger.next()) {
      const { part } = merger
      if (!backend.tryPrepare(part, 0, size)) await backend.prepare(part, 0, size)
      backend.apply(part, 0, size, seq)
      await turn()
    }
  }

  /** Applies one commit, waiting for pages that are not in memory. */
  async #apply(bytes: Buffer, start: number, end: number, seq: number): Promise<void> {
    const backend = this.#backend
    try {
      if (!backend.tryPrepare(bytes, start, end)) await backend.prepare(bytes, start, end)
    } catch (error) {
      // A parked range removal would let keys show that it removed; then nothing is served.
      if (!isCorruption(error) || removesRange(bytes, start, end)) throw error
    }
    backend.apply(bytes, start, end, seq)
  }
}

function removesRange(bytes: Buffer, start: number, end: number): boolean {
  const batch = new BatchReader(bytes, start, end)
  while (batch.next()) if (batch.kind === OperationKind.clear) return true
  return false
}
