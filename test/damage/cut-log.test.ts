import { describe, expect, it } from 'vitest'
import * as damage from '../helpers/damage.js'
import { failure, useStores } from '../helpers/store.js'

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
    const used = vfs.medium.paths().reduce((sum, path) => sum + vfs.medium.read(path).length, 0)
    const full = vfs.crashClone('nothing', { capacityBytes: used + 1000 })
    const { store: again } = await stores.memory({ vfs: full })
    expect(again.getSync('k')?.toString()).toBe('v')
    const { store: crashed } = await stores.memory({
      vfs: full.crashClone('nothing', { capacityBytes: used + 100_000 })
    })
    expect(crashed.getSync('k')?.toString()).toBe('v')
  })
})
