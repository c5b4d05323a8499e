import fs from 'node:fs'
import { assert } from '../base/assert.js'
import type { NativeBinding } from '../native-binding.js'
import { fileError } from './file-error.js'
import { asPromise, mayTryAgain, nodeError, withTypedErrors } from './node-error.js'
import type { VfsFile } from './vfs.js'

/** Node passes lengths as signed 32-bit numbers. */
const maxBytesPerCall = 1 << 30

const zerosBytes = 1 << 20

/** One open descriptor. It is closed only when nothing uses it, for its number may be given anew. */
export class NodeFile implements VfsFile {
  readonly path: string
  readonly #fd: number
  readonly #native: NativeBinding | undefined
  /** Whether it is worth asking for what the operating system has in memory. */
  #knowsCached: boolean
  #isOpen = true
  #inFlight = 0
  #becameIdle: (() => void) | undefined
  #closed: Promise<void> | undefined

  constructor(path: string, fd: number, native: NativeBinding | undefined) {
    this.path = path
    this.#fd = fd
    this.#native = native
    this.#knowsCached = native !== undefined
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    this.#begin()
    try {
      let done = 0
      let attempt = 1
      while (done < target.length) {
        try {
          const count = await this.#readSome(target, done, position + done)
          if (count === 0) break
          done += count
          attempt = 1
        } catch (error) {
          if (!mayTryAgain(error, attempt)) throw error
          attempt += 1
        }
      }
      return done
    } finally {
      this.#end()
    }
  }

  readSync(target: Uint8Array, position: number): number {
    this.#assertOpen()
    let done = 0
    let attempt = 1
    while (done < target.length) {
      const length = Math.min(target.length - done, maxBytesPerCall)
      try {
        const count = fs.readSync(this.#fd, target, done, length, position + done)
        if (count === 0) break
        done += count
        attempt = 1
      } catch (error) {
        if (!mayTryAgain(error, attempt)) throw nodeError('read', this.path, error)
        attempt += 1
      }
    }
    return done
  }

  tryRead(target: Uint8Array, position: number): boolean {
    this.#assertOpen()
    if (!this.#knowsCached) return false
    const count = this.#native!.readCached(this.#fd, target, position)
    if (count === 'ENOTSUP') this.#knowsCached = false
    return count === target.length
  }

  async write(source: Uint8Array, position: number): Promise<void> {
    this.#begin()
    try {
      await this.#writeAll(source, position)
    } finally {
      this.#end()
    }
  }

  writeSync(source: Uint8Array, position: number): void {
    this.#assertOpen()
    this.#writeAllSync(source, position)
  }

  async datasync(): Promise<void> {
    this.#begin()
    try {
      await this.#datasync()
    } finally {
      this.#end()
    }
  }

  datasyncSync(): void {
    this.#assertOpen()
    withTypedErrors('datasync', this.path, () => fs.fdatasyncSync(this.#fd))
  }

  async writeAndDatasync(source: Uint8Array, position: number): Promise<void> {
    this.#begin()
    try {
      if (this.#native) {
        const errno = await this.#native.writeAndDatasync(this.#fd, source, position)
        if (errno !== undefined) throw fileError('writeAndDatasync', this.path, errno)
      } else {
        await this.#writeAll(source, position)
        await this.#datasync()
      }
    } finally {
      this.#end()
    }
  }

  /**
   * Where the platform cannot reserve, or without the addon, zeros are written behind the end, which
   * reserves as well but must not meet other writes there. After a failure the file may have grown
   * by a part of it.
   */
  async allocate(sizeBytes: number): Promise<void> {
    this.#begin()
    try {
      if (sizeBytes === 0) return
      const errno = this.#native ? await this.#native.allocate(this.#fd, sizeBytes) : 'ENOTSUP'
      if (errno === undefined) return
      if (errno !== 'ENOTSUP') throw fileError('allocate', this.path, errno)
      let position = this.#size()
      if (position >= sizeBytes) return
      const zeros = Buffer.alloc(Math.min(zerosBytes, sizeBytes - position))
      while (position < sizeBytes) {
        const chunk = zeros.subarray(0, sizeBytes - position)
        await this.#writeAll(chunk, position)
        position += chunk.length
      }
    } finally {
      this.#end()
    }
  }

  allocateSync(sizeBytes: number): void {
    this.#assertOpen()
    if (sizeBytes === 0) return
    const errno = this.#native ? this.#native.allocateSync(this.#fd, sizeBytes) : 'ENOTSUP'
    if (errno === undefined) return
    if (errno !== 'ENOTSUP') throw fileError('allocate', this.path, errno)
    let position = this.#size()
    if (position >= sizeBytes) return
    const zeros = Buffer.alloc(Math.min(zerosBytes, sizeBytes - position))
    while (position < sizeBytes) {
      const chunk = zeros.subarray(0, sizeBytes - position)
      this.#writeAllSync(chunk, position)
      position += chunk.length
    }
  }

  async truncate(sizeBytes: number): Promise<void> {
    this.#begin()
    try {
      await asPromise<void>('truncate', this.path, (done) =>
        fs.ftruncate(this.#fd, sizeBytes, done)
      )
    } finally {
      this.#end()
    }
  }

  truncateSync(sizeBytes: number): void {
    this.#assertOpen()
    withTypedErrors('truncate', this.path, () => fs.ftruncateSync(this.#fd, sizeBytes))
  }

  sizeSync(): number {
    this.#assertOpen()
    return this.#size()
  }

  /** Refuses new operations at once, and closes when those that were started have ended. */
  close(): Promise<void> {
    if (this.#isOpen) {
      this.#isOpen = false
      this.#closed = this.#closeWhenIdle()
    }
    return this.#closed ?? Promise.resolve()
  }

  closeSync(): void {
    if (!this.#isOpen) return
    assert(this.#inFlight === 0, `${this.path} closed while operations on it are in flight`)
    this.#isOpen = false
    withTypedErrors('close', this.path, () => fs.closeSync(this.#fd))
  }

  async #closeWhenIdle(): Promise<void> {
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#becameIdle = resolve
      })
    }
    await asPromise<void>('close', this.path, (done) => fs.close(this.#fd, done))
  }

  #readSome(target: Uint8Array, offset: number, position: number): Promise<number> {
    const length = Math.min(target.length - offset, maxBytesPerCall)
    return asPromise('read', this.path, (done) =>
      fs.read(this.#fd, target, offset, length, position, done)
    )
  }

  async #writeAll(source: Uint8Array, position: number): Promise<void> {
    let done = 0
    let attempt = 1
    while (done < source.length) {
      const offset = done
      const length = Math.min(source.length - offset, maxBytesPerCall)
      try {
        const count = await asPromise<number>('write', this.path, (callback) =>
          fs.write(this.#fd, source, offset, length, position + offset, callback)
        )
        // Taking nothing without saying why would keep this loop running for ever.
        if (count === 0) throw fileError('write', this.path, 'EIO')
        done += count
        attempt = 1
      } catch (error) {
        if (!mayTryAgain(error, attempt)) throw error
        attempt += 1
      }
    }
  }

  #writeAllSync(source: Uint8Array, position: number): void {
    let done = 0
    let attempt = 1
    while (done < source.length) {
      const length = Math.min(source.length - done, maxBytesPerCall)
      try {
        const count = fs.writeSync(this.#fd, source, done, length, position + done)
        if (count === 0) throw fileError('write', this.path, 'EIO')
        done += count
        attempt = 1
      } catch (error) {
        if (!mayTryAgain(error, attempt)) throw nodeError('write', this.path, error)
        attempt += 1
      }
    }
  }

  #datasync(): Promise<void> {
    return asPromise('datasync', this.path, (done) => fs.fdatasync(this.#fd, done))
  }

  #size(): number {
    return withTypedErrors('stat', this.path, () => fs.fstatSync(this.#fd).size)
  }

  #begin(): void {
    this.#assertOpen()
    this.#inFlight += 1
  }

  #end(): void {
    this.#inFlight -= 1
    if (this.#inFlight === 0) this.#becameIdle?.()
  }

  #assertOpen(): void {
    assert(this.#isOpen, `${this.path} used after it was closed`)
  }
}
