import { LevelDb, type LevelOptions } from '../backends/level/level-db.js'
import { levelError } from '../backends/level/level-error.js'
import type { LevelIterator } from '../backends/level/level-iterator.js'
import { asBytes } from '../backends/level/private-methods.js'
import { makeShadow, removeShadow } from '../backends/level/shadow.js'
import type { Vfs } from '../vfs/vfs.js'
import type { EntryBatches } from './ends.js'
import { inBatches, type BatchBounds } from './entry.js'
import { realPathOf } from './level-db-files.js'

/** Entries that LevelDB reads in one go. */
const maxEntriesPerRead = 1000

/**
 * A LevelDB database that is only read. LevelDB writes whenever it opens, so it opens a shadow; the
 * files themselves stay as they are.
 */
export class LevelDbReader {
  readonly #vfs: Vfs
  readonly #path: string
  readonly #shadow: string
  readonly #db: LevelDb
  #isClosed = false

  private constructor(vfs: Vfs, path: string, shadow: string, db: LevelDb) {
    this.#vfs = vfs
    this.#path = path
    this.#shadow = shadow
    this.#db = db
  }

  static async open(vfs: Vfs, path: string, options: LevelOptions): Promise<LevelDbReader> {
    const shadow = await makeShadow(vfs, path, realPathOf(vfs, path))
    try {
      const db = await LevelDb.open(shadow, path, options, false)
      return new LevelDbReader(vfs, path, shadow, db)
    } catch (error) {
      await removeShadow(vfs, shadow)
      throw error
    }
  }

  /** Entries behind a key, or all, in order. */
  batches(after: Buffer | undefined, bounds: BatchBounds): EntryBatches {
    return levelBatches(this.#db, this.#path, after, bounds)
  }

  /** Closing twice is allowed. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    try {
      await this.#db.close()
    } finally {
      await removeShadow(this.#vfs, this.#shadow)
    }
  }
}

function levelBatches(
  db: LevelDb,
  path: string,
  after: Buffer | undefined,
  bounds: BatchBounds
): EntryBatches {
  // The next possible key is this one with a zero behind it.
  const range = after === undefined ? {} : { gte: Buffer.concat([after, Buffer.of(0)]) }
  const snapshot = db.snapshot()
  const iterator = db.iterator(range, false, snapshot, asBytes)
  const reader = {
    nextv: (size: number) => nextv(iterator, path, Math.min(size, maxEntriesPerRead)),
    close: async () => {
      iterator.close()
      await snapshot.close()
    }
  }
  return inBatches(reader, bounds)
}

/** LevelDB ends a batch early when it has gathered enough bytes. */
async function nextv(
  iterator: LevelIterator,
  path: string,
  size: number
): Promise<readonly (readonly [Buffer, Buffer])[]> {
  try {
    return (await iterator.nextv(size)) as [Buffer, Buffer][]
  } catch (error) {
    throw levelError(error, path, 'read')
  }
}

/** The last key of an open database; undefined where it is empty. */
export async function lastKeyOf(db: LevelDb, path: string): Promise<Buffer | undefined> {
  const snapshot = db.snapshot()
  const iterator = db.iterator({}, true, snapshot, asBytes)
  try {
    const [last] = await nextv(iterator, path, 1)
    return last?.[0]
  } finally {
    iterator.close()
    await snapshot.close()
  }
}
