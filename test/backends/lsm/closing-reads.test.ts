import { expect, it } from 'vitest'
import { open } from '../../../dist/index.js'
import { FaultVfs } from '../../../dist/vfs/fault-vfs.js'
import { MemVfs } from '../../../dist/vfs/mem-vfs.js'

// A read that had to load a second block while the store closed looked into a table that was closed
// already, and failed with an internal error.
it('ends reads under way when it closes: with what they asked for, or NOT_OPEN', async () => {
  const memory = new MemVfs()
  const options = { backend: 'lsm', blockBytes: 1024, memtableBytes: 65_536 } as const
  const first = await open('/store', { ...options, vfs: memory })
  for (let flush = 0; flush < 3; flush++) {
    const keys = Array.from({ length: 600 }, (_, i) => `key${flush * 600 + i}`)
    await first.batch(keys.map((key) => ({ type: 'put', key, value: key.repeat(9) })))
    await first.persist()
  }
  await first.close()

  const outcomes = new Set<unknown>()
  for (let turns = 0; turns < 12; turns++) {
    const fault = { kind: 'delay', turns: turns % 4 } as const
    const vfs = new FaultVfs(memory, [{ operation: 'read', path: '*.sst', times: 0, fault }])
    const store = await open('/store', { ...options, vfs })
    const snapshot = store.snapshot()
    const reads = Array.from({ length: 60 }, (_, i) => [
      store.get(`key${i * 29}`),
      snapshot.get(`key${i * 31}`),
      store.getMany([`key${i * 13}`, `key${i * 17}`])
    ]).flat()
    const settled = Promise.allSettled(reads)
    for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve))
    await store.close()
    for (const result of await settled) {
      if (result.status === 'rejected') outcomes.add((result.reason as { code: unknown }).code)
    }
  }
  expect(outcomes).toEqual(new Set(['KINTSUGI_NOT_OPEN', 'KINTSUGI_SNAPSHOT_NOT_OPEN']))
})
