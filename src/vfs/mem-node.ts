import { chunkBytes, MemContent } from './mem-content.js'
import type { LockOwner } from './vfs.js'

export type MemNode = MemFileNode | MemDirectoryNode

/**
 * `pending`: written, not synced. `durable`: synced, but kept in the list because something before
 * it is lost. `lost`: a sync failed and the pages were dropped; it reads back well until the crash,
 * and no later sync brings it to the medium.
 */
export type ChangeState = 'pending' | 'durable' | 'lost'

/** A change of a file's contents or size that a crash may undo. */
export type FileChange = { readonly state: ChangeState } & (
  | { readonly kind: 'write'; readonly position: number; readonly bytes: Uint8Array }
  /** Sets the size. */
  | { readonly kind: 'truncate'; readonly sizeBytes: number }
  /** Raises the size to at least this. */
  | { readonly kind: 'extend'; readonly sizeBytes: number }
)

/** What the nodes of one simulated device share. */
export class MemSpace {
  usedBytes = 0

  constructor(readonly capacityBytes: number) {}

  get freeBytes(): number {
    return Math.max(0, this.capacityBytes - this.usedBytes)
  }
}

/** An inode of a file: what programs see, what the medium surely holds, and what lies between. */
export class MemFileNode {
  readonly isDirectory = false
  current: MemContent
  synced: MemContent
  /** In order; everything in `current` that is not in `synced`. */
  changes: FileChange[] = []
  /** Bytes of an earlier file whose blocks this one may have been given; shown as garbage. */
  readonly stale: MemContent | undefined
  linkCount = 0
  openCount = 0
  modifiedMs = 0
  exclusiveLocks = 0
  sharedLocks = 0
  /** Who took the exclusive lock last and did not release it. */
  lockOwner: LockOwner | undefined
  readonly #space: MemSpace
  /** Chunks reserved by `allocate`, from the start of the file. */
  #reservedChunks = 0
  #footprintBytes = 0
  /** Changes that have left the list; with its length, the number of changes ever made. */
  #settledCount = 0

  constructor(space: MemSpace, content = new MemContent(), stale?: MemContent) {
    this.#space = space
    this.current = content
    this.synced = content.clone()
    this.stale = stale
    this.#recount()
  }

  /** A copy on another device that still has everything unsynced, as after the end of a process. */
  fork(space: MemSpace): MemFileNode {
    const copy = new MemFileNode(space, this.current.clone(), this.stale)
    copy.synced = this.synced.clone()
    copy.changes = this.changes.slice()
    copy.modifiedMs = this.modifiedMs
    copy.lockOwner = this.lockOwner
    copy.#settledCount = this.#settledCount
    copy.#reservedChunks = this.#reservedChunks
    copy.#recount()
    return copy
  }

  /** Writes as much as there is space for; returns the number of bytes written. */
  write(source: Uint8Array, position: number): number {
    const length = this.#roomFor(source.length, position)
    if (length === 0) return 0
    const bytes = Buffer.allocUnsafe(length)
    bytes.set(length === source.length ? source : source.subarray(0, length))
    this.current.write(bytes, position)
    this.changes.push({ kind: 'write', position, bytes, state: 'pending' })
    return length
  }

  /** False when there is not enough space; nothing is changed then. */
  allocate(sizeBytes: number): boolean {
    const chunkCount = Math.max(this.#reservedChunks, Math.ceil(sizeBytes / chunkBytes))
    const footprint = (chunkCount + this.current.chunkCountFrom(chunkCount)) * chunkBytes
    if (footprint - this.#footprintBytes > this.#space.freeBytes) return false
    this.#reservedChunks = chunkCount
    this.#recount()
    if (sizeBytes > this.current.sizeBytes) {
      this.current.truncate(sizeBytes)
      this.changes.push({ kind: 'extend', sizeBytes, state: 'pending' })
    }
    return true
  }

  truncate(sizeBytes: number): void {
    if (sizeBytes === this.current.sizeBytes) return
    if (sizeBytes < this.current.sizeBytes) {
      this.#reservedChunks = Math.min(this.#reservedChunks, Math.ceil(sizeBytes / chunkBytes))
    }
    this.current.truncate(sizeBytes)
    this.changes.push({ kind: 'truncate', sizeBytes, state: 'pending' })
    this.#recount()
  }

  /** The point up to which a sync that starts now will make changes durable. */
  get changeCount(): number {
    return this.#settledCount + this.changes.length
  }

  /** Makes the first `changeCount` changes durable, save those that an earlier failure lost. */
  sync(changeCount: number): void {
    const count = Math.min(changeCount - this.#settledCount, this.changes.length)
    if (count <= 0) return
    if (this.changes.some((change) => change.state === 'lost')) {
      this.changes = this.changes.map((change, i) =>
        i < count && change.state === 'pending' ? { ...change, state: 'durable' } : change
      )
      return
    }
    if (count === this.changes.length) this.synced = this.current.clone()
    else for (let i = 0; i < count; i++) applyChange(this.synced, this.changes[i]!)
    this.changes = this.changes.slice(count)
    this.#settledCount += count
  }

  /** A sync failed: the pages count as clean from now on though they never reached the medium. */
  loseUnsynced(): void {
    this.changes = this.changes.map((change) =>
      change.state === 'pending' ? { ...change, state: 'lost' } : change
    )
  }

  /** Gives the space back once neither a name nor an open file refers to this node. */
  releaseIfUnused(): boolean {
    if (this.linkCount > 0 || this.openCount > 0) return false
    this.#space.usedBytes -= this.#footprintBytes
    this.#footprintBytes = 0
    return true
  }

  #recount(): void {
    const footprint =
      (this.#reservedChunks + this.current.chunkCountFrom(this.#reservedChunks)) * chunkBytes
    this.#space.usedBytes += footprint - this.#footprintBytes
    this.#footprintBytes = footprint
  }

  /** How many of `length` bytes can be written at `position`; takes the space for them. */
  #roomFor(length: number, position: number): number {
    const end = position + length
    for (let at = position; at < end;) {
      const index = Math.floor(at / chunkBytes)
      if (index >= this.#reservedChunks && !this.current.hasChunk(index)) {
        if (this.#space.freeBytes < chunkBytes) return at - position
        this.#space.usedBytes += chunkBytes
        this.#footprintBytes += chunkBytes
      }
      at = (index + 1) * chunkBytes
    }
    return length
  }
}

/** An inode of a directory: the names programs see and the names that survive a crash for sure. */
export class MemDirectoryNode {
  readonly isDirectory = true
  readonly entries = new Map<string, MemNode>()
  readonly durable = new Map<string, MemNode>()
  modifiedMs = 0
}

export function applyChange(content: MemContent, change: FileChange): void {
  if (change.kind === 'write') content.write(change.bytes, change.position)
  else if (change.kind === 'truncate') content.truncate(change.sizeBytes)
  else if (change.sizeBytes > content.sizeBytes) content.truncate(change.sizeBytes)
}
