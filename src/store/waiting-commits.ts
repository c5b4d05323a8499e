import type { Backend } from '../backend/backend.js'
import type { Durability } from '../options.js'

/** A commit that has no sequence number yet; without operations, a barrier. */
export interface WaitingCommit {
  readonly payload: Buffer
  readonly operations: number
  readonly durability: Durability
  readonly validate: (() => void) | undefined
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

interface Entry {
  readonly commit: WaitingCommit
  /** `gone`: whoever still loads for it gives the preparation up. */
  state: 'new' | 'loading' | 'ready' | 'gone'
}

/** Commits at the front that are prepared at the same time: enough to keep a disk busy. */
const preparedAhead = 64

/**
 * Commits that wait in order for pages to be loaded or for room in the log. Those at the front are
 * prepared together, so that many small commits do not wait for one page after the other.
 */
export class WaitingCommits {
  readonly #backend: Backend
  /** Called when the front may have become ready. */
  readonly #onReady: () => void
  #entries: Entry[] = []
  #head = 0

  constructor(backend: Backend, onReady: () => void) {
    this.#backend = backend
    this.#onReady = onReady
  }

  get size(): number {
    return this.#entries.length - this.#head
  }

  push(commit: WaitingCommit): void {
    this.#entries.push({ commit, state: 'new' })
  }

  /** The first commit, once it is prepared; undefined where there is none or its pages are loading. */
  ready(): WaitingCommit | undefined {
    this.#prepare()
    const first = this.#entries[this.#head]
    return first?.state === 'ready' ? first.commit : undefined
  }

  /** The first commit, prepared on the spot; undefined where there is none. */
  readySync(): WaitingCommit | undefined {
    for (;;) {
      const first = this.#entries[this.#head]
      if (first === undefined || first.state === 'ready') return first?.commit
      const { payload, reject } = first.commit
      try {
        this.#backend.prepareSync(payload, 0, payload.length)
      } catch (error) {
        this.#drop(first)
        reject(error)
        continue
      }
      // A load under way belongs to a preparation that nobody needs any more.
      this.#entries[this.#head] = { commit: first.commit, state: 'ready' }
      first.state = 'gone'
    }
  }

  /** Takes the first commit out; its preparation goes with it. */
  shift(): void {
    this.#head++
    if (this.#head < 256 && this.#head < this.#entries.length) return
    this.#entries = this.#entries.slice(this.#head)
    this.#head = 0
  }

  rejectAll(error: unknown): void {
    const entries = this.#entries.slice(this.#head)
    this.#entries = []
    this.#head = 0
    for (const entry of entries) {
      if (entry.state === 'ready') this.#backend.unprepare()
      entry.state = 'gone'
      entry.commit.reject(error)
    }
  }

  #prepare(): void {
    const end = Math.min(this.#head + preparedAhead, this.#entries.length)
    for (const entry of this.#entries.slice(this.#head, end)) {
      if (entry.state === 'new') this.#prepareOne(entry)
    }
  }

  #prepareOne(entry: Entry): void {
    const { payload, reject } = entry.commit
    const fail = (error: unknown): void => {
      if (entry.state === 'gone') return
      this.#drop(entry)
      reject(error)
    }
    try {
      if (this.#backend.tryPrepare(payload, 0, payload.length)) {
        entry.state = 'ready'
        return
      }
    } catch (error) {
      fail(error)
      return
    }
    entry.state = 'loading'
    this.#backend.prepare(payload, 0, payload.length).then(
      () => {
        if (entry.state === 'gone') this.#backend.unprepare()
        else entry.state = 'ready'
        this.#onReady()
      },
      (error: unknown) => {
        fail(error)
        this.#onReady()
      }
    )
  }

  #drop(entry: Entry): void {
    entry.state = 'gone'
    const index = this.#entries.indexOf(entry, this.#head)
    if (index >= 0) this.#entries.splice(index, 1)
  }
}
