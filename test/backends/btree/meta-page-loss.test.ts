import { describe, expect, it } from 'vitest'
import * as damage from '../../helpers/damage.js'
import { storePath, tiny, useStores } from '../../helpers/store.js'

const stores = useStores()

describe('the loss of a meta page', () => {
  it.each([0, 1])(
    '%i costs nothing: the log reaches back to the other one (rule B1)',
    async (page) => {
      const { store, vfs } = await stores.memory()
      for (let round = 0; round < 5; round++) {
        for (let i = 0; i < 20; i++) await store.put(`${round}/${i}`, Buffer.alloc(500, round))
        await store.persist()
      }
      expect(store.stats().segments).toBeLessThan(10)
      const clone = vfs.crashClone('nothing')
      damage.zeroBlock(
        clone,
        `${storePath}/btree-1/tree.pages`,
        page * tiny.pageBytes,
        tiny.pageBytes
      )
      const { store: again } = await stores.memory({ vfs: clone })
      for (let round = 0; round < 5; round++) {
        for (let i = 0; i < 20; i++) {
          expect(again.getSync(`${round}/${i}`)).toEqual(Buffer.alloc(500, round))
        }
      }
    }
  )
})
