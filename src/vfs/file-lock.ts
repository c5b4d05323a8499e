import type { NativeBinding } from '../native-binding.js'
import { FileLock, identityAt, locksOfThisProcess } from './held-lock.js'
import { lockInKernel } from './kernel-lock.js'
import { lockedError } from './lock-owner.js'
import { withTypedErrors } from './node-error.js'
import { lockByOwnerFile } from './owner-file-lock.js'
import type { VfsLock } from './vfs.js'

/**
 * Locks a file for this process by one of two kinds of lock, after asking the process's own registry
 * and before opening the file: closing a descriptor of a file that some other code in this process
 * locked the POSIX way would drop that lock.
 *
 * With the addon the kernel holds the lock (`kernel-lock.ts`), without it the existence of a file
 * does (`owner-file-lock.ts`). The two see each other: an exclusive locker of either kind first shows
 * its own mark, the record or the owner file, and then looks for the other's, so that of two at once
 * at least one gives way. A shared kernel lock leaves no mark: an opener without the addon does not
 * see such readers.
 */
export function lockFile(
  path: string,
  options: { exclusive: boolean; now: number },
  native: NativeBinding | undefined
): VfsLock {
  const registry = locksOfThisProcess()
  const identity = identityAt(path)
  const held = identity === undefined ? undefined : registry.get(identity)
  if (held) {
    if (options.exclusive || held.exclusive) {
      throw lockedError(path, held.owner, 'it is open in this very process, close it there first')
    }
    held.holders += 1
    return new FileLock(held, registry)
  }
  const lock = withTypedErrors('lock', path, () =>
    native ? lockInKernel(path, options, native) : lockByOwnerFile(path, options)
  )
  registry.set(lock.identity, lock)
  return new FileLock(lock, registry)
}
