import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../../../dist/base/random.js'
import { open } from '../../../../dist/index.js'
import { MemVfs } from '../../../../dist/vfs/mem-vfs.js'
import { tinyOptions } from '../../../helpers/backends.js'
import { TestClock } from '../../../helpers/test-clock.js'
import { filesOf, keyOf, openAt, path, repairAt } from './repair-harness.js'

/** What a store shows, by key. */
async function contentsOf(vfs: MemVfs): Promise<Map<string, string>> {
  const store = await openAt(vfs)
  const found = new Map<string, string>()
  for (const [key, value] of store.entries()) found.set(key.toString(), value.toString('latin1'))
  await store.close()
  return found
}

/**
 * A store of which a copy is taken at random operations of the file system, as if the process had
 * been killed there; each copy loses its manifest and gets another one from its tables.
 */
async function killedStores(seed: number, handle: (clone: MemVfs) => Promise<void>) {
  const vfs = new MemVfs()
  const clock = new TestClock()
  const random = new SeededRandom(seed)
  const kills: MemVfs[] = []
  const options = { ...tinyOptions, compactionThreshold: 2 + (seed % 3), backend: 'lsm' } as const
  const store = await open(path, { ...options, vfs, clock, random: new SeededRandom(seed) })
  // Kept open for a while, so that replaced tables stay.
  let reading: Iterator<unknown> | undefined
  const watch = vfs.onOperation(() => {
    if (random.chance(1, 150)) kills.push(vfs.crashClone('everything'))
  })
  for (let i = 0; i < 700; i++) {
    const key = keyOf(random.below(400))
    const kind = random.below(20)
    if (kind === 0) {
      const low = random.below(390)
      await store.clear({ gte: keyOf(low), lt: keyOf(low + 15) })
    } else if (kind < 6) await store.del(key)
    else await store.put(key, random.fill(Buffer.alloc(20 + random.below(200))))
    if (i % 25 === 24) await store.persist()
    if (i % 90 === 30) {
      reading = store.entries()[Symbol.iterator]()
      reading.next()
    }
    if (i % 90 === 89) reading?.return?.()
    for (const clone of kills.splice(0)) await handle(clone)
  }
  watch()
  await store.close()
}

describe('a store that was killed and has lost its manifest', () => {
  it('shows the same after a rebuild, and nothing is in doubt', async () => {
    let states = 0
    for (let seed = 1; seed <= 6; seed++) {
      await killedStores(seed, async (clone) => {
        states++
        const expected = await contentsOf(clone.crashClone('everything'))
        for (const file of filesOf(clone, /CURRENT/)) clone.medium.remove(file)
        const tables = filesOf(clone, /\.sst$/).length
        const report = await repairAt(clone, { rebuildManifest: states % 2 === 0 })
        const context = `seed ${seed}, state ${states}, ${tables} tables`
        expect(report.lost, context).toEqual([])
        expect(report.possiblyStale, context).toEqual([])
        expect(report.lostCommits, context).toEqual([])
        expect(await contentsOf(clone), context).toEqual(expected)
      })
    }
    console.log(`${states} states`)
    expect(states).toBeGreaterThan(50)
  })
})
