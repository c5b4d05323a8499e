import { describe, expect, it } from 'vitest'
import { open, repair } from '../../../../dist/index.js'
import { MemVfs } from '../../../../dist/vfs/mem-vfs.js'
import { tinyOptions } from '../../../helpers/backends.js'
import { deterministic, failureCode, fingerprint } from '../../../helpers/store.js'

describe('a repair of an LSM store', () => {
  it('loses nothing when manifest and CURRENT were both put back to an older state', async () => {
    // The repair believed the old manifest, which is whole, and took the commits after it for lost,
    // although they are in tables that it does not know.
    const vfs = new MemVfs()
    const options = { ...tinyOptions, ...deterministic(vfs), backend: 'lsm' } as const
    const store = await open('/store', options)
    const put = async (from: number, to: number): Promise<void> => {
      for (let i = from; i < to; i++) await store.put(`key${i}`, Buffer.alloc(200, i))
      await store.persist()
    }
    await put(0, 20)
    const older = vfs.crashClone('everything')
    for (let i = 1; i < 6; i++) await put(20 * i, 20 * i + 20)
    await store.close()
    for (const path of vfs.medium.paths()) {
      if (!/lsm-1\/(CURRENT|manifest)/.test(path)) continue
      vfs.unlinkSync(path)
    }
    for (const path of older.medium.paths()) {
      if (!/lsm-1\/(CURRENT|manifest)/.test(path)) continue
      const file = vfs.openSync(path, 'create')
      file.writeSync(older.medium.read(path), 0)
      file.datasyncSync()
      file.closeSync()
    }
    vfs.syncDirectorySync('/store/lsm-1/manifest')
    vfs.syncDirectorySync('/store/lsm-1')
    const tables = () => Object.keys(fingerprint(vfs)).filter((path) => path.endsWith('.sst'))
    const before = tables()
    expect(before.length).toBeGreaterThan(0)
    expect(await failureCode(() => open('/store', options))).toBe('KINTSUGI_WAL_CORRUPTION')
    expect(tables()).toEqual(before)
    await repair('/store', deterministic(vfs))
    const repaired = await open('/store', options)
    for (let i = 0; i < 120; i++) expect(repaired.getSync(`key${i}`)).toEqual(Buffer.alloc(200, i))
    expect(await repaired.verify('comprehensive')).toEqual([])
    await repaired.close()
  })
})
