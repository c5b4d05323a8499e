import { KintsugiError, open } from '../../dist/index.js'
import type { SeededRandom } from '../../dist/base/random.js'
import type { MemScheduler } from '../../dist/vfs/mem-scheduler.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import type { Vfs } from '../../dist/vfs/vfs.js'
import type { BackendName } from '../helpers/backends.js'
import { DiskVfs } from '../helpers/disk-vfs.js'

/** Of what only the power can take: nothing, everything or a part is kept; `k`: nobody cut it. */
export type Fate = 'nothing' | 'everything' | 'k' | SeededRandom

/** The files of a store whose crashes can be looked at. */
export interface ModelFiles {
  readonly vfs: Vfs
  /** A listener for every operation that changes something; returns what takes it away. */
  onBeforeOperation(listener: () => void): () => void
  /** What a crash at this moment leaves. */
  crashed(fate: Fate, scheduler: () => MemScheduler): ModelFiles
  /** Whether the power can be cut; elsewhere every crash is the death of a process. */
  readonly losesPower: boolean
  /** The directory of the machine, for whoever has to look. */
  readonly root: string | undefined
  remove(): void
}

export function memoryFiles(vfs: MemVfs): ModelFiles {
  return {
    vfs,
    losesPower: true,
    root: undefined,
    onBeforeOperation: (listener) => vfs.onBeforeOperation(listener),
    crashed: (fate, scheduler) => {
      const options = { scheduler: scheduler() }
      return memoryFiles(fate === 'k' ? vfs.killClone(options) : vfs.crashClone(fate, options))
    },
    remove: () => undefined
  }
}

/**
 * Real files: a crash leaves all that was handed to the operating system, which is what a copy of
 * the directory has.
 */
export function diskFiles(disk = new DiskVfs()): ModelFiles {
  return {
    vfs: disk.vfs,
    losesPower: false,
    root: disk.root,
    onBeforeOperation: (listener) => disk.onBeforeOperation(listener),
    crashed: () => diskFiles(disk.copy()),
    remove: () => disk.remove()
  }
}

export interface Abilities {
  /** Files in memory do; otherwise the backend opens files of its own on the machine. */
  readonly worksInMemory: boolean
  /** Ranges can be read by loops that wait for the disk. */
  readonly waitsForRanges: boolean
}

/** What a backend can do, found out by trying. */
export async function abilitiesOf(backend: BackendName): Promise<Abilities> {
  const refused = (error: unknown): undefined => {
    if (error instanceof KintsugiError && error.code === 'KINTSUGI_NOT_SUPPORTED') return undefined
    throw error
  }
  const inMemory = await open('/store', { backend, vfs: new MemVfs() }).catch(refused)
  const disk = new DiskVfs()
  const store = inMemory ?? (await open('/store', { backend, vfs: disk.vfs }))
  let waitsForRanges = true
  try {
    store.keys().next()
  } catch (error) {
    refused(error)
    waitsForRanges = false
  }
  await store.close()
  disk.remove()
  return { worksInMemory: inMemory !== undefined, waitsForRanges }
}
