import type { Checksum } from '../codec/checksum.js'
import { KintsugiError } from '../errors.js'
import { loadIdentity } from '../store/identity.js'
import { admit, openStore, type OpenRequest } from '../store/open-store.js'
import { inspectDirectory, isRefused, lockName, refuseDirectory } from '../store/store-directory.js'
import type { Store } from '../store/store.js'
import type { VfsLock } from '../vfs/vfs.js'
import type { SourceState } from './copy-marker.js'
import type { EntryBatches, EntrySink, EntrySource } from './ends.js'
import { inBatches, type BatchBounds, type EntryPut } from './entry.js'

/**
 * A store as a source, open read-only. The shared lock is held all the time, also while the store
 * is opened again, so nobody changes it meanwhile.
 */
export class StoreSource implements EntrySource {
  readonly state: SourceState
  readonly #request: OpenRequest
  readonly #lock: VfsLock
  readonly #bounds: BatchBounds
  #store: Store

  private constructor(
    request: OpenRequest,
    lock: VfsLock,
    bounds: BatchBounds,
    store: Store,
    storeId: string
  ) {
    this.#request = request
    this.#lock = lock
    this.#bounds = bounds
    this.#store = store
    this.state = { kind: 'store', path: request.path, storeId, seq: store.seq }
  }

  /** `request` has to be for reading only. */
  static async open(
    request: OpenRequest,
    checksum: Checksum,
    bounds: BatchBounds
  ): Promise<StoreSource> {
    const { vfs, path, clock } = request
    // Before the lock, which would leave a file where there is no store.
    admit(request)
    const lock = vfs.lockSync(`${path}/${lockName}`, { exclusive: false, now: clock.now() })
    try {
      const held = { ...request, heldLock: lock }
      const store = await openStore(held)
      const storeId = loadIdentity(vfs, path, checksum)?.identity.storeId ?? ''
      return new StoreSource(held, lock, bounds, store, storeId)
    } catch (error) {
      lock.release()
      throw error
    }
  }

  batches(after: Buffer | undefined): EntryBatches {
    return inBatches(this.#store.entries(after === undefined ? {} : { gt: after }), this.#bounds)
  }

  async reopen(): Promise<void> {
    await this.#store.close()
    this.#store = await openStore(this.#request)
  }

  async close(): Promise<void> {
    try {
      await this.#store.close()
    } finally {
      this.#lock.release()
    }
  }
}

/** A new store as a destination. */
export class StoreSink implements EntrySink {
  readonly kind = 'store'
  readonly #request: OpenRequest
  readonly #bounds: BatchBounds
  #lock: VfsLock | undefined
  #store: Store | undefined
  #id: string | undefined

  /** `request` has to name the backend. */
  constructor(request: OpenRequest, bounds: BatchBounds) {
    this.#request = request
    this.#bounds = bounds
  }

  get path(): string {
    return this.#request.path
  }

  admit(): void {
    const { vfs, path } = this.#request
    const state = inspectDirectory(vfs, path)
    if (state === 'store') {
      throw new KintsugiError(
        'KINTSUGI_STORE_EXISTS',
        `there is a store in ${path} already; copy into a new or an empty directory`,
        { path }
      )
    }
    if (state !== 'unfinished' && isRefused(state)) throw refuseDirectory(path, state)
  }

  lockSync(): VfsLock {
    const { vfs, path, clock } = this.#request
    this.#lock = vfs.lockSync(`${path}/${lockName}`, { exclusive: true, now: clock.now() })
    return this.#lock
  }

  async open(id: string): Promise<void> {
    this.#id = id
    this.#store = await this.#openStore(false)
  }

  async lastKey(): Promise<Buffer | undefined> {
    for await (const key of this.#opened.keys({ reverse: true, limit: 1 })) return key
    return undefined
  }

  write(batch: readonly EntryPut[]): Promise<void> {
    return this.#opened.batch(batch)
  }

  async finish(): Promise<void> {
    const store = this.#opened
    await store.flush()
    // Closing persists too, but takes a failure of it for something the log makes up for.
    await store.persist()
    await store.close()
    this.#store = undefined
  }

  async *readBack(): EntryBatches {
    const store = await this.#openStore(true)
    try {
      yield* inBatches(store.entries(), this.#bounds)
    } finally {
      await store.close()
    }
  }

  /** It is where it was made: its identity slots decide, and until now the marker. */
  async publish(): Promise<void> {}

  async abandon(): Promise<void> {
    const store = this.#store
    this.#store = undefined
    await store?.close().catch(() => undefined) // the failure before it is reported
  }

  get #opened(): Store {
    if (this.#store !== undefined) return this.#store
    throw new KintsugiError('KINTSUGI_INTERNAL', 'the destination of a copy is not open')
  }

  #openStore(readOnly: boolean): Promise<Store> {
    const { options } = this.#request
    return openStore({
      ...this.#request,
      options: { ...options, readOnly },
      ...(this.#id !== undefined && { copyId: this.#id }),
      ...(this.#lock !== undefined && { heldLock: this.#lock })
    })
  }
}
