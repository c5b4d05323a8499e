import { asBuffer } from '../base/bytes.js'
import { KintsugiError } from '../errors.js'
import { FaultInjector, injectedError } from './fault-plan.js'
import type { Fault, FaultOperation, FaultPlan } from './fault-plan.js'
import { InFlight } from './in-flight.js'
import type { FileStat, OpenMode, Vfs, VfsFile, VfsLock } from './vfs.js'

/** What a file system must offer so that a failed sync can drop pages on it, as `MemVfs` does. */
interface LosesUnsynced {
  loseUnsynced(): void
}
interface LosesUnsyncedNames {
  loseUnsyncedNames(path: string): void
}

/**
 * A file system that fails where a plan says so and is otherwise the one it wraps. Each of
 * `writeAndDatasync`'s two steps counts as an operation of its own.
 */
export class FaultVfs implements Vfs {
  readonly spec = undefined
  /** What was planned and what struck; print `faults.describe()` when a test fails. */
  readonly faults: FaultInjector
  readonly #inner: Vfs
  readonly #gate: Gate

  constructor(inner: Vfs, plan: FaultPlan = []) {
    this.#inner = inner
    this.faults = new FaultInjector(plan)
    this.#gate = new Gate(this.faults)
  }

  /** From now on nothing that needs space succeeds. */
  fillDisk(): void {
    this.faults.diskFull = true
  }

  freeDisk(): void {
    this.faults.diskFull = false
  }

  realPath(path: string): string | undefined {
    return this.#inner.realPath(path)
  }

  shadow(directory: string, isCopied: (name: string) => boolean): Promise<string> {
    return this.#inner.shadow(directory, isCopied)
  }

  async open(path: string, mode: OpenMode): Promise<VfsFile> {
    const file = await this.#gate.pass(openRequest(path, mode), () => this.#inner.open(path, mode))
    return new FaultFile(file, this.#gate)
  }

  openSync(path: string, mode: OpenMode): VfsFile {
    const open = () => this.#inner.openSync(path, mode)
    return new FaultFile(this.#gate.passSync(openRequest(path, mode), open), this.#gate)
  }

  mkdirSync(path: string): void {
    const request = { operation: 'mkdir', paths: [path], needsSpace: true } as const
    this.#gate.passSync(request, () => this.#inner.mkdirSync(path))
  }

  readdir(path: string): Promise<string[]> {
    const request = { operation: 'readdir', paths: [path] } as const
    return this.#gate.pass(request, () => this.#inner.readdir(path))
  }

  readdirSync(path: string): string[] {
    const request = { operation: 'readdir', paths: [path] } as const
    return this.#gate.passSync(request, () => this.#inner.readdirSync(path))
  }

  statSync(path: string): FileStat | undefined {
    const request = { operation: 'stat', paths: [path] } as const
    return this.#gate.passSync(request, () => this.#inner.statSync(path))
  }

  rename(from: string, to: string): Promise<void> {
    const request = { operation: 'rename', paths: [from, to] } as const
    return this.#gate.pass(request, () => this.#inner.rename(from, to))
  }

  renameSync(from: string, to: string): void {
    const request = { operation: 'rename', paths: [from, to] } as const
    this.#gate.passSync(request, () => this.#inner.renameSync(from, to))
  }

  link(from: string, to: string): Promise<void> {
    const request = { operation: 'link', paths: [from, to] } as const
    return this.#gate.pass(request, () => this.#inner.link(from, to))
  }

  unlink(path: string): Promise<void> {
    const request = { operation: 'unlink', paths: [path] } as const
    return this.#gate.pass(request, () => this.#inner.unlink(path))
  }

  unlinkSync(path: string): void {
    const request = { operation: 'unlink', paths: [path] } as const
    this.#gate.passSync(request, () => this.#inner.unlinkSync(path))
  }

  rmdirSync(path: string): void {
    const request = { operation: 'rmdir', paths: [path] } as const
    this.#gate.passSync(request, () => this.#inner.rmdirSync(path))
  }

  syncDirectory(path: string): Promise<void> {
    const request = this.#syncDirectoryRequest(path)
    return this.#gate.pass(request, () => this.#inner.syncDirectory(path))
  }

  syncDirectorySync(path: string): void {
    const request = this.#syncDirectoryRequest(path)
    this.#gate.passSync(request, () => this.#inner.syncDirectorySync(path))
  }

  lockSync(path: string, options: { exclusive: boolean; now: number }): VfsLock {
    const request = { operation: 'lock', paths: [path] } as const
    return this.#gate.passSync(request, () => this.#inner.lockSync(path, options))
  }

  async freeBytes(path: string): Promise<number> {
    const request = { operation: 'freeBytes', paths: [path] } as const
    const freeBytes = await this.#gate.pass(request, () => this.#inner.freeBytes(path))
    return this.faults.diskFull ? 0 : freeBytes
  }

  #syncDirectoryRequest(path: string): Request {
    const inner = this.#inner as Partial<LosesUnsyncedNames>
    return {
      operation: 'syncDirectory',
      paths: [path],
      onFailure: () => inner.loseUnsyncedNames?.(path)
    }
  }
}

class FaultFile implements VfsFile {
  readonly path: string
  readonly #inner: VfsFile
  readonly #gate: Gate
  readonly #inFlight = new InFlight()

  constructor(inner: VfsFile, gate: Gate) {
    this.path = inner.path
    this.#inner = inner
    this.#gate = gate
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#inFlight.run(async () => {
      const { fault, result } = await this.#gate.enter(this.#request('read'), () =>
        this.#inner.read(target, position)
      )
      flipBit(fault, target, result)
      return result
    })
  }

  readSync(target: Uint8Array, position: number): number {
    const { fault, result } = this.#gate.enterSync(this.#request('read'), () =>
      this.#inner.readSync(target, position)
    )
    flipBit(fault, target, result)
    return result
  }

  /** One that would have to wait is no read yet, so the plan does not count it. */
  tryRead(target: Uint8Array, position: number): boolean {
    if (!this.#inner.tryRead(target, position)) return false
    try {
      const { fault } = this.#gate.enterSync(this.#request('read'), () => true)
      flipBit(fault, target, target.length)
      return true
    } catch (error) {
      // The real read, which comes next, is the one to fail or not.
      if (error instanceof KintsugiError) return false
      throw error
    }
  }

  write(source: Uint8Array, position: number): Promise<void> {
    return this.#inFlight.run(() => this.#write(source, position))
  }

  writeSync(source: Uint8Array, position: number): void {
    const request = this.#growing('write', source.length && position + source.length)
    this.#gate.enterSync(request, (fault) => {
      this.#inner.writeSync(beforeShort(fault, source), position)
      failShort(fault, this.path)
    })
  }

  datasync(): Promise<void> {
    return this.#inFlight.run(() => this.#datasync())
  }

  datasyncSync(): void {
    this.#gate.passSync(this.#syncRequest(), () => this.#inner.datasyncSync())
  }

  writeAndDatasync(source: Uint8Array, position: number): Promise<void> {
    return this.#inFlight.run(async () => {
      await this.#write(source, position)
      await this.#datasync()
    })
  }

  allocate(sizeBytes: number): Promise<void> {
    return this.#inFlight.run(async () => {
      const request = this.#growing('allocate', sizeBytes)
      await this.#gate.pass(request, () => this.#inner.allocate(sizeBytes))
    })
  }

  allocateSync(sizeBytes: number): void {
    const request = this.#growing('allocate', sizeBytes)
    this.#gate.passSync(request, () => this.#inner.allocateSync(sizeBytes))
  }

  truncate(sizeBytes: number): Promise<void> {
    return this.#inFlight.run(async () => {
      const request = this.#growing('truncate', sizeBytes)
      await this.#gate.pass(request, () => this.#inner.truncate(sizeBytes))
    })
  }

  truncateSync(sizeBytes: number): void {
    const request = this.#growing('truncate', sizeBytes)
    this.#gate.passSync(request, () => this.#inner.truncateSync(sizeBytes))
  }

  sizeSync(): number {
    return this.#inner.sizeSync()
  }

  /** A failed close has closed the file all the same, as on Linux. */
  async close(): Promise<void> {
    await this.#inFlight.idle()
    await this.#gate.pass(this.#request('close'), () => this.#inner.close())
  }

  closeSync(): void {
    this.#gate.passSync(this.#request('close'), () => this.#inner.closeSync())
  }

  async #write(source: Uint8Array, position: number): Promise<void> {
    const request = this.#growing('write', source.length && position + source.length)
    await this.#gate.enter(request, async (fault) => {
      await this.#inner.write(beforeShort(fault, source), position)
      failShort(fault, this.path)
    })
  }

  #datasync(): Promise<void> {
    return this.#gate.pass(this.#syncRequest(), () => this.#inner.datasync())
  }

  #request(operation: FaultOperation): Request {
    return { operation, paths: [this.path] }
  }

  /** A request that needs space when it leads behind the present end of the file. */
  #growing(operation: FaultOperation, endBytes: number): Request {
    return { operation, paths: [this.path], needsSpace: endBytes > this.#inner.sizeSync() }
  }

  #syncRequest(): Request {
    const inner = this.#inner as Partial<LosesUnsynced>
    return { operation: 'datasync', paths: [this.path], onFailure: () => inner.loseUnsynced?.() }
  }
}

interface Request {
  readonly operation: FaultOperation
  readonly paths: readonly string[]
  readonly needsSpace?: boolean
  /** What the file system below suffers when the operation fails without having taken effect. */
  readonly onFailure?: () => void
}

/** Where every operation passes on its way to the file system below. */
class Gate {
  readonly #faults: FaultInjector

  constructor(faults: FaultInjector) {
    this.#faults = faults
  }

  async pass<T>(request: Request, effect: () => Promise<T>): Promise<T> {
    return (await this.enter(request, effect)).result
  }

  passSync<T>(request: Request, effect: () => T): T {
    return this.enterSync(request, effect).result
  }

  /** The same, for operations that look at the fault themselves. */
  async enter<T>(
    request: Request,
    effect: (fault: Fault | undefined) => Promise<T>
  ): Promise<{ fault: Fault | undefined; result: T }> {
    const fault = this.#arrive(request)
    if (fault?.kind === 'delay') await turns(fault.turns)
    const result = await effect(fault)
    failAfterEffect(fault, request)
    return { fault, result }
  }

  enterSync<T>(
    request: Request,
    effect: (fault: Fault | undefined) => T
  ): { fault: Fault | undefined; result: T } {
    const fault = this.#arrive(request)
    const result = effect(fault)
    failAfterEffect(fault, request)
    return { fault, result }
  }

  /** Fails what is to fail without effect; returns any other fault. */
  #arrive(request: Request): Fault | undefined {
    const { operation, paths } = request
    const fault = this.#faults.strike(operation, paths)
    if (fault?.kind === 'disk-full') this.#faults.diskFull = true
    // A close takes effect even when it fails.
    const failsFirst = fault?.kind === 'error' && !fault.afterEffect && operation !== 'close'
    const errno = failsFirst
      ? fault.errno
      : this.#faults.diskFull && request.needsSpace
        ? 'ENOSPC'
        : undefined
    if (errno === undefined) return fault
    request.onFailure?.()
    throw injectedError(operation, paths[0]!, errno)
  }
}

function openRequest(path: string, mode: OpenMode): Request {
  const creates = mode === 'create'
  return { operation: creates ? 'create' : 'open', paths: [path], needsSpace: creates }
}

function failAfterEffect(fault: Fault | undefined, { operation, paths }: Request): void {
  if (fault?.kind === 'error') throw injectedError(operation, paths[0]!, fault.errno)
}

function beforeShort(fault: Fault | undefined, source: Uint8Array): Uint8Array {
  return fault?.kind === 'short-write' ? asBuffer(source).subarray(0, fault.lengthBytes) : source
}

function failShort(fault: Fault | undefined, path: string): void {
  if (fault?.kind === 'short-write') throw injectedError('write', path, fault.errno)
}

function flipBit(fault: Fault | undefined, target: Uint8Array, length: number): void {
  if (fault?.kind !== 'bit-flip' || length === 0) return
  const bit = fault.bit % (length * 8)
  target[bit >> 3]! ^= 1 << (bit & 7)
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => void setImmediate(resolve))
}
