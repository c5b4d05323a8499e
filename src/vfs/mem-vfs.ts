import { KintsugiError } from '../errors.js'
import { fileError } from './file-error.js'
import { crashTree, forkTree, type CrashFate } from './mem-crash.js'
import type { MemContent } from './mem-content.js'
import { MemFile, type MemFileHost } from './mem-file.js'
import { MemMedium } from './mem-medium.js'
import { NameJournal, type EntryChange } from './mem-names.js'
import { MemDirectoryNode, MemFileNode, MemSpace, type MemNode } from './mem-node.js'
import type { MemObserver, MemOperationKind } from './mem-operation.js'
import { splitPath } from './mem-path.js'
import { MicrotaskScheduler, type MemScheduler } from './mem-scheduler.js'
import type { FileStat, LockOwner, OpenMode, Vfs, VfsFile, VfsLock } from './vfs.js'

export interface MemVfsOptions {
  /** Space on the device; writes beyond it fail with DISK_FULL. Default: no limit. */
  readonly capacityBytes?: number
  /** When asynchronous operations take effect and settle. Default: `MicrotaskScheduler`. */
  readonly scheduler?: MemScheduler
  /** Which reads find their bytes in memory without waiting. Default: `some`, by turns. */
  readonly cachedReads?: CachedReads
  /** Whom locks name as their owner. */
  readonly owner?: Omit<LockOwner, 'since'>
}

/** `some`: about every second one, in a fixed order without a period that a caller could have. */
export type CachedReads = 'none' | 'some' | 'all'

const bootOwner: Omit<LockOwner, 'since'> = { pid: 1, host: 'memory', bootId: 'boot-0' }
const rememberedFreedFiles = 8

/**
 * A deterministic file system in memory that knows which of its bytes and names would survive a
 * power cut, and makes copies of itself as they would be after one. The working directory is `/`.
 * The faults it simulates are listed in `mem-crash.ts`.
 */
export class MemVfs implements Vfs, MemFileHost {
  readonly spec = undefined
  readonly scheduler: MemScheduler
  readonly capacityBytes: number
  readonly #owner: Omit<LockOwner, 'since'>
  readonly #cachedReads: CachedReads
  #tryReadCount = 0
  readonly #space: MemSpace
  #root = new MemDirectoryNode()
  #names = new NameJournal()
  /** Contents of removed files; a new file may be given their blocks. */
  #freedContents: MemContent[] = []
  #operationCount = 0
  readonly #before = new Set<MemObserver>()
  readonly #after = new Set<MemObserver>()

  constructor(options: MemVfsOptions = {}) {
    this.capacityBytes = options.capacityBytes ?? Number.MAX_SAFE_INTEGER
    this.scheduler = options.scheduler ?? new MicrotaskScheduler()
    this.#owner = options.owner ?? bootOwner
    this.#cachedReads = options.cachedReads ?? 'some'
    this.#space = new MemSpace(this.capacityBytes)
  }

  /** Mutating operations so far; also the index of the next one. */
  get operationCount(): number {
    return this.#operationCount
  }

  /** Synced bytes and names, to look at and to damage behind the back of whoever uses the files. */
  get medium(): MemMedium {
    return new MemMedium(this.#root)
  }

  /** Calls back after every mutating operation took effect; returns how to stop it. */
  onOperation(observer: MemObserver): () => void {
    this.#after.add(observer)
    return () => this.#after.delete(observer)
  }

  /** The same, before the operation takes effect. */
  onBeforeOperation(observer: MemObserver): () => void {
    this.#before.add(observer)
    return () => this.#before.delete(observer)
  }

  /** One of the states a power cut now may leave; locks are gone, their last owner is remembered. */
  crashClone(fate: CrashFate, options: MemVfsOptions = {}): MemVfs {
    const boot = Number(this.#owner.bootId.split('-').at(-1)) + 1
    const clone = this.#sibling({ ...this.#owner, bootId: `boot-${boot || 1}` }, options)
    clone.#root = crashTree(this.#root, this.#names, clone.#space, fate)
    return clone
  }

  /**
   * The state after the process died and the machine went on: everything written is there, nothing
   * unsynced has become safe, and a later power cut may still take it.
   */
  killClone(options: MemVfsOptions = {}): MemVfs {
    const clone = this.#sibling({ ...this.#owner, pid: this.#owner.pid + 1 }, options)
    const tree = forkTree(this.#root, this.#names, clone.#space)
    clone.#root = tree.root
    clone.#names = tree.names
    return clone
  }

  realPath(): undefined {
    return undefined
  }

  async shadow(directory: string): Promise<string> {
    throw new KintsugiError(
      'KINTSUGI_NOT_SUPPORTED',
      `${directory} is in memory, where other libraries cannot read it`,
      { path: directory }
    )
  }

  async open(path: string, mode: OpenMode): Promise<VfsFile> {
    return this.scheduler.run(() => this.openSync(path, mode))
  }

  openSync(path: string, mode: OpenMode): MemFile {
    const node = this.#find(path)
    if (mode === 'create') {
      if (node) throw fileError('open', path, 'EEXIST')
      return new MemFile(this, path, this.#create('open', path), true)
    }
    if (!node) throw fileError('open', path, 'ENOENT')
    if (node.isDirectory) throw fileError('open', path, 'EISDIR')
    return new MemFile(this, path, node, mode === 'readwrite')
  }

  mkdirSync(path: string): void {
    if (this.#find(path)) throw fileError('mkdir', path, 'EEXIST')
    const place = this.#placeOf('mkdir', path)
    this.mutate('mkdir', path, () => this.#record({ ...place, node: new MemDirectoryNode() }))
  }

  readdir(path: string): Promise<string[]> {
    return this.scheduler.run(() => this.readdirSync(path))
  }

  readdirSync(path: string): string[] {
    return [...this.#directoryAt('readdir', path).entries.keys()].sort()
  }

  statSync(path: string): FileStat | undefined {
    const node = this.#find(path)
    if (!node) return undefined
    return {
      sizeBytes: node.isDirectory ? 0 : node.current.sizeBytes,
      isDirectory: node.isDirectory,
      modifiedMs: node.modifiedMs
    }
  }

  rename(from: string, to: string): Promise<void> {
    return this.scheduler.run(() => this.renameSync(from, to))
  }

  renameSync(from: string, to: string): void {
    const source = this.#placeOf('rename', from)
    const target = this.#placeOf('rename', to)
    const node = source.directory.entries.get(source.name)
    if (!node) throw fileError('rename', from, 'ENOENT')
    const replaced = target.directory.entries.get(target.name)
    if (node === replaced) return
    if (replaced?.isDirectory && !node.isDirectory) throw fileError('rename', to, 'EISDIR')
    if (replaced && !replaced.isDirectory && node.isDirectory) {
      throw fileError('rename', to, 'ENOTDIR')
    }
    if (replaced?.isDirectory && replaced.entries.size > 0) {
      throw fileError('rename', to, 'ENOTEMPTY')
    }
    if (node.isDirectory && isInside(target.directory, node))
      throw fileError('rename', to, 'EINVAL')
    this.mutate('rename', `${from} -> ${to}`, () =>
      this.#record({ ...source, node: undefined }, { ...target, node })
    )
  }

  link(from: string, to: string): Promise<void> {
    return this.scheduler.run(() => {
      const node = this.#find(from)
      if (!node) throw fileError('link', from, 'ENOENT')
      if (node.isDirectory) throw fileError('link', from, 'EPERM')
      const target = this.#placeOf('link', to)
      if (target.directory.entries.has(target.name)) throw fileError('link', to, 'EEXIST')
      this.mutate('link', `${from} -> ${to}`, () => this.#record({ ...target, node }))
    })
  }

  unlink(path: string): Promise<void> {
    return this.scheduler.run(() => this.unlinkSync(path))
  }

  unlinkSync(path: string): void {
    const place = this.#placeOf('unlink', path)
    const node = place.directory.entries.get(place.name)
    if (!node) throw fileError('unlink', path, 'ENOENT')
    if (node.isDirectory) throw fileError('unlink', path, 'EISDIR')
    this.mutate('unlink', path, () => this.#record({ ...place, node: undefined }))
  }

  rmdirSync(path: string): void {
    const place = this.#placeOf('rmdir', path)
    const node = place.directory.entries.get(place.name)
    if (!node) throw fileError('rmdir', path, 'ENOENT')
    if (!node.isDirectory) throw fileError('rmdir', path, 'ENOTDIR')
    if (node.entries.size > 0) throw fileError('rmdir', path, 'ENOTEMPTY')
    this.mutate('rmdir', path, () => this.#record({ ...place, node: undefined }))
  }

  syncDirectory(path: string): Promise<void> {
    const { mark } = this.#names
    return this.scheduler.run(() => this.#syncDirectory(path, mark))
  }

  syncDirectorySync(path: string): void {
    this.#syncDirectory(path, this.#names.mark)
  }

  /** What a failed directory sync does: later ones succeed, and the names still do not survive. */
  loseUnsyncedNames(path: string): void {
    this.#names.lose(this.#directoryAt('fsync', path))
  }

  lockSync(path: string, options: { exclusive: boolean; now: number }): VfsLock {
    const found = this.#find(path)
    if (found?.isDirectory) throw fileError('lock', path, 'EISDIR')
    if (found && (found.exclusiveLocks > 0 || (options.exclusive && found.sharedLocks > 0))) {
      throw lockedError(path, found.lockOwner)
    }
    const node = found ?? this.#create('lock', path)
    const { lockOwner: previousOwner } = node
    node.openCount++
    if (options.exclusive) {
      node.exclusiveLocks++
      node.lockOwner = { ...this.#owner, since: new Date(options.now).toISOString() }
    } else node.sharedLocks++
    let held = true
    return {
      exclusive: options.exclusive,
      previousOwner,
      release: () => {
        if (!held) return
        held = false
        if (options.exclusive) {
          node.exclusiveLocks--
          node.lockOwner = undefined
        } else node.sharedLocks--
        node.openCount--
        this.releaseNode(node)
      }
    }
  }

  async freeBytes(path: string): Promise<number> {
    if (!this.#find(path)) throw fileError('statfs', path, 'ENOENT')
    return this.#space.freeBytes
  }

  /** Runs a change between the two kinds of observers. For the files of this file system. */
  mutate<T>(kind: MemOperationKind, path: string, change: () => T): T {
    const operation = { index: this.#operationCount++, kind, path }
    for (const observer of this.#before) observer(operation)
    try {
      return change()
    } finally {
      // A failed operation may have done part of its work.
      for (const observer of this.#after) observer(operation)
    }
  }

  /** Whether the next read without waiting does without. For the files of this file system. */
  nextReadIsCached(): boolean {
    if (this.#cachedReads !== 'some') return this.#cachedReads === 'all'
    // A bit from the middle of a multiplicative hash of the read's number.
    return ((Math.imul(++this.#tryReadCount, 0x9e37_79b1) >>> 15) & 1) === 1
  }

  /** Gives back an inode that nothing refers to any more. For the files of this file system. */
  releaseNode(node: MemFileNode): void {
    if (!node.releaseIfUnused()) return
    this.#freedContents.push(node.current.clone())
    if (this.#freedContents.length > rememberedFreedFiles) this.#freedContents.shift()
  }

  #sibling(owner: Omit<LockOwner, 'since'>, options: MemVfsOptions): MemVfs {
    const clone = new MemVfs({
      capacityBytes: this.capacityBytes,
      cachedReads: this.#cachedReads,
      owner,
      ...options
    })
    clone.#freedContents = this.#freedContents.slice()
    return clone
  }

  #create(operation: string, path: string): MemFileNode {
    const place = this.#placeOf(operation, path)
    const node = new MemFileNode(this.#space, undefined, this.#freedContents.pop())
    this.mutate('create', path, () => this.#record({ ...place, node }))
    return node
  }

  #record(...changes: EntryChange[]): void {
    const replaced = changes.map(({ directory, name }) => directory.entries.get(name))
    this.#names.record(changes)
    for (const { directory, node } of changes) {
      directory.modifiedMs = this.#operationCount
      if (node && !node.isDirectory) node.linkCount++
    }
    for (const node of replaced) {
      if (!node || node.isDirectory) continue
      node.linkCount--
      this.releaseNode(node)
    }
  }

  #syncDirectory(path: string, mark: number): void {
    const directory = this.#directoryAt('fsync', path)
    this.mutate('syncDirectory', path, () => this.#names.sync(directory, mark))
  }

  #directoryAt(operation: string, path: string): MemDirectoryNode {
    const node = this.#find(path)
    if (!node) throw fileError(operation, path, 'ENOENT')
    if (!node.isDirectory) throw fileError(operation, path, 'ENOTDIR')
    return node
  }

  /** The directory and the name in it that a path means. */
  #placeOf(operation: string, path: string): { directory: MemDirectoryNode; name: string } {
    const names = splitPath(path)
    const name = names.pop()
    if (name === undefined) throw fileError(operation, path, 'EBUSY')
    return { directory: this.#directoryAt(operation, names.join('/')), name }
  }

  #find(path: string): MemNode | undefined {
    let node: MemNode | undefined = this.#root
    for (const name of splitPath(path)) {
      if (!node?.isDirectory) return undefined
      node = node.entries.get(name)
    }
    return node
  }
}

function isInside(directory: MemDirectoryNode, ancestor: MemDirectoryNode): boolean {
  if (directory === ancestor) return true
  for (const child of ancestor.entries.values()) {
    if (child.isDirectory && isInside(directory, child)) return true
  }
  return false
}

function lockedError(path: string, owner: LockOwner | undefined): KintsugiError {
  const by = owner ? ` by process ${owner.pid} on ${owner.host} since ${owner.since}` : ''
  return new KintsugiError(
    'KINTSUGI_LOCKED',
    `${path} is locked${by}: close the other opener first`,
    { operation: 'lock', path, ...(owner && { owner }) }
  )
}
