import fs from 'node:fs'
import { identityOf, type HeldLock } from './held-lock.js'
import {
  currentOwner,
  encodeOwner,
  lockedError,
  openLockFile,
  ownerFileError,
  ownerPathOf,
  readRecord
} from './lock-owner.js'
import { errnoOf, withTypedErrors } from './node-error.js'
import type { LockOwner } from './vfs.js'

/**
 * The lock without the addon (rule S5): the existence of `<path>.owner`, created exclusively. A
 * crashed owner leaves it behind and nobody takes it over, because checking and then removing it
 * would let two in; the error says how to clear it. A shared lock keeps other processes and threads
 * out like an exclusive one. Who had the lock before is never known.
 */
export function lockByOwnerFile(
  path: string,
  { exclusive, now }: { exclusive: boolean; now: number }
): HeldLock {
  const owner = currentOwner(now, undefined)
  let fd: number
  try {
    // Read and write, although only read: who may not write the lock file may not own the store.
    fd = openLockFile(path, true)
  } catch (error) {
    if (exclusive || errnoOf(error) !== 'EROFS') throw error
    return lookOn(path, owner)
  }
  try {
    createOwnerFile(path, owner)
    const recorded = readRecord(fd)
    if (recorded) {
      fs.unlinkSync(ownerPathOf(path))
      throw recordError(path, recorded)
    }
    const identity = identityOf(fd)
    const end = () => endLock(path, fd)
    return { identity, exclusive, owner, previousOwner: undefined, holders: 1, end }
  } catch (error) {
    fs.closeSync(fd)
    throw error
  }
}

/**
 * A reader's lock on a read-only file system: nothing can be left there, and nobody can become the
 * owner. Only one that is there already counts.
 */
function lookOn(path: string, owner: LockOwner): HeldLock {
  if (fs.existsSync(ownerPathOf(path))) throw ownerFileError(path, undefined)
  const fd = openLockFile(path, false)
  try {
    const recorded = readRecord(fd)
    if (recorded) throw recordError(path, recorded)
    const end = () => fs.closeSync(fd)
    return {
      identity: identityOf(fd),
      exclusive: false,
      owner,
      previousOwner: undefined,
      holders: 1,
      end
    }
  } catch (error) {
    fs.closeSync(fd)
    throw error
  }
}

function createOwnerFile(path: string, owner: LockOwner): void {
  const ownerPath = ownerPathOf(path)
  let fd: number
  try {
    fd = fs.openSync(ownerPath, 'wx', 0o644)
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') throw ownerFileError(path, undefined)
    throw error
  }
  try {
    fs.writeFileSync(fd, encodeOwner(owner))
  } catch (error) {
    // It is this process's own, and without a lock held it must not stay.
    fs.unlinkSync(ownerPath)
    throw error
  } finally {
    fs.closeSync(fd)
  }
}

function endLock(path: string, fd: number): void {
  try {
    withTypedErrors('unlock', path, () => fs.unlinkSync(ownerPathOf(path)))
  } finally {
    fs.closeSync(fd)
  }
}

/** Without asking the kernel nobody can tell an owner with a kernel lock from one that crashed. */
function recordError(path: string, owner: LockOwner) {
  return lockedError(
    path,
    owner,
    `close the store there; if that process is gone, open the store once where the native addon is` +
      ` available, or empty this file`
  )
}
