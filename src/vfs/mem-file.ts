import { assert } from '../base/assert.js'
import { fileError } from './file-error.js'
import { InFlight } from './in-flight.js'
import type { MemFileNode } from './mem-node.js'
import type { MemOperationKind } from './mem-operation.js'
import type { MemScheduler } from './mem-scheduler.js'
import type { VfsFile } from './vfs.js'

/** What a file needs of the file system it is on. */
export interface MemFileHost {
  readonly scheduler: MemScheduler
  readonly operationCount: number
  /** Whether the next read without waiting finds all of its bytes in memory. */
  nextReadIsCached(): boolean
  mutate<T>(kind: MemOperationKind, path: string, change: () => T): T
  releaseNode(node: MemFileNode): void
}

/** An open file of a `MemVfs`. */
export class MemFile implements VfsFile {
  readonly path: string
  readonly #host: MemFileHost
  readonly #node: MemFileNode
  readonly #writable: boolean
  #open = true
  readonly #inFlight = new InFlight()

  constructor(host: MemFileHost, path: string, node: MemFileNode, writable: boolean) {
    this.#host = host
    this.path = path
    this.#node = node
    this.#writable = writable
    node.openCount++
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#submit(() => this.#node.current.read(target, position))
  }

  readSync(target: Uint8Array, position: number): number {
    this.#assertOpen()
    return this.#node.current.read(target, position)
  }

  tryRead(target: Uint8Array, position: number): boolean {
    this.#assertOpen()
    if (!this.#host.nextReadIsCached()) return false
    return this.#node.current.read(target, position) === target.length
  }

  write(source: Uint8Array, position: number): Promise<void> {
    return this.#submit(() => this.#write(source, position))
  }

  writeSync(source: Uint8Array, position: number): void {
    this.#assertOpen()
    this.#write(source, position)
  }

  /** Covers what was written before the call, not what is written while it is under way. */
  datasync(): Promise<void> {
    const { changeCount } = this.#node
    return this.#submit(() => this.#datasync(changeCount))
  }

  datasyncSync(): void {
    this.#assertOpen()
    this.#datasync(this.#node.changeCount)
  }

  async writeAndDatasync(source: Uint8Array, position: number): Promise<void> {
    this.#assertOpen()
    await this.#inFlight.run(async () => {
      await this.#host.scheduler.run(() => this.#write(source, position))
      const { changeCount } = this.#node
      await this.#host.scheduler.run(() => this.#datasync(changeCount))
    })
  }

  allocate(sizeBytes: number): Promise<void> {
    return this.#submit(() => this.#allocate(sizeBytes))
  }

  allocateSync(sizeBytes: number): void {
    this.#assertOpen()
    this.#allocate(sizeBytes)
  }

  truncate(sizeBytes: number): Promise<void> {
    return this.#submit(() => this.#truncate(sizeBytes))
  }

  truncateSync(sizeBytes: number): void {
    this.#assertOpen()
    this.#truncate(sizeBytes)
  }

  sizeSync(): number {
    this.#assertOpen()
    return this.#node.current.sizeBytes
  }

  async close(): Promise<void> {
    if (!this.#open) return
    this.#open = false
    await this.#inFlight.idle()
    await this.#host.scheduler.run(() => this.#release())
  }

  closeSync(): void {
    if (!this.#open) return
    this.#open = false
    this.#release()
  }

  /**
   * What a failed sync does to the file: everything unsynced reads back well, later syncs succeed,
   * and yet it never reaches the medium.
   */
  loseUnsynced(): void {
    this.#node.loseUnsynced()
  }

  async #submit<T>(effect: () => T): Promise<T> {
    this.#assertOpen()
    return this.#inFlight.run(() => this.#host.scheduler.run(effect))
  }

  #release(): void {
    this.#node.openCount--
    this.#host.releaseNode(this.#node)
  }

  #write(source: Uint8Array, position: number): void {
    this.#assertWritable('write')
    this.#host.mutate('write', this.path, () => {
      const written = this.#node.write(source, position)
      this.#node.modifiedMs = this.#host.operationCount
      if (written < source.length) throw fileError('write', this.path, 'ENOSPC')
    })
  }

  #datasync(changeCount: number): void {
    this.#host.mutate('datasync', this.path, () => this.#node.sync(changeCount))
  }

  #allocate(sizeBytes: number): void {
    this.#assertWritable('allocate')
    this.#host.mutate('allocate', this.path, () => {
      if (!this.#node.allocate(sizeBytes)) throw fileError('allocate', this.path, 'ENOSPC')
    })
  }

  #truncate(sizeBytes: number): void {
    this.#assertWritable('truncate')
    this.#host.mutate('truncate', this.path, () => {
      this.#node.truncate(sizeBytes)
      this.#node.modifiedMs = this.#host.operationCount
    })
  }

  #assertOpen(): void {
    assert(this.#open, `${this.path} is used after it was closed`)
  }

  #assertWritable(operation: string): void {
    if (!this.#writable) throw fileError(operation, this.path, 'EBADF')
  }
}
