import type { Cursor, CursorOptions, ReadView } from '../../../backend/backend.js'
import { loadEach } from '../../../backend/load-each.js'
import type { ChunkWriter } from '../../../merging/chunk-writer.js'
import type { ManyReader } from './many-reader.js'
import { MergingCursor, type CursorOrigin } from '../../../merging/merging-cursor.js'
import type { PointReader } from './point-reader.js'
import type { Sources } from './sources.js'
import type { ViewSeqs } from '../../../memtable/view-seqs.js'

/** What views read from. */
export interface ViewOrigin extends CursorOrigin {
  readonly sources: Sources
  readonly points: PointReader
  readonly many: ManyReader
  readonly chunks: ChunkWriter
  readonly views: ViewSeqs
}

/**
 * A state of the store by its sequence number: it reads what is there now and passes over what is
 * newer. Versions that it sees stay as long as it is open, wherever flushes and compactions move
 * them; it keeps no file and no memtable.
 */
export class LsmView implements ReadView {
  readonly seq: number
  readonly #origin: ViewOrigin
  #isOpen = true

  constructor(origin: ViewOrigin, seq: number) {
    this.seq = seq
    this.#origin = origin
    origin.views.open(seq)
  }

  getSync(key: Uint8Array): Buffer | undefined {
    const { points, sources } = this.#origin
    return points.getSync(sources, key, this.seq)
  }

  tryGet(key: Uint8Array): Buffer | undefined | null {
    const { points, sources } = this.#origin
    return points.tryGet(sources, key, this.seq)
  }

  load(key: Uint8Array): Promise<null> {
    const origin = this.#origin
    return origin.points.load(() => origin.sources, key, this.seq)
  }

  tryGetMany(keys: readonly Uint8Array[]): (Buffer | undefined | null)[] {
    const { many, sources } = this.#origin
    return many.tryGetMany(sources, keys, this.seq)
  }

  loadMany(keys: readonly Uint8Array[], values: (Buffer | undefined | null)[]): Promise<void> {
    return loadEach(this, keys, values)
  }

  cursor(options: CursorOptions): Cursor {
    const origin = this.#origin
    return new MergingCursor(origin, this.seq, origin.chunks, options)
  }

  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#origin.views.close(this.seq)
  }
}
