import { expect, it } from 'vitest'
import { open } from '../../../dist/index.js'
import { MemVfs } from '../../../dist/vfs/mem-vfs.js'

// Levels below the last one that an opening may fill were left out: a store whose data stood there
// showed as empty.
it('counts the files of levels beyond the number that this opening is given', async () => {
  const vfs = new MemVfs()
  const options = { backend: 'lsm', vfs } as const
  const first = await open('/store', { ...options, maxLevels: 7 })
  await first.put('key', 'value')
  await first.compact()
  const { files, bytes, entries } = first.stats()
  expect({ files, entries }).toEqual({ files: 1, entries: 1 })
  await first.close()
  const store = await open('/store', { ...options, maxLevels: 2 })
  expect(store.stats()).toMatchObject({ files, bytes, entries })
  await store.close()
})
