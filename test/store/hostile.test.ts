import { describe, expect, it } from 'vitest'
import type { Operation } from '../../dist/index.js'
import { allOf, failureCode, nextOf, useStores } from '../helpers/store.js'

const stores = useStores()

describe('callers that do what they should not', () => {
  it('cannot take the memory of other reads away by passing on their own', async () => {
    const { store } = await stores.memory()
    for (let i = 0; i < 50; i++) store.putSync(`k${i}`, `v${i}`)
    const iterator = store.entries()
    const [key] = (await nextOf(iterator))!
    for (const { buffer } of [store.getSync('k1')!, key]) {
      // Depending on the version of Node.js this throws or copies.
      try {
        structuredClone(buffer, { transfer: [buffer as ArrayBuffer] })
      } catch (error) {
        expect((error as Error).name).toBe('DataCloneError')
      }
    }
    expect(String(store.getSync('k1'))).toBe('v1')
    expect(await allOf(iterator)).toHaveLength(49)
  })

  it('may use the key of a seek for something else', async () => {
    const { store } = await stores.memory()
    for (let i = 0; i < 50; i++) store.putSync(`k${i}`, `v${i}`)
    const iterator = store.keys()
    const key = Buffer.from('k30')
    iterator.seek(key)
    key.write('k40')
    expect(String(await nextOf(iterator))).toBe('k30')
    iterator.close()
  })

  it('write on after a batch whose operations throw or change while they are read', async () => {
    const { store } = await stores.memory()
    const short = Buffer.from('aa')
    const hostile = (later: () => Buffer): Operation => {
      let reads = 0
      return {
        type: 'put',
        get key() {
          return reads++ < 3 ? short : later()
        },
        value: Buffer.from('v')
      }
    }
    const thrower = () => {
      throw new Error('mine')
    }
    const grower = () => Buffer.alloc(100, 'g')
    expect(() => store.batchSync([hostile(thrower)])).toThrow('mine')
    await expect(store.batch([hostile(thrower)])).rejects.toThrow('mine')
    expect(await failureCode(() => store.batchSync([hostile(grower)]))).toBe(
      'KINTSUGI_INVALID_ARGUMENT'
    )
    await expect(store.batch([hostile(grower)])).rejects.toMatchObject({
      code: 'KINTSUGI_INVALID_ARGUMENT'
    })
    await store.put('b', '1')
    expect((await allOf(store.keys())).map(String)).toEqual(['b'])
  })
})
