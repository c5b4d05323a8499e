import { describe, expect, it } from 'vitest'
import { open } from '../../dist/index.js'
import { chunkBytes } from '../../dist/vfs/mem-content.js'
import { FaultVfs } from '../../dist/vfs/fault-vfs.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import * as damage from '../helpers/damage.js'
import { deterministic, failure, storePath, tiny, useStores } from '../helpers/store.js'
import { testedBackend } from '../helpers/tested-backend.js'

const stores = useStores()

// Found by the damage campaign: a log file that had lost its end looked like one that had not been
// filled yet, and a hundred synced commits were gone without a word.
describe('a log file that has lost its end', () => {
  it.each([512, 2000, 8192, 30_000])('cut at %i is damage, not an empty log', async (sizeBytes) => {
    const options = { walSegmentBytes: 65_536 }
    const { store, vfs } = await stores.memory(options)
    for (let i = 0; i < 100; i++) await store.put(`k${i}`, Buffer.alloc(300, i))
    const clone = vfs.crashClone('everything')
    damage.truncate(clone, '/store/wal/000000000001.wal', sizeBytes)
    const error = await failure(() => stores.memory({ ...options, vfs: clone }))
    expect(error.code).toBe('KINTSUGI_WAL_CORRUPTION')
    expect(error.facts.path).toBe('/store/wal/000000000001.wal')
    // Whoever accepts the loss gets what is left, and is told.
    const { store: rest } = await stores.memory({
      ...options,
      vfs: clone,
      walRecoveryMode: 'point-in-time'
    })
    expect(rest.seq).toBeLessThan(100)
    expect(rest.recovery.warnings.join()).toContain('damage')
    expect(rest.recovery.droppedFirstSeq).toBe(rest.seq + 1)
  })

  it('is fine after a clean close, which gives back what was not used', async () => {
    const { store, vfs } = await stores.memory()
    await store.put('k', 'v')
    await store.close()
    expect(vfs.medium.read('/store/wal/000000000001.wal').length).toBeLessThan(4096)
    for (let round = 0; round < 3; round++) {
      const clone = vfs.crashClone('nothing')
      const { store: again } = await stores.memory({ vfs: clone })
      expect(again.recovery).toMatchObject({ clean: true, warnings: [] })
      await again.put('k', `${round}`)
      const { store: crashed } = await stores.memory({ vfs: clone.crashClone('nothing') })
      expect(crashed.getSync('k')?.toString()).toBe(`${round}`)
    }
  })

  it('opens on a disk that is too full to make the file whole again', async () => {
    const { store, vfs } = await stores.memory()
    await store.put('k', 'v')
    await store.close()
    // The LSM tree writes CURRENT anew, for which there has to be room beside what its files take.
    const unit = testedBackend === 'lsm' ? chunkBytes : 1
    const sizeOf = (path: string) => Math.ceil(vfs.medium.read(path).length / unit) * unit
    const used = vfs.medium.paths().reduce((sum, path) => sum + sizeOf(path), unit - 1)
    const full = vfs.crashClone('nothing', { capacityBytes: used + 1000 })
    const { store: again } = await stores.memory({ vfs: full })
    expect(again.getSync('k')?.toString()).toBe('v')
    const { store: crashed } = await stores.memory({
      vfs: full.crashClone('nothing', { capacityBytes: used + 100_000 })
    })
    expect(crashed.getSync('k')?.toString()).toBe('v')
  })

  it.each(['STORE-A', 'STORE-B'])('is fine even when %s is damaged afterwards', async (slot) => {
    const { store, vfs } = await stores.memory()
    await store.put('k', 'v')
    await store.close()
    damage.zeroBlock(vfs, `/store/${slot}`, 0)
    const { store: again } = await stores.memory({ vfs })
    expect(again.recovery).toMatchObject({ clean: true, replayedCommits: 0 })
    expect(again.recovery.warnings.join()).toContain(slot)
    expect(again.getSync('k')?.toString()).toBe('v')
  })
})

describe('a log file that was begun after a failed sync', () => {
  it('is missed when it is gone, for it alone has what was acknowledged since', async () => {
    const vfs = new MemVfs()
    const fault = { kind: 'error', errno: 'EIO' } as const
    const faulty = new FaultVfs(vfs, [{ operation: 'datasync', path: '*/wal/*', nth: 5, fault }])
    const store = stores.track(
      await open(storePath, { ...tiny, ...deterministic(vfs), vfs: faulty }),
      false
    )
    for (let i = 0; i < 10; i++) await store.put(`k${i}`, 'v')
    expect(store.stats().poisonSwitches).toBe(1)
    const clone = vfs.crashClone('everything')
    const names = clone.readdirSync(`${storePath}/wal`).map((name) => `${storePath}/wal/${name}`)
    const headed = names.filter(
      (path) => clone.medium.read(path).toString('latin1', 0, 4) === 'KINT'
    )
    damage.remove(clone, headed.sort().at(-1)!)
    const error = await failure(() => stores.memory({ vfs: clone }))
    expect(error.code).toBe('KINTSUGI_WAL_CORRUPTION')
  })
})
