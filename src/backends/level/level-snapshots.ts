import type { LevelDb } from './level-db.js'
import type { LevelSnapshot } from './private-methods.js'

/** A LevelDB snapshot that several views use. */
export interface SharedSnapshot {
  readonly snapshot: LevelSnapshot
  users: number
  /** Views that are opened now use it as well. */
  isCurrent: boolean
}

/**
 * LevelDB snapshots for views. One serves all views that are opened until a persist has ended: what
 * a persist is writing meanwhile stands in memtables that all of them read.
 */
export class LevelSnapshots {
  readonly #db: LevelDb
  #current: SharedSnapshot | undefined

  constructor(db: LevelDb) {
    this.#db = db
  }

  take(): SharedSnapshot {
    const shared = (this.#current ??= {
      snapshot: this.#db.snapshot(),
      users: 0,
      isCurrent: true
    })
    shared.users++
    return shared
  }

  release(shared: SharedSnapshot): void {
    shared.users--
    close(shared)
  }

  /** Views that are opened from now on see what LevelDB has now. */
  renew(): void {
    const shared = this.#current
    if (shared === undefined) return
    this.#current = undefined
    shared.isCurrent = false
    close(shared)
  }
}

/** Closes it when nobody uses it any more. */
function close(shared: SharedSnapshot): void {
  if (shared.users > 0 || shared.isCurrent) return
  // Closing waits for reads, whose failures are told where they were asked for; it has no others.
  shared.snapshot.close().catch(() => undefined)
}
