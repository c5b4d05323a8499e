import type { Cursor, CursorOptions, ReadView } from '../../backend/backend.js'
import type { DamageList } from '../../backend/damage-list.js'
import type { KeySpan } from '../../memtable/key-span.js'
import type { Memtable } from '../../memtable/memtable.js'
import type { RangeTombstones } from '../../memtable/range-tombstones.js'
import type { ChunkWriter } from '../../merging/chunk-writer.js'
import { addMemtables, orderMemtables } from '../../merging/memtable-sources.js'
import {
  MergingCursor,
  type CursorOrigin,
  type CursorSources
} from '../../merging/merging-cursor.js'
import type { SourceCursor } from '../../merging/source-cursor.js'
import type { LevelReader } from './level-reader.js'
import type { LevelSnapshots, SharedSnapshot } from './level-snapshots.js'
import { LevelCursor, neverWaits } from './level-cursor.js'
import { LevelSource } from './level-source.js'
import { LevelTexts } from './level-texts.js'
import type { Overlay } from './overlay.js'

/** What views read from. */
export interface ViewOrigin {
  readonly overlay: Overlay
  readonly reader: LevelReader
  readonly snapshots: LevelSnapshots
  readonly chunks: ChunkWriter
}

/**
 * A state of the store: the memtables of when it was opened up to its sequence number, in front of a
 * LevelDB snapshot. What LevelDB has of commits behind the number, a persist was writing when the
 * view was opened; the memtables hide it.
 */
export class LevelView implements ReadView {
  readonly answersLoads = true
  readonly seq: number
  readonly #origin: ViewOrigin
  readonly #memtables: readonly Memtable[]
  readonly #shared: SharedSnapshot
  #isOpen = true
  #texts: LevelTexts | undefined

  constructor(origin: ViewOrigin, seq: number) {
    this.#shared = origin.snapshots.take()
    this.seq = seq
    this.#origin = origin
    this.#memtables = origin.overlay.pin()
    origin.overlay.views.open(seq)
  }

  getSync(key: Uint8Array): Buffer | undefined {
    const value = this.tryGet(key)
    return value === null ? this.#origin.reader.getSync(key, this.#shared) : value
  }

  tryGet(key: Uint8Array): Buffer | undefined | null {
    const { overlay, reader } = this.#origin
    const value = overlay.getFrom(this.#memtables, key, this.seq)
    return value === null ? reader.cached(key, this.#shared) : value
  }

  load(key: Uint8Array): Promise<Buffer | undefined> {
    return this.#origin.reader.get(key, this.#shared)
  }

  tryGetMany(keys: readonly Uint8Array[]): (Buffer | undefined | null)[] {
    return keys.map((key) => this.tryGet(key))
  }

  loadMany(keys: readonly Uint8Array[], values: (Buffer | undefined | null)[]): Promise<void> {
    return this.#origin.reader.fillIn(keys, values, this.#shared)
  }

  get texts(): LevelTexts {
    const { reader } = this.#origin
    return (this.#texts ??= new LevelTexts(reader, (key) => this.tryGet(key), this.#shared))
  }

  cursor(options: CursorOptions): Cursor {
    const { chunks, reader } = this.#origin
    if (options.ready !== undefined && this.#memtables.length === 0) {
      return new LevelCursor(reader, this.#shared.snapshot, options, options.ready)
    }
    const sources = new ViewSources(this.#memtables, reader, this.#shared)
    return new MergingCursor(sources, this.seq, chunks, options)
  }

  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    const { overlay, snapshots } = this.#origin
    overlay.views.close(this.seq)
    overlay.unpin(this.#memtables)
    snapshots.release(this.#shared)
  }
}

/** What one cursor merges; it never changes. */
class ViewSources implements CursorOrigin {
  readonly stateNumber = 0
  readonly neverWaits = neverWaits
  readonly damage: DamageList
  readonly #memtables: readonly Memtable[]
  readonly #reader: LevelReader
  readonly #shared: SharedSnapshot

  constructor(memtables: readonly Memtable[], reader: LevelReader, shared: SharedSnapshot) {
    this.damage = reader.damage
    this.#memtables = memtables
    this.#reader = reader
    this.#shared = shared
  }

  open(span: KeySpan, wait: boolean): CursorSources | null {
    const cursors: SourceCursor[] = []
    const tombstones: RangeTombstones[] = []
    if (!addMemtables(this.#memtables, wait, cursors, tombstones)) return null
    const { snapshot } = this.#shared
    cursors.push(new LevelSource(this.#reader, snapshot, span))
    return { cursors, tombstones }
  }

  async load(): Promise<void> {
    await orderMemtables(this.#memtables, () => true)
  }
}
