import { AbstractChainedBatch } from 'abstract-level'
import type { Operation } from '../store/operations.js'
import type { Store } from '../store/store.js'
import { throwLevelError } from './level-error.js'
import { writeOptionsOf, type ChainedBatchWriteOptions } from './options.js'

/** Collects operations one by one; bytes are copied, since the caller may use them again at once. */
export class ChainedBatch<TDatabase, KDefault, VDefault> extends AbstractChainedBatch<
  TDatabase,
  KDefault,
  VDefault
> {
  readonly #store: Store
  #operations: Operation[] = []

  constructor(db: TDatabase, store: Store) {
    super(db)
    this.#store = store
  }

  override write(): Promise<void>
  override write(options: ChainedBatchWriteOptions): Promise<void>
  override write(options?: ChainedBatchWriteOptions): Promise<void> {
    return options === undefined ? super.write() : super.write(options)
  }

  protected _put(key: string | Uint8Array, value: string | Uint8Array): void {
    this.#operations.push({ type: 'put', key: kept(key), value: kept(value) })
  }

  protected _del(key: string | Uint8Array): void {
    this.#operations.push({ type: 'del', key: kept(key) })
  }

  protected _clear(): void {
    this.#operations = []
  }

  protected async _write(options: ChainedBatchWriteOptions): Promise<void> {
    try {
      await this.#store.batch(this.#operations, writeOptionsOf(options))
    } catch (error) {
      throwLevelError(error)
    }
  }

  protected _close(): void {
    this.#operations = []
  }
}

function kept(bytes: string | Uint8Array): string | Uint8Array {
  return typeof bytes === 'string' ? bytes : Buffer.from(bytes)
}
