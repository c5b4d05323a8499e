import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { describe, expect, it } from 'vitest'
import { FaultVfs } from '../../dist/vfs/fault-vfs.js'
import { MemVfs } from '../../dist/vfs/mem-vfs.js'
import { failureCode, storePath, useStores } from '../helpers/store.js'
import { backendFiles, testedBackend } from '../helpers/tested-backend.js'
import { turn } from '../helpers/test-clock.js'

const stores = useStores()

describe('events', () => {
  it('tell of persists and of closing, once each', async () => {
    const { store } = await stores.memory()
    const seen: string[] = []
    store.events.on('persist', ({ seq, durationMs }) => seen.push(`persist ${seq} ${durationMs}`))
    store.events.on('closing', () => seen.push('closing'))
    store.events.on('closed', () => seen.push('closed'))
    await store.put('k', 'v')
    await store.persist()
    expect(seen).toEqual(['persist 1 0'])
    await store.close()
    await store.close()
    expect(seen.filter((name) => name.startsWith('clos'))).toEqual(['closing', 'closed'])
  })

  it('go out on diagnostics channels, with the path, the one of recovery included', async () => {
    const seen: unknown[] = []
    const listener = (message: unknown) => void seen.push(message)
    // What earlier openings tell comes in a turn of its own.
    await turn()
    subscribe('kintsugi:recovery', listener)
    subscribe('kintsugi:closed', listener)
    try {
      const { store } = await stores.memory()
      // Listeners have a turn to come after the opening.
      await turn()
      await store.close()
    } finally {
      unsubscribe('kintsugi:recovery', listener)
      unsubscribe('kintsugi:closed', listener)
    }
    expect(seen).toMatchObject([{ path: storePath, created: true, seq: 0 }, { path: storePath }])
  })

  it('tell when a persist failed, while writes go on and nothing is lost', async () => {
    const vfs = new MemVfs()
    const { store: first } = await stores.memory({ vfs })
    await first.close()
    const faulty = new FaultVfs(vfs, [
      {
        operation: 'write',
        // What a persist writes first: pages, or a table.
        path: testedBackend === 'btree' ? `*${backendFiles}*` : '*.sst*',
        nth: testedBackend === 'btree' ? 2 : 1,
        times: 0,
        fault: { kind: 'error', errno: 'EIO' }
      }
    ])
    const { store } = await stores.memory({ vfs: faulty as never, expectDamage: true })
    const failures: string[] = []
    store.events.on('persist-failed', ({ error }) =>
      failures.push((error as { code?: string }).code!)
    )
    await store.put('a', '1')
    expect(await failureCode(() => store.persist())).toBe('KINTSUGI_IO')
    expect(failures).toEqual(['KINTSUGI_IO'])
    await store.put('b', '2')
    expect(store.getSync('b')?.toString()).toBe('2')
    await store.close().catch(() => undefined) // the persist of the end fails as well
    const { store: again } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    expect([...again.keys()].map(String)).toEqual(['a', 'b'])
  })

  it('do no harm to the store when a listener throws', async () => {
    const { store, vfs, clock } = await stores.memory({ maxPendingBytes: 64 * 1024 })
    const thrown: unknown[] = []
    const onUncaught = (error: unknown) => void thrown.push(error)
    const others = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.on('uncaughtException', onUncaught)
    try {
      for (const name of ['persist', 'stall', 'stall-end', 'closing', 'closed'] as const) {
        store.events.on(name, () => {
          throw new Error(`listener of ${name}`)
        })
      }
      const value = Buffer.alloc(4000, 1)
      await Promise.all(Array.from({ length: 100 }, (_, i) => store.put(`k${i}`, value)))
      await store.persist()
      await store.put('last', '1')
      await clock.run(200)
      await store.close()
      await turn()
      await turn()
    } finally {
      process.off('uncaughtException', onUncaught)
      for (const listener of others) process.on('uncaughtException', listener)
    }
    const { store: again } = await stores.memory({ vfs: vfs.crashClone('nothing') })
    expect(again.seq).toBe(101)
    expect(again.recovery.clean).toBe(true)
  })

  it('allow closing from within a listener', async () => {
    const { store } = await stores.memory()
    let closed = 0
    store.events.on('closing', () => void store.close())
    store.events.on('closed', () => closed++)
    await store.close()
    expect(closed).toBe(1)
  })
})
