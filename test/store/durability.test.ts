import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../dist/base/random.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { SeededScheduler } from '../../dist/vfs/mem-scheduler.js'
import { entriesOf, useStores } from '../helpers/store.js'
import { turn } from '../helpers/test-clock.js'

const stores = useStores()

const namesOf = (entries: [string, string][]) => entries.map(([key]) => key)

describe('durability', () => {
  it('sync survives power loss as soon as it is acknowledged', async () => {
    const { store, vfs } = await stores.memory()
    for (let i = 0; i < 40; i++) {
      await store.put(`k${i}`, Buffer.alloc(300, i))
      if (i % 8 !== 0) continue
      const { store: again } = await stores.memory({ vfs: vfs.crashClone('nothing') })
      expect(again.seq).toBe(i + 1)
      await again.close()
    }
  })

  it('os survives the death of the process, and may be lost with the power', async () => {
    const { store, vfs } = await stores.memory({ durability: 'os' })
    for (let i = 0; i < 10; i++) await store.put(`k${i}`, 'v')
    const { store: killed } = await stores.memory({ vfs: vfs.killClone() })
    expect(killed.seq).toBe(10)
    const { store: cut } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    expect(cut.seq).toBeLessThanOrEqual(10)
    expect(namesOf(entriesOf(cut))).toEqual(Array.from({ length: cut.seq }, (_, i) => `k${i}`))
  })

  it('memory is acknowledged at once and written by time', async () => {
    const { store, vfs, clock } = await stores.memory({
      durability: 'memory',
      flushIntervalMs: 50
    })
    let acknowledged = false
    const operations = vfs.operationCount
    void store.put('k', 'v').then(() => (acknowledged = true))
    await turn()
    expect(acknowledged).toBe(true)
    expect(store.getSync('k')?.toString()).toBe('v')
    expect(vfs.operationCount).toBe(operations)
    await clock.run(60)
    const { store: again } = await stores.memory({ vfs: vfs.killClone() })
    expect(again.getSync('k')?.toString()).toBe('v')
  })

  it('memory is written once there is too much of it', async () => {
    const { store, vfs } = await stores.memory({ durability: 'memory', flushBytes: 1000 })
    for (let i = 0; i < 20; i++) await store.put(`k${i}`, Buffer.alloc(200))
    await turn()
    await turn()
    const { store: again } = await stores.memory({ vfs: vfs.killClone() })
    expect(again.seq).toBeGreaterThanOrEqual(10)
  })

  it.each(['memory', 'os'] as const)('%s is on the disk after flush', async (durability) => {
    const { store, vfs } = await stores.memory({ durability })
    const writes = Array.from({ length: 30 }, (_, i) => store.put(`k${i}`, Buffer.alloc(300, i)))
    await store.flush()
    await Promise.all(writes)
    const { store: again } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    expect(again.seq).toBe(30)
  })

  it.each(['memory', 'os'] as const)('%s is on the disk after close', async (durability) => {
    const { store, vfs } = await stores.memory({ durability })
    for (let i = 0; i < 30; i++) void store.put(`k${i}`, Buffer.alloc(300, i))
    await store.close()
    const { store: again } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    expect(again.seq).toBe(30)
    expect(again.recovery.clean).toBe(true)
  })

  it.each(['memory', 'os'] as const)('%s is on the disk after persist', async (durability) => {
    const { store, vfs } = await stores.memory({ durability })
    for (let i = 0; i < 30; i++) await store.put(`k${i}`, Buffer.alloc(300, i))
    await store.persist()
    const { store: again } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    expect(again.seq).toBe(30)
  })

  it('of one synced write covers everything before it', async () => {
    const { store, vfs } = await stores.memory({ durability: 'memory' })
    for (let i = 0; i < 10; i++) void store.put(`k${i}`, 'v')
    await store.put('last', 'v', { durability: 'sync' })
    const { store: again } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    expect(again.seq).toBe(11)
  })

  it('acknowledges in the order of the calls', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const random = new SeededRandom(seed)
      const vfs = new MemVfs({ scheduler: new SeededScheduler(new SeededRandom(seed)) })
      const { store } = await stores.memory({ vfs })
      const order: number[] = []
      const writes = Array.from({ length: 60 }, (_, i) => {
        const durability = random.pick(['sync', 'os'] as const)
        const value = Buffer.alloc(random.below(1500))
        return store.put(`k${i}`, value, { durability }).then(() => order.push(i))
      })
      await Promise.all(writes)
      expect(order).toEqual(order.toSorted((a, b) => a - b))
      await store.close()
    }
  })

  it('groups commits that are made together into few syncs', async () => {
    const { store, vfs } = await stores.memory({ walSegmentBytes: 1024 * 1024 })
    let syncs = 0
    vfs.onOperation(({ kind }) => void (kind === 'datasync' && syncs++))
    await Promise.all(Array.from({ length: 500 }, (_, i) => store.put(`k${i}`, 'v')))
    expect(syncs).toBeLessThan(10)
    expect(store.stats().commits).toBe(500)
  })

  it('holds writers back when too much is under way, and lets them go on', async () => {
    const { store, vfs } = await stores.memory({ maxPendingBytes: 64 * 1024 })
    const stalls: string[] = []
    store.events.on('stall', ({ reason }) => stalls.push(reason))
    store.events.on('stall-end', () => stalls.push('end'))
    const value = Buffer.alloc(4000, 1)
    await Promise.all(Array.from({ length: 200 }, (_, i) => store.put(`k${i}`, value)))
    expect(stalls).toContain('pending-bytes')
    expect(stalls.at(-1)).toBe('end')
    const { store: again } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    expect(again.seq).toBe(200)
  })
})
