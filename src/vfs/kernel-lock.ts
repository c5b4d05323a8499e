import fs from 'node:fs'
import type { NativeBinding } from '../native-binding.js'
import { fileError } from './file-error.js'
import { identityAt, identityOf, type HeldLock } from './held-lock.js'
import {
  currentOwner,
  lockedError,
  mayBeAlive,
  openLockFile,
  ownerFileError,
  ownerFileExists,
  readRecord,
  writeRecord
} from './lock-owner.js'
import { nodeError } from './node-error.js'

/**
 * A lock of the open file description: it ends with the process, however that ends, is not inherited
 * by programs the process starts, and is not disturbed by whoever opens and closes the file
 * elsewhere. The file holds the exclusive owner's record, blanked on release, and is never unlinked.
 */
export function lockInKernel(
  path: string,
  { exclusive, now }: { exclusive: boolean; now: number },
  native: NativeBinding
): HeldLock {
  const fd = openLockFile(path, exclusive)
  try {
    const errno = native.tryLock(fd, exclusive)
    if (errno === 'EAGAIN') throw refusal(path, fd, native)
    if (errno !== undefined) throw fileError('lock', path, errno)
    const identity = identityOf(fd)
    if (identity !== identityAt(path)) {
      throw lockedError(path, undefined, 'the lock file was replaced meanwhile, try again')
    }
    const owner = currentOwner(now, native)
    const previousOwner = readRecord(fd)
    if (exclusive) writeRecord(fd, owner)
    if (ownerFileExists(path)) {
      if (exclusive) writeRecord(fd, previousOwner)
      throw ownerFileError(path, native)
    }
    const end = () => endLock(path, fd, exclusive)
    return { identity, exclusive, owner, previousOwner, holders: 1, end }
  } catch (error) {
    fs.closeSync(fd)
    throw error
  }
}

/** Closing is what unlocks, so it happens even when the record cannot be blanked. */
function endLock(path: string, fd: number, exclusive: boolean): void {
  try {
    if (exclusive) writeRecord(fd, undefined)
  } catch (error) {
    throw nodeError('unlock', path, error)
  } finally {
    fs.closeSync(fd)
  }
}

function refusal(path: string, fd: number, native: NativeBinding) {
  const owner = readRecord(fd)
  // Readers leave no record; one that a crashed owner left behind is not the holder's.
  if (!owner || !mayBeAlive(owner, native)) {
    return lockedError(path, undefined, 'close the read-only openers of this store first')
  }
  return lockedError(path, owner, 'close the store there, or end that process; nothing to clean up')
}
