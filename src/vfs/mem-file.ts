import { assert } from '../base/assert.js'
import { fileError } from './file-error.js'
import type { MemFileNode } from './mem-node.js'
import type { MemOperationKind } from './mem-operation.js'
import type { MemScheduler } from './mem-scheduler.js'
import type { VfsFile } from './vfs.js'

/** What a file needs of the file system it is on. */
export interface MemFileHost {
  readonly scheduler: MemScheduler
  readonly operationCount: number
  mutate<T>(kind: MemOperationKind, path: string, change: () => T): T
  releaseNode(node: MemFileNode): void
}

/** An open file of a `MemVfs`. */
export class MemFile implements VfsFile {
  readonly path: string
  readonly #vfs: MemFileHost
  readonly #node: MemFileNode
  readonly #writable: boolean
  #open = true

  constructor(vfs: MemFileHost, path: string, node: MemFileNode, writable: boolean) {
    this.#vfs = vfs
    this.path = path
    this.#node = node
    this.#writable = writable
    node.openCount++
  }

  read(target: Uint8Array, position: number): Promise<number> {
    this.#assertOpen()
    return this.#vfs.scheduler.run(() => this.#node.current.read(target, position))
  }

  readSync(target: Uint8Array, position: number): number {
    this.#assertOpen()
    return this.#node.current.read(target, position)
  }

  write(source: Uint8Array, position: number): Promise<void> {
    this.#assertOpen()
    return this.#vfs.scheduler.run(() => this.#write(source, position))
  }

  writeSync(source: Uint8Array, position: number): void {
    this.#assertOpen()
    this.#write(source, position)
  }

  /** Covers what was written before the call, not what is written while it is under way. */
  datasync(): Promise<void> {
    this.#assertOpen()
    const { changeCount } = this.#node
    return this.#vfs.scheduler.run(() => this.#datasync(changeCount))
  }

  datasyncSync(): void {
    this.#assertOpen()
    this.#datasync(this.#node.changeCount)
  }

  async writeAndDatasync(source: Uint8Array, position: number): Promise<void> {
    await this.write(source, position)
    const { changeCount } = this.#node
    await this.#vfs.scheduler.run(() => this.#datasync(changeCount))
  }

  allocate(sizeBytes: number): Promise<void> {
    this.#assertOpen()
    return this.#vfs.scheduler.run(() => this.#allocate(sizeBytes))
  }

  allocateSync(sizeBytes: number): void {
    this.#assertOpen()
    this.#allocate(sizeBytes)
  }

  truncate(sizeBytes: number): Promise<void> {
    this.#assertOpen()
    return this.#vfs.scheduler.run(() => this.#truncate(sizeBytes))
  }

  truncateSync(sizeBytes: number): void {
    this.#assertOpen()
    this.#truncate(sizeBytes)
  }

  sizeSync(): number {
    this.#assertOpen()
    return this.#node.current.sizeBytes
  }

  close(): Promise<void> {
    return this.#open ? this.#vfs.scheduler.run(() => this.closeSync()) : Promise.resolve()
  }

  closeSync(): void {
    if (!this.#open) return
    this.#open = false
    this.#node.openCount--
    this.#vfs.releaseNode(this.#node)
  }

  /**
   * What a failed sync does to the file: everything unsynced reads back well, later syncs succeed,
   * and yet it never reaches the medium.
   */
  loseUnsynced(): void {
    this.#node.loseUnsynced()
  }

  #write(source: Uint8Array, position: number): void {
    this.#assertWritable('write')
    this.#vfs.mutate('write', this.path, () => {
      const written = this.#node.write(source, position)
      this.#node.modifiedMs = this.#vfs.operationCount
      if (written < source.length) throw fileError('write', this.path, 'ENOSPC')
    })
  }

  #datasync(changeCount: number): void {
    this.#vfs.mutate('datasync', this.path, () => this.#node.sync(changeCount))
  }

  #allocate(sizeBytes: number): void {
    this.#assertWritable('allocate')
    this.#vfs.mutate('allocate', this.path, () => {
      if (!this.#node.allocate(sizeBytes)) throw fileError('allocate', this.path, 'ENOSPC')
    })
  }

  #truncate(sizeBytes: number): void {
    this.#assertWritable('truncate')
    this.#vfs.mutate('truncate', this.path, () => {
      this.#node.truncate(sizeBytes)
      this.#node.modifiedMs = this.#vfs.operationCount
    })
  }

  #assertOpen(): void {
    assert(this.#open, `${this.path} is used after it was closed`)
  }

  #assertWritable(operation: string): void {
    if (!this.#writable) throw fileError(operation, this.path, 'EBADF')
  }
}
