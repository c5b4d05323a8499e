import type { Clock } from '../base/clock.js'
import type { Vfs } from '../vfs/vfs.js'
import {
  inspectDirectory,
  isRefused,
  lockName,
  refuseDirectory,
  removeStore
} from './store-directory.js'

/**
 * Removes the files of a store that nobody has open, and its directory when nothing else is in it.
 * Whatever interrupts it leaves a directory of which an opening makes a new store, and that can be
 * destroyed again. A missing or empty directory has nothing to remove.
 */
export async function destroyStore(vfs: Vfs, path: string, clock: Clock): Promise<void> {
  const refuseForeign = (): boolean => {
    const state = inspectDirectory(vfs, path)
    // Damaged data may be removed; what is no store, or not yet one, is not for this to remove.
    if (isRefused(state) && state !== 'headless') throw refuseDirectory(path, state)
    return state !== 'missing'
  }
  if (!refuseForeign()) return
  const lock = vfs.lockSync(`${path}/${lockName}`, { exclusive: true, now: clock.now() })
  try {
    refuseForeign()
    await removeStore(vfs, path)
    // Whoever opened this very file waits for nothing: a lock on a file that was replaced is refused.
    await vfs.unlink(`${path}/${lockName}`)
  } finally {
    lock.release()
  }
  if (vfs.readdirSync(path).length === 0) vfs.rmdirSync(path)
}
