import type { VfsLock } from '../vfs/vfs.js'
import type { DestinationKind, SourceState } from './copy-marker.js'
import type { EntryPut } from './entry.js'

export type EntryBatches = AsyncIterable<readonly EntryPut[]>

/** What is copied: entries that stay as they are while it is open. */
export interface EntrySource {
  readonly state: SourceState
  /** The entries behind a key, or all of them, in key order. */
  batches(after: Buffer | undefined): EntryBatches
  /** Lets go of what is in memory, so that what follows is read from disk; `state` stays as it is. */
  reopen(): Promise<void>
  close(): Promise<void>
}

/** Where the copy goes: a directory that is new, or empty, or an unfinished copy. */
export interface EntrySink {
  readonly kind: DestinationKind
  readonly path: string
  /** Throws where neither is the case; changes nothing. */
  admit(): void
  /** Keeps every other copy, and whoever might create something there, out. */
  lockSync(): VfsLock
  /** Opens what the copy of this id has left there, or creates it where it had not come so far. */
  open(id: string): Promise<void>
  /** The last key that is there; undefined where nothing is. */
  lastKey(): Promise<Buffer | undefined>
  /** Writes behind everything that is there; all of it or nothing. */
  write(batch: readonly EntryPut[]): Promise<void>
  /** Makes everything durable and closes. */
  finish(): Promise<void>
  /** What is there, read from disk again; for after `finish` or `publish`. */
  readBack(): EntryBatches
  /** Puts what was found to be whole into its place, if that is another; any part of it is kept. */
  publish(id: string): Promise<void>
  /** Closes what is open after a failure, which is the one to report. */
  abandon(): Promise<void>
}
