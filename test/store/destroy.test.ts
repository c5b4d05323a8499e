import { describe, expect, it } from 'vitest'
import { destroy, open } from '../../dist/open.js'
import { exploreCrashes } from '../helpers/crash-explorer.js'
import { deterministic, failureCode, storePath, tiny, useStores } from '../helpers/store.js'

const stores = useStores()

describe('destroying a store', () => {
  it('is whole or not begun for whoever opens it, wherever the power is cut', async () => {
    const report = await exploreCrashes<'destroyed'>({
      seed: 5,
      history: async ({ vfs, attempt, acknowledge }) => {
        const store = await open(storePath, { ...deterministic(vfs), ...tiny })
        await store.put('k', 'v')
        await store.close()
        attempt('destroyed')
        await destroy(storePath, { vfs })
        acknowledge('destroyed')
      },
      check: async (clone, { acknowledged, attempted, recovered }) => {
        if (attempted.length === 0) return
        if (acknowledged.length > 0 && clone.statSync(storePath) === undefined) return
        const store = await open(storePath, { ...deterministic(clone, 3), ...tiny })
        recovered()
        const entries = [...store.entries()].map(([key, value]) => `${key} ${value}`)
        expect(store.recovery.created ? [] : ['k v']).toEqual(entries)
        expect(await store.verify('comprehensive')).toEqual([])
        await store.close()
        await destroy(storePath, { vfs: clone })
        expect(clone.statSync(storePath)).toBeUndefined()
      }
    })
    expect(report.moments).toBeGreaterThan(30)
  })

  it('goes on where it was interrupted', async () => {
    const { store, vfs } = await stores.memory()
    await store.put('k', 'v')
    await store.close()
    const slots = vfs.readdirSync(storePath).filter((name) => name.startsWith('STORE'))
    expect(slots.length).toBeGreaterThan(0)
    for (const name of slots) vfs.unlinkSync(`${storePath}/${name}`)
    await destroy(storePath, { vfs })
    expect(vfs.statSync(storePath)).toBeUndefined()
    await destroy(storePath, { vfs })
  })

  it('is refused while the store is open, for reading too', async () => {
    const { store, vfs } = await stores.memory()
    expect(await failureCode(() => destroy(storePath, { vfs }))).toBe('KINTSUGI_LOCKED')
    await store.put('k', 'v')
    await store.close()
    const { store: reader } = await stores.memory({ vfs, readOnly: true })
    expect(await failureCode(() => destroy(storePath, { vfs }))).toBe('KINTSUGI_LOCKED')
    expect(reader.getSync('k')?.toString()).toBe('v')
  })

  it('needs options that it knows', async () => {
    const code = await failureCode(() => destroy(storePath, { force: true } as object))
    expect(code).toBe('KINTSUGI_INVALID_OPTION')
    expect(await failureCode(() => destroy(''))).toBe('KINTSUGI_INVALID_ARGUMENT')
  })
})
