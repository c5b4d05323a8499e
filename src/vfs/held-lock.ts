import fs from 'node:fs'
import { withTypedErrors } from './node-error.js'
import type { LockOwner, VfsLock } from './vfs.js'

/** A lock that this process has; shared lockers of one thread have it together. */
export interface HeldLock {
  /** Device and inode of the lock file, whose descriptor stays open so that they are not reused. */
  readonly identity: string
  readonly exclusive: boolean
  readonly owner: LockOwner
  readonly previousOwner: LockOwner | undefined
  holders: number
  end(): void
}

export type LockRegistry = Map<string, HeldLock>

/**
 * On a global symbol, so that two copies of this package in one process share it. Changing the shape
 * of `HeldLock` therefore takes a new symbol.
 */
const registrySymbol = Symbol.for('kintsugi-db.file-locks.1')

export function locksOfThisProcess(): LockRegistry {
  const holder = globalThis as { [registrySymbol]?: LockRegistry }
  return (holder[registrySymbol] ??= new Map())
}

/** One holder's part in a held lock. */
export class FileLock implements VfsLock {
  readonly #held: HeldLock
  readonly #registry: LockRegistry
  #released = false

  constructor(held: HeldLock, registry: LockRegistry) {
    this.#held = held
    this.#registry = registry
  }

  get exclusive(): boolean {
    return this.#held.exclusive
  }

  get previousOwner(): LockOwner | undefined {
    return this.#held.previousOwner
  }

  release(): void {
    if (this.#released) return
    this.#released = true
    this.#held.holders -= 1
    if (this.#held.holders > 0) return
    this.#registry.delete(this.#held.identity)
    this.#held.end()
  }
}

/** What tells files apart however their paths are spelled; undefined where there is none. */
export function identityAt(path: string): string | undefined {
  const stat = withTypedErrors('lock', path, () =>
    fs.statSync(path, { bigint: true, throwIfNoEntry: false })
  )
  return stat && `${stat.dev}:${stat.ino}`
}

export function identityOf(fd: number): string {
  const stat = fs.fstatSync(fd, { bigint: true })
  return `${stat.dev}:${stat.ino}`
}
