import type { Cursor, CursorOptions, ReadView } from '../../backend/backend.js'
import { loadEach } from '../../backend/load-each.js'
import type { ChunkBuilder } from './chunk-builder.js'
import type { DamageMap } from './damage.js'
import type { ManyReader } from './many-reader.js'
import type { Pager, ViewToken } from './pager.js'
import { TreeCursor } from './tree-cursor.js'
import type { TreeReader } from './tree-reader.js'

/** An immutable state of the tree; the pager keeps its pages until it is closed. */
export class TreeView implements ReadView {
  readonly seq: number
  readonly #pager: Pager
  readonly #reader: TreeReader
  readonly #many: ManyReader
  readonly #chunks: ChunkBuilder
  readonly #damage: DamageMap
  readonly #token: ViewToken
  #closed = false

  constructor(
    pager: Pager,
    reader: TreeReader,
    many: ManyReader,
    chunks: ChunkBuilder,
    damage: DamageMap,
    token: ViewToken
  ) {
    this.seq = token.state.appliedSeq
    this.#pager = pager
    this.#reader = reader
    this.#many = many
    this.#chunks = chunks
    this.#damage = damage
    this.#token = token
  }

  getSync(key: Uint8Array): Buffer | undefined {
    const { rootPage, height } = this.#token.state
    try {
      return this.#reader.getSync(rootPage, height, key)
    } catch (error) {
      throw this.#damage.locate(error, rootPage, height, key)
    }
  }

  tryGet(key: Uint8Array): Buffer | undefined | null {
    const { rootPage, height } = this.#token.state
    return this.#reader.tryGet(rootPage, height, key)
  }

  async load(key: Uint8Array): Promise<null> {
    const { rootPage, height } = this.#token.state
    try {
      if (!this.#reader.tryFindValue(rootPage, height, key)) await this.#reader.loadMissing()
      return null
    } catch (error) {
      throw this.#damage.locate(error, rootPage, height, key)
    }
  }

  tryGetMany(keys: readonly Uint8Array[]): (Buffer | undefined | null)[] {
    const { rootPage, height } = this.#token.state
    return this.#many.tryGetMany(rootPage, height, keys)
  }

  loadMany(keys: readonly Uint8Array[], values: (Buffer | undefined | null)[]): Promise<void> {
    return loadEach(this, keys, values)
  }

  cursor(options: CursorOptions): Cursor {
    return new TreeCursor(
      this.#pager,
      this.#reader,
      this.#chunks,
      this.#damage,
      this.#token.state,
      options
    )
  }

  /** Cursors of the view must not be used afterwards: its pages may be given to other contents. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#pager.releaseView(this.#token)
  }
}
