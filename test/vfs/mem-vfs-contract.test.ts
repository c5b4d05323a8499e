import { SeededRandom } from '../../dist/base/random.js'
import { MacrotaskScheduler, SeededScheduler } from '../../dist/vfs/mem-scheduler.js'
import { MemVfs, type MemVfsOptions } from '../../dist/vfs/mem-vfs.js'
import { vfsContract } from './vfs-contract.js'

function fixture(options: MemVfsOptions) {
  const vfs = new MemVfs(options)
  vfs.mkdirSync('/root')
  return { vfs, root: '/root', cleanup: () => undefined }
}

vfsContract('MemVfs', () => fixture({}))
vfsContract('MemVfs, everything in memory', () => fixture({ cachedReads: 'all' }))
vfsContract('MemVfs, effects at submission', () =>
  fixture({ scheduler: new MacrotaskScheduler('submission') })
)
vfsContract('MemVfs, operations overtaking each other', () =>
  fixture({ scheduler: new SeededScheduler(new SeededRandom(7)) })
)
