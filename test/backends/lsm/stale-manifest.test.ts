import { describe, expect, it } from 'vitest'
import { open } from '../../../dist/index.js'
import { MemVfs } from '../../../dist/vfs/mem-vfs.js'
import { tinyOptions } from '../../helpers/backends.js'
import { deterministic, failureCode, storePath } from '../../helpers/store.js'

const directory = `${storePath}/lsm-1`
const count = 400
const valueOf = (i: number) => Buffer.alloc(200, i)

const openAt = (vfs: MemVfs) =>
  open(storePath, { ...tinyOptions, maxBackgroundJobs: 0, backend: 'lsm', ...deterministic(vfs) })

const isManifest = (path: string) => path.includes('/manifest/') || path.endsWith('/CURRENT')

/** The manifest with its CURRENT as another state had it, all else as it is. */
function withManifestOf(vfs: MemVfs, older: MemVfs): MemVfs {
  const clone = vfs.crashClone('everything')
  for (const path of clone.medium.paths().filter(isManifest)) clone.medium.remove(path)
  for (const path of older.medium.paths().filter(isManifest)) {
    const file = clone.openSync(path, 'create')
    file.writeSync(older.medium.read(path), 0)
    file.datasyncSync()
    file.closeSync()
  }
  clone.syncDirectorySync(directory)
  clone.syncDirectorySync(`${directory}/manifest`)
  return clone
}

const tablesOf = (vfs: MemVfs) =>
  new Set(
    vfs.medium
      .paths()
      .filter((path) => path.endsWith('.sst'))
      .map((path) => vfs.medium.read(path).toString('base64'))
  )

// Found while damaging stores: the opening removed every table that an older manifest did not know,
// as outputs of jobs that were never installed, and only then found that the log did not reach back.
describe('a manifest put back to an older one', () => {
  it('takes no table with it where the log no longer reaches back', async () => {
    const vfs = new MemVfs()
    const store = await openAt(vfs)
    let older: MemVfs | undefined
    for (let i = 0; i < count; i++) {
      await store.put(`k${i}`, valueOf(i))
      if (i % 50 === 49) await store.persist()
      if (i === 200) older = vfs.crashClone('everything')
    }
    await store.persist()
    await store.close()
    const stale = withManifestOf(vfs, older!)
    const before = tablesOf(stale)
    expect(await failureCode(() => openAt(stale))).toBe('KINTSUGI_WAL_CORRUPTION')
    expect(tablesOf(stale)).toEqual(before)
    // With the manifest that belongs to it everything is there again.
    const again = await openAt(withManifestOf(stale, vfs))
    for (let i = 0; i < count; i++) expect(again.getSync(`k${i}`)).toEqual(valueOf(i))
    expect(await again.verify('comprehensive')).toEqual([])
    await again.close()
  })

  it('takes nothing with it that a compaction has put in place of what it knows', async () => {
    const vfs = new MemVfs()
    const store = await openAt(vfs)
    for (let i = 0; i < count; i++) {
      await store.put(`k${i}`, valueOf(i), { durability: 'memory' })
      if (i % 100 === 99) await store.persist()
    }
    await store.persist()
    const older = vfs.crashClone('everything')
    await store.compact()
    await store.close()
    const stale = withManifestOf(vfs, older)
    const before = tablesOf(stale)
    const damaged = await openAt(stale).catch(() => undefined)
    expect(damaged === undefined || (await damaged.verify('basic')).length > 0).toBe(true)
    await damaged?.close()
    // Where they lie now is another matter; all of them are there.
    for (const bytes of before) expect(tablesOf(stale).has(bytes)).toBe(true)
  })
})
