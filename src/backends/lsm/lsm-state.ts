import type { BackendContext } from '../../backend/backend.js'
import { KintsugiError } from '../../errors.js'
import { CopyPool } from '../../page/copy-pool.js'
import { DamageList } from '../../backend/damage-list.js'
import type { KeyHash } from '../../memtable/key-hash.js'
import type { KeySpan } from '../../memtable/key-span.js'
import type { Version } from './manifest/version.js'
import type { MemtableList } from '../../memtable/memtable-list.js'
import { ChunkWriter } from '../../merging/chunk-writer.js'
import { openSources, loadSources } from './read/cursor-sources.js'
import type { LevelSource } from './read/level-source.js'
import type { ViewOrigin } from './read/lsm-view.js'
import type { CursorSources } from '../../merging/merging-cursor.js'
import { ManyReader } from './read/many-reader.js'
import { PointReader } from './read/point-reader.js'
import type { Sources, TableSources } from './read/sources.js'
import { ViewSeqs } from '../../memtable/view-seqs.js'
import { TableSet } from './table-set.js'

/** In the place of sources that can be read no longer. */
class ClosedSources implements Sources {
  readonly stateNumber = -1

  get memtables(): never {
    throw notOpen()
  }

  get level0(): never {
    throw notOpen()
  }

  get levels(): never {
    throw notOpen()
  }

  get runs(): never {
    throw notOpen()
  }

  get withTombstones(): never {
    throw notOpen()
  }
}

function notOpen(): KintsugiError {
  return new KintsugiError('KINTSUGI_NOT_OPEN', 'the store is closed; open it again')
}

/** What reads see: memtables and the tables of the current version, replaced in one step. */
export class LsmState implements ViewOrigin {
  readonly points: PointReader
  readonly many: ManyReader
  readonly chunks = new ChunkWriter()
  readonly views = new ViewSeqs()
  readonly damage = new DamageList()
  readonly tables: TableSet
  readonly memtables: MemtableList
  readonly #closedSources: LevelSource[] = []
  #tableSources: TableSources
  #sources!: Sources
  #stateNumber = 0

  constructor(context: BackendContext, hash: KeyHash, memtables: MemtableList, version: Version) {
    this.memtables = memtables
    this.tables = new TableSet(context)
    const pool = new CopyPool()
    this.points = new PointReader(hash, pool, this.damage)
    this.many = new ManyReader(hash, pool, this.points, this.tables.env.cache)
    this.#tableSources = this.tables.adopt(version)
    this.memtablesChanged()
  }

  get sources(): Sources {
    return this.#sources
  }

  get stateNumber(): number {
    return this.#stateNumber
  }

  /** There is another version. */
  adopt(version: Version): void {
    this.#tableSources = this.tables.adopt(version)
    this.memtablesChanged()
  }

  /** There is a new memtable, or one has become a table. */
  memtablesChanged(): void {
    const stateNumber = ++this.#stateNumber
    this.#sources = { stateNumber, memtables: this.memtables.all, ...this.#tableSources }
  }

  open(span: KeySpan, wait: boolean): CursorSources | null {
    return openSources(this.#sources, this.#closedSources, span, wait)
  }

  load(span: KeySpan): Promise<void> {
    const sources = this.#sources
    return loadSources(sources, span, () => sources === this.#sources)
  }

  /** Reads under way end with NOT_OPEN where they would have to go on. */
  async close(): Promise<void> {
    this.#sources = new ClosedSources()
    await this.tables.close()
  }
}
