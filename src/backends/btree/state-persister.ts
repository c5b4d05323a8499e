import { KintsugiError } from '../../errors.js'
import type { DataFile } from './data-file.js'
import type { MetaSlots } from './meta-slots.js'
import type { AbandonedTimeline } from './meta.js'
import type { Overflow } from './overflow.js'
import type { PageContent } from './page-content.js'
import type { PageMemory } from './page-memory.js'
import { frozenFrame } from './page-sealer.js'
import type { PageSpace } from './page-space.js'
import type { PageSums } from './page-sums.js'
import { writeFrozen, type FrozenState } from './persist.js'
import type { TreeState } from './tree-state.js'

/** What a persist looks at between two breathers; well under a millisecond. */
const thawedPerSlice = 4096
/** A tail shorter than this stays, so that a file does not shrink and grow all the time. */
const minTailPages = 64

export interface StatePersisterParts {
  readonly file: DataFile
  readonly slots: MetaSlots
  readonly memory: PageMemory
  readonly overflow: Overflow
  readonly sums: PageSums
  readonly space: PageSpace
  readonly content: PageContent
  readonly epoch: number
  readonly abandoned: readonly AbandonedTimeline[]
}

/**
 * Makes one state after the other durable: freeze, write pages, sync, publish in a meta page, sync.
 *
 * - Until the first sync has succeeded, nothing written is believed: the pages stay dirty, and the
 *   next persist writes them again, to the same places. If that sync fails, there is no next one
 *   (rule F1).
 * - When publishing fails, the pages are safe, but no durable meta page leads to them. The next
 *   persist publishes into the same slot, and until then both states it may hold keep their pages
 *   (rule F5).
 */
export class StatePersister {
  readonly #parts: StatePersisterParts
  #failedTruncations = 0

  constructor(parts: StatePersisterParts) {
    this.#parts = parts
  }

  get failedTruncations(): number {
    return this.#failedTruncations
  }

  async persist(state: TreeState, syncLog: (seq: number) => Promise<void>): Promise<number> {
    const { file, slots, space, epoch, abandoned } = this.#parts
    file.checkUsable()
    const frozen = this.#freeze(state)
    let durable = false
    try {
      await syncLog(state.appliedSeq)
      const written = await this.#write(frozen, epoch)
      await file.datasync()
      durable = true
      await this.#thawWritten(frozen)
      await slots.publish({ ...written, abandoned })
    } finally {
      if (!durable) this.#thawUnwritten(frozen)
    }
    space.reclaim(slots.oldestPersistNo)
    const needed = Math.max(slots.pageCount, space.end)
    if (file.pageCount > needed + Math.max(minTailPages, needed >>> 3)) {
      await this.giveBackTail(needed)
    }
    return state.appliedSeq
  }

  /** A longer file than needed does no harm: a failure is counted, and the next time may succeed. */
  async giveBackTail(pageCount: number): Promise<void> {
    try {
      await this.#parts.file.truncate(pageCount)
    } catch (error) {
      if (!(error instanceof KintsugiError)) throw error
      this.#failedTruncations++
    }
  }

  #freeze(state: TreeState): FrozenState {
    const { space, memory, overflow } = this.#parts
    return {
      ...space.freeze(),
      state,
      pages: memory.takeDirtyPages(),
      extents: overflow.freeze()
    }
  }

  #write(frozen: FrozenState, epoch: number) {
    const { file, memory, sums, content, space } = this.#parts
    const ports = {
      file,
      memory,
      sums,
      content,
      pause,
      takeFreelistPages: (choose: (allocate: () => number) => readonly number[]) =>
        space.takeFreelistPages(choose)
    }
    return writeFrozen(ports, frozen, epoch)
  }

  /** What was frozen is on disk: its pages may be evicted. */
  async #thawWritten(frozen: FrozenState): Promise<void> {
    const { memory, overflow } = this.#parts
    const { pages } = frozen
    let inSlice = 0
    for (let pageNo = pages.next(0); pageNo !== -1; pageNo = pages.next(pageNo + 1)) {
      const frame = frozenFrame(memory, frozen, pageNo)
      if (frame !== -1) memory.markClean(frame)
      if (++inSlice % thawedPerSlice === 0) await pause()
    }
    while (!overflow.thawWritten(thawedPerSlice >>> 3)) await pause()
    while (!memory.trim(thawedPerSlice >>> 2)) await pause()
  }

  /** What was frozen is not believed to be on disk: the next persist writes it. */
  #thawUnwritten(frozen: FrozenState): void {
    const { memory, overflow } = this.#parts
    const { pages } = frozen
    for (let pageNo = pages.next(0); pageNo !== -1; pageNo = pages.next(pageNo + 1)) {
      const frame = frozenFrame(memory, frozen, pageNo)
      if (frame !== -1) memory.markDirty(frame)
    }
    overflow.thawUnwritten()
  }
}

function pause(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
