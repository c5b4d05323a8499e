/** An entry on its way: what both a store and LevelDB take as an operation of a batch. */
export interface EntryPut {
  readonly type: 'put'
  readonly key: Buffer
  readonly value: Buffer
}

/** How much goes in one batch: whatever is reached first, but one entry at least. */
export interface BatchBounds {
  readonly bytes: number
  readonly entries: number
}

export const defaultBounds: BatchBounds = { bytes: 1024 * 1024, entries: 4096 }

/** Gathers entries into batches. */
export async function* inBatches(
  entries: AsyncIterable<readonly [Buffer, Buffer]>,
  bounds: BatchBounds
): AsyncGenerator<readonly EntryPut[], undefined> {
  let batch: EntryPut[] = []
  let bytes = 0
  for await (const [key, value] of entries) {
    batch.push({ type: 'put', key, value })
    bytes += key.length + value.length
    if (bytes < bounds.bytes && batch.length < bounds.entries) continue
    yield batch
    batch = []
    bytes = 0
  }
  if (batch.length > 0) yield batch
}
