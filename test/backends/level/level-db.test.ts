import { ClassicLevel } from 'classic-level'
import { expect, it, onTestFinished, vi } from 'vitest'
import { LevelDb } from '../../../dist/backends/level/level-db.js'
import { failure, useStores } from '../../helpers/store.js'

const stores = useStores()
const MiB = 1024 * 1024
const options = {
  cacheBytes: MiB,
  blockBytes: 4096,
  compression: 'none',
  memtableBytes: MiB
} as const
const range = { gte: Buffer.from('a'), lt: Buffer.from('b') }

const calls = [
  ['batch', (db: LevelDb) => db.write([{ type: 'del', key: range.gte }], true)],
  ['clear', (db: LevelDb) => db.clear(range)],
  ['compactRange', (db: LevelDb) => db.compactRange(range)],
  ['approximateSize', (db: LevelDb) => db.approximateSize(range)]
] as const

it.each(calls)('an error of LevelDB’s %s is told as one of ours', async (name, call) => {
  const path = stores.directory()
  const db = await LevelDb.open(path, path, options, true)
  const full = Object.assign(new Error('IO error: No space left on device'), {
    code: 'LEVEL_IO_ERROR'
  })
  const method = vi.spyOn(ClassicLevel.prototype, name).mockRejectedValueOnce(full)
  onTestFinished(() => method.mockRestore())
  const error = await failure(() => call(db))
  expect([error.code, error.cause, error.facts.path]).toEqual(['KINTSUGI_DISK_FULL', full, path])
  await call(db)
  await db.close()
  expect((await failure(() => call(db))).code).toBe('KINTSUGI_NOT_OPEN')
})
