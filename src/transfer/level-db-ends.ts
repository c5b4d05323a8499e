import { basename, dirname } from 'node:path'
import type { Progress } from '../backend/backend.js'
import { LevelDb, type LevelOptions } from '../backends/level/level-db.js'
import { LevelFiles } from '../backends/level/sync-files.js'
import type { Clock } from '../base/clock.js'
import { currentName } from '../backends/level/files/file-names.js'
import { databaseName, stateName } from '../backends/level/format.js'
import { KintsugiError } from '../errors.js'
import {
  copyLockName,
  inspectDirectory,
  isRefused,
  refuseDirectory
} from '../store/store-directory.js'
import type { Vfs, VfsLock } from '../vfs/vfs.js'
import type { SourceState } from './copy-marker.js'
import type { EntryBatches, EntrySink, EntrySource } from './ends.js'
import type { BatchBounds, EntryPut } from './entry.js'
import { checkWhole, fileDigest, realPathOf } from './level-db-files.js'
import { makePart, partPath, publishPart } from './level-db-part.js'
import { lastKeyOf, LevelDbReader } from './level-db-reader.js'

/** What both ends need. */
export interface LevelDbPlace {
  readonly vfs: Vfs
  readonly path: string
  readonly options: LevelOptions
  readonly bounds: BatchBounds
  readonly clock: Clock
  readonly progress: Progress
}

/**
 * A plain LevelDB database as a source, which stays byte for byte as it is. LevelDB's lock is left
 * alone: that nobody writes to it meanwhile, the digest of its files tells.
 */
export class LevelDbSource implements EntrySource {
  readonly state: SourceState
  readonly #place: LevelDbPlace
  readonly #digest: string
  #reader: LevelDbReader

  private constructor(place: LevelDbPlace, digest: string, reader: LevelDbReader) {
    this.#place = place
    this.#digest = digest
    this.#reader = reader
    this.state = { kind: 'leveldb', path: place.path, digest }
  }

  static async open(place: LevelDbPlace): Promise<LevelDbSource> {
    const { vfs, path, progress } = place
    admitSource(vfs, path)
    const digest = await fileDigest(vfs, path)
    await checkWhole(vfs, path, progress)
    return new LevelDbSource(place, digest, await openUnchanged(place, digest))
  }

  batches(after: Buffer | undefined): EntryBatches {
    return this.#reader.batches(after, this.#place.bounds)
  }

  async reopen(): Promise<void> {
    await this.#reader.close()
    this.#reader = await openUnchanged(this.#place, this.#digest)
  }

  close(): Promise<void> {
    return this.#reader.close()
  }
}

function admitSource(vfs: Vfs, path: string): void {
  const state = inspectDirectory(vfs, path)
  if (state === 'leveldb' && !isInsideOfStore(vfs, path)) return
  if (state === 'unfinished') throw refuseDirectory(path, state)
  if (state === 'missing') {
    throw new KintsugiError('KINTSUGI_STORE_MISSING', `there is no LevelDB database in ${path}`, {
      path
    })
  }
  const isStore = state === 'store' || state === 'leveldb'
  const what = isStore ? 'belongs to a Kintsugi store; migrate copies those' : 'has other files'
  throw new KintsugiError(
    'KINTSUGI_FOREIGN_DIRECTORY',
    `there is no LevelDB database in ${path}: it ${state === 'empty' ? 'is empty' : what}`,
    { path }
  )
}

/** What a level store keeps in LevelDB has keys and values of its own form. */
function isInsideOfStore(vfs: Vfs, path: string): boolean {
  return (
    basename(path) === databaseName && vfs.statSync(`${dirname(path)}/${stateName}`) !== undefined
  )
}

/** Opens the files as long as they are what the digest says. */
async function openUnchanged(place: LevelDbPlace, digest: string): Promise<LevelDbReader> {
  const { vfs, path, options } = place
  const reader = await LevelDbReader.open(vfs, path, options)
  try {
    if ((await fileDigest(vfs, path)) === digest) return reader
    throw new KintsugiError(
      'KINTSUGI_LOCKED',
      `somebody writes to the LevelDB database in ${path}; close it there and run the copy again`,
      { path }
    )
  } catch (error) {
    await reader.close()
    throw error
  }
}

/**
 * A new plain LevelDB database as a destination. It is made in a directory of its own, because
 * LevelDB has no name for a database: only the place tells whose its files are.
 */
export class LevelDbSink implements EntrySink {
  readonly kind = 'leveldb'
  readonly #place: LevelDbPlace
  #db: LevelDb | undefined
  /** Where the files are: in the part, later in the directory itself. */
  #filesPath: string

  constructor(place: LevelDbPlace) {
    this.#place = place
    this.#filesPath = place.path
  }

  get path(): string {
    return this.#place.path
  }

  admit(): void {
    const { vfs, path } = this.#place
    realPathOf(vfs, path)
    const state = inspectDirectory(vfs, path)
    if (state === 'store' || state === 'leveldb') throw taken(path)
    if (state === 'half-created') throw refuseDirectory(path, 'foreign')
    if (state !== 'unfinished' && isRefused(state)) throw refuseDirectory(path, state)
  }

  /** LevelDB's own lock file is not for others to lock. */
  lockSync(): VfsLock {
    const { vfs, path, clock } = this.#place
    const lockPath = `${path}/${copyLockName}`
    const lock = vfs.lockSync(lockPath, { exclusive: true, now: clock.now() })
    const { exclusive, previousOwner } = lock
    const release = (): void => {
      lock.release()
      // Only from a whole copy, which refuses whoever has the lock by now.
      if (inspectDirectory(vfs, path) === 'leveldb') vfs.unlinkSync(lockPath)
    }
    return { exclusive, previousOwner, release }
  }

  async open(id: string): Promise<void> {
    const { vfs, path, options } = this.#place
    const part = partPath(path, id)
    await makePart(vfs, path, id)
    const exists = vfs.statSync(`${part}/${currentName}`) !== undefined
    this.#filesPath = part
    this.#db = await LevelDb.open(realPathOf(vfs, part), part, options, !exists)
  }

  lastKey(): Promise<Buffer | undefined> {
    return lastKeyOf(this.#opened, this.#filesPath)
  }

  write(batch: readonly EntryPut[]): Promise<void> {
    return this.#opened.write([...batch], false)
  }

  async finish(): Promise<void> {
    await this.#opened.close()
    this.#db = undefined
    // LevelDB syncs its tables, but not every log.
    await new LevelFiles(this.#place.vfs, this.#filesPath).sync()
  }

  async *readBack(): EntryBatches {
    const { vfs, options, bounds, progress } = this.#place
    await checkWhole(vfs, this.#filesPath, progress)
    const reader = await LevelDbReader.open(vfs, this.#filesPath, options)
    try {
      yield* reader.batches(undefined, bounds)
    } finally {
      await reader.close()
    }
  }

  async publish(id: string): Promise<void> {
    const { vfs, path } = this.#place
    await publishPart(vfs, path, id)
    this.#filesPath = path
  }

  async abandon(): Promise<void> {
    const db = this.#db
    this.#db = undefined
    await db?.close().catch(() => undefined) // the failure before it is reported
  }

  get #opened(): LevelDb {
    if (this.#db !== undefined) return this.#db
    throw new KintsugiError('KINTSUGI_INTERNAL', 'the destination of a copy is not open')
  }
}

function taken(path: string): KintsugiError {
  return new KintsugiError(
    'KINTSUGI_STORE_EXISTS',
    `there is a database in ${path} already; copy into a new or an empty directory`,
    { path }
  )
}
