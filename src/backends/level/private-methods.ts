import type { ClassicLevel } from 'classic-level'
import type { Encoding } from '../../options.js'

/** Everything goes in and out as bytes. */
export type Database = ClassicLevel<Uint8Array, Buffer>
export type LevelSnapshot = ReturnType<Database['snapshot']>

/** How keys and values come out of LevelDB. */
export interface LevelEncodings {
  readonly keyEncoding: Encoding
  readonly valueEncoding: Encoding
}

export const asBytes = { keyEncoding: 'buffer', valueEncoding: 'buffer' } as const

/** A stored key and its stored value; the caller's own. */
export type StoredEntry = [Buffer | string, Buffer | string]

/** Bounds of stored keys. */
export interface LevelRange {
  readonly gte?: Buffer
  readonly lt?: Buffer
  readonly lte?: Buffer
}

/** Keys go in as bytes. */
export interface PrivateGetOptions {
  readonly keyEncoding: 'buffer'
  readonly valueEncoding: Encoding
  readonly snapshot?: LevelSnapshot | undefined
}

/** What iterators are made of; a bound that is absent must not even be undefined. */
export interface PrivateIteratorOptions extends LevelEncodings {
  readonly reverse: boolean
  readonly highWaterMarkBytes: number
  readonly snapshot: LevelSnapshot
  gte?: Buffer
  lt?: Buffer
  lte?: Buffer
}

export interface PrivateIterator {
  _nextv(size: number): Promise<StoredEntry[]>
  _close(): Promise<void>
}

/**
 * What `classic-level` has behind its public methods, as every implementation of `abstract-level`
 * does: past the checks of arguments and status, which take as long as a good part of a read.
 * Whoever calls them sees to what those checks are for.
 */
export interface PrivateMethods {
  _get(key: Buffer, options: PrivateGetOptions): Promise<Buffer | string | undefined>
  _getSync(key: Buffer, options: PrivateGetOptions): Buffer | string | undefined
  _getMany(keys: Buffer[], options: PrivateGetOptions): Promise<(Buffer | string | undefined)[]>
  _iterator(options: PrivateIteratorOptions): PrivateIterator
  /** Signs an iterator off, which signs on when it is made. */
  detachResource(iterator: PrivateIterator): void
}

/** The types hide them from whoever is no subclass; that they are there is checked at loading. */
export function privateMethods(database: Database): PrivateMethods {
  return database as unknown as PrivateMethods
}
