import { expect, it } from 'vitest'
import { useStores } from '../helpers/store.js'

const stores = useStores()

// Found by the soak: a process that did nothing but write ended in the middle, because the commits
// it waited for waited in turn for a timer that did not count.
it('keeps the process alive while commits wait for a persist, and no longer', async () => {
  const { store, clock } = await stores.memory()
  let stalls = 0
  store.events.on('stall', () => {
    stalls++
  })
  let settled = 0
  const value = Buffer.alloc(20_000, 1)
  const writes = Array.from({ length: 60 }, async (_, i) => {
    await store.put(`k${i}`, value)
    if (i % 4 === 0) await store.put(`again${i}`, value)
    settled++
  })
  let keptAlive = 0
  while (settled < writes.length) {
    keptAlive += clock.keepingAlive
    await clock.run(1, 1)
  }
  await Promise.all(writes)
  await clock.run(500)
  expect(clock.keepingAlive).toBe(0)
  expect(stalls).toBeGreaterThan(0)
  expect(keptAlive).toBeGreaterThan(0)
})
