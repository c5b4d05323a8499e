import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { open } from '../../dist/index.js'
import {
  allEntriesOf,
  allOf,
  deterministic,
  nextOf,
  storePath,
  useStores
} from '../helpers/store.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { testedBackend } from '../helpers/tested-backend.js'
import { runHistory } from '../model/history-runner.js'
import { histories } from '../model/steps.js'

const stores = useStores()

// What users may rely on whichever backend they choose, through the interface of the store.
describe('a store', () => {
  it('remembers which backend it has', async () => {
    const { store, vfs } = await stores.memory()
    await store.put('k', 'v')
    await store.close()
    const again = await open(storePath, deterministic(vfs))
    stores.track(again, false)
    expect(await allEntriesOf(again)).toEqual([['k', 'v']])
    expect(vfs.readdirSync(storePath)).toContain(`${testedBackend}-1`)
  })

  it('holds keys and values of every size, in order, through crash and close', async ({ skip }) => {
    const { store, vfs } = await stores.memory()
    if (!(vfs instanceof MemVfs)) return skip('real files have no power to cut')
    const keys = [0, 1, 255, 256, 1000, 4096, 65_535].map((n) => 'k'.repeat(n))
    for (const key of keys) await store.put(key, Buffer.alloc(key.length * 2, 'v'))
    const { store: crashed } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    await store.close()
    const { store: closed } = await stores.memory({ vfs })
    for (const opened of [crashed, closed]) {
      expect((await allOf(opened.keys())).map(String)).toEqual(keys)
      for (const key of keys) {
        expect(opened.getSync(key)).toEqual(Buffer.alloc(key.length * 2, 'v'))
      }
    }
  })

  it('keeps snapshots and iterators as they were', async () => {
    const { store } = await stores.memory()
    for (let i = 0; i < 200; i++) await store.put(`k${i}`, 'old')
    const snapshot = store.snapshot()
    const iterator = store.values()
    await nextOf(iterator)
    for (let i = 0; i < 200; i++) await store.put(`k${i}`, 'new')
    await store.persist()
    await store.clear({ gte: 'k5' })
    expect((await allOf(iterator)).every((value) => value.toString() === 'old')).toBe(true)
    expect((await allOf(snapshot.values())).every((value) => value.toString() === 'old')).toBe(true)
    snapshot.close()
  })

  it('holds the same as a sorted map through histories with crashes', async () => {
    process.setMaxListeners(0)
    for (let seed = 1000; seed < 1010; seed++) {
      const [steps] = fc.sample(histories(40), { seed, numRuns: 1 })
      await runHistory(steps!, { backend: testedBackend, seed })
    }
  }, 120_000)
})
