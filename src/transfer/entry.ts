/** An entry on its way: what both a store and LevelDB take as an operation of a batch. */
export interface EntryPut {
  readonly type: 'put'
  readonly key: Buffer
  readonly value: Buffer
}

/** How much goes in one batch: it ends with the entry that reaches one of both. */
export interface BatchBounds {
  readonly bytes: number
  readonly entries: number
}

export const defaultBounds: BatchBounds = { bytes: 1024 * 1024, entries: 4096 }

/** What hands out entries in order, some at a time, and none at the end. */
interface EntryReader {
  nextv(size: number, maxBytes: number): Promise<readonly (readonly [Buffer, Buffer])[]>
  close(): unknown
}

/** Everything that a reader has, in batches; closes it. */
export async function* inBatches(
  reader: EntryReader,
  bounds: BatchBounds
): AsyncGenerator<readonly EntryPut[], undefined> {
  try {
    for (;;) {
      const entries = await reader.nextv(bounds.entries, bounds.bytes)
      if (entries.length === 0) return undefined
      yield entries.map(([key, value]) => ({ type: 'put', key, value }))
    }
  } finally {
    await reader.close()
  }
}
