import type { KeyRange } from '../store/arguments.js'
import type { Operation } from '../store/operations.js'
import type { Snapshot } from '../store/snapshot.js'
import type { Store, WriteOptions } from '../store/store.js'

/** Keys that one batch removes: bounds the memory that it takes. */
const keysPerBatch = 10_000

interface Part extends KeyRange {
  /** At most so many keys; -1: all. */
  readonly limit: number
  readonly reverse: boolean
}

/**
 * Removes part of a range: the first keys of it in one direction, or those that a snapshot has, and
 * none that came later. The keys are those of this moment.
 */
export async function clearPart(
  store: Store,
  snapshot: Snapshot | undefined,
  part: Part,
  options: WriteOptions | undefined
): Promise<void> {
  const keys = (snapshot ?? store).keys(part)
  try {
    for (;;) {
      const found = await keys.nextv(keysPerBatch)
      if (found.length === 0) return
      await store.batch(
        found.map((key): Operation => ({ type: 'del', key })),
        options
      )
    }
  } finally {
    keys.close()
  }
}
