import { onTestFinished } from 'vitest'
import type { Backend, BackendContext, Progress } from '../../../dist/backend/backend.js'
import { levelKind } from '../../../dist/backends/level/level-kind.js'
import { SeededRandom } from '../../../dist/base/random.js'
import { encodeBatch, type BatchOperation } from '../../../dist/batch/batch.js'
import { Checksum } from '../../../dist/codec/checksum.js'
import { resolveOptions, type StoreOptions } from '../../../dist/options.js'
import type { Vfs } from '../../../dist/vfs/vfs.js'
import { tinyOptions } from '../../helpers/backends.js'
import { DiskVfs } from '../../helpers/disk-vfs.js'
import { TestClock } from '../../helpers/test-clock.js'

export const progress: Progress = { report: () => undefined, signal: undefined }
export const directory = '/data'
export const databasePath = `${directory}/db`
export const statePath = `${directory}/STATE`

/** An empty directory of the machine, removed after the test. */
export function emptyDisk(): DiskVfs {
  return forThisTest(new DiskVfs())
}

export function forThisTest(disk: DiskVfs): DiskVfs {
  onTestFinished(() => disk.remove())
  return disk
}

export async function contextOn(vfs: Vfs, options: StoreOptions = {}): Promise<BackendContext> {
  return {
    vfs,
    directory,
    storeId: Buffer.alloc(16, 7),
    checksum: await Checksum.create(),
    clock: new TestClock(),
    random: new SeededRandom(9),
    options: resolveOptions({ ...tinyOptions, ...options }),
    readOnly: options.readOnly === true,
    quarantine: '/quarantine',
    epoch: 1,
    notify: () => undefined
  }
}

export async function create(vfs: Vfs, options: StoreOptions = {}): Promise<Backend> {
  vfs.mkdirSync(directory)
  return track(await levelKind.create(await contextOn(vfs, options)))
}

export async function reopen(vfs: Vfs, options: StoreOptions = {}): Promise<Backend> {
  return track(await levelKind.open(await contextOn(vfs, options)))
}

/** LevelDB must not outlive its directory; closing twice is allowed. */
function track(backend: Backend): Backend {
  onTestFinished(() => backend.close())
  return backend
}

export function apply(backend: Backend, seq: number, ...operations: BatchOperation[]): void {
  const bytes = encodeBatch(operations)
  backend.prepareSync(bytes, 0, bytes.length)
  backend.apply(bytes, 0, bytes.length, seq)
  bytes.fill(0xee)
}

export const put = (key: string, value: string | Buffer): BatchOperation => ({
  type: 'put',
  key: Buffer.from(key, 'latin1'),
  value: Buffer.from(value)
})

export const del = (key: string): BatchOperation => ({
  type: 'del',
  key: Buffer.from(key, 'latin1')
})

export const clear = (low: string, high: string): BatchOperation => ({
  type: 'clear',
  range: { gte: Buffer.from(low, 'latin1'), lt: Buffer.from(high, 'latin1') }
})

export function persist(backend: Backend): Promise<number> {
  return backend.persist(async () => undefined)
}

export function textOf(backend: Backend, key: string): string | undefined {
  return backend.getSync(Buffer.from(key, 'latin1'))?.toString()
}
