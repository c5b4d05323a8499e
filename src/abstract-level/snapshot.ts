import { AbstractSnapshot } from 'abstract-level'
import type { Snapshot } from '../store/snapshot.js'
import { LevelError } from './level-error.js'

/** A snapshot as Level has it, taken at once when it is made. */
export class KintsugiSnapshot extends AbstractSnapshot {
  readonly reads: Snapshot

  constructor(options: object, reads: Snapshot) {
    // What the types leave out: the options name the database that owns the snapshot.
    super(...([options] as unknown as []))
    this.reads = reads
  }

  protected _close(): void {
    this.reads.close()
  }
}

/** What to read from where a snapshot was given; undefined where none was. */
export function readsOf(snapshot: unknown): Snapshot | undefined {
  if (snapshot === undefined || snapshot === null) return undefined
  if (snapshot instanceof KintsugiSnapshot) return snapshot.reads
  throw new LevelError(
    'LEVEL_INVALID_ARGUMENT',
    "option 'snapshot': allowed is a snapshot that this database made"
  )
}
