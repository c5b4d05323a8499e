import { describe, expect, it } from 'vitest'
import { LevelDb } from '../../../dist/backends/level/level-db.js'
import { failureCode, useStores } from '../../helpers/store.js'

const stores = useStores()
const MiB = 1024 * 1024
const asText = { keyEncoding: 'utf8', valueEncoding: 'utf8' } as const
const options = {
  cacheBytes: MiB,
  blockBytes: 4096,
  compression: 'none',
  memtableBytes: MiB
} as const

async function filled(count: number): Promise<LevelDb> {
  const path = stores.directory()
  const db = await LevelDb.open(path, path, options, true)
  const keys = Array.from({ length: count }, (_, i) => Buffer.from(`k${1000 + i}`))
  await db.write(
    keys.map((key) => ({ type: 'put', key, value: Buffer.alloc(100, 'x') })),
    false
  )
  return db
}

// What is guarded against here ends the process.
describe('an iterator of LevelDB', () => {
  it('is closed when the read under way has ended, and is not read afterwards', async () => {
    const db = await filled(1000)
    for (let i = 0; i < 50; i++) {
      const iterator = db.iterator({}, i % 2 === 1, db.snapshot(), asText)
      const reading = iterator.nextv(1 + i * 20)
      iterator.close()
      iterator.close()
      expect(await failureCode(() => iterator.nextv(1))).toBe('KINTSUGI_NOT_OPEN')
      expect((await reading).length).toBe(Math.min(1000, 1 + i * 20))
    }
    await db.close()
  })

  it('is read once at a time', async () => {
    const db = await filled(10)
    const iterator = db.iterator({}, false, db.snapshot(), asText)
    const reading = iterator.nextv(5)
    expect(await failureCode(() => iterator.nextv(5))).toBe('KINTSUGI_INTERNAL')
    expect(await reading).toHaveLength(5)
    expect((await iterator.nextv(9)).map(([key]) => key)).toEqual(
      [1005, 1006, 1007, 1008, 1009].map((number) => `k${number}`)
    )
    expect(await iterator.nextv(9)).toEqual([])
    await db.close()
  })

  it('is closed with its database, which waits for it', async () => {
    for (let i = 0; i < 20; i++) {
      const db = await filled(1000)
      const iterators = Array.from({ length: 5 }, () =>
        db.iterator({ gte: Buffer.from('k15') }, false, db.snapshot(), asText)
      )
      const readings = iterators.slice(1).map((iterator) => iterator.nextv(400))
      const closing = db.close()
      for (const items of await Promise.all(readings)) expect(items).toHaveLength(400)
      for (const iterator of iterators) {
        expect(await failureCode(() => iterator.nextv(1))).toBe('KINTSUGI_NOT_OPEN')
      }
      await closing
    }
  })
})
