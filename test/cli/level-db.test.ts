import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { expect, test } from 'vitest'
import { kintsugi, kintsugiFailure, kintsugiJson, sailingStore, workspace } from './workspace.js'

async function exported(store: string): Promise<string> {
  return (await kintsugi(['export', store])).stdout.toString()
}

test('export --to-leveldb and import --from-leveldb take everything there and back', async () => {
  const directory = workspace()
  const from = await sailingStore(directory)
  const [plain, back] = [join(directory, 'plain'), join(directory, 'back')]
  const report = await kintsugiJson('export', from, '--to-leveldb', plain)
  const { count } = await kintsugiJson('count', from)
  expect(report).toMatchObject({ source: from, destination: plain, entries: count, resumed: false })
  const db = new ClassicLevel(plain)
  expect((await db.keys().all()).length).toBe(count)
  await db.close()
  const files = readdirSync(plain)
  const again = await kintsugiJson('import', '--from-leveldb', plain, back, '--backend', 'lsm')
  expect(again).toMatchObject({ source: plain, destination: back, digest: report.digest })
  expect(readdirSync(plain)).toEqual(files)
  expect(await exported(back)).toBe(await exported(from))
  expect((await kintsugiJson('stats', back)).backend).toBe('lsm')
})

test('import and export say what copying a LevelDB database cannot be combined with', async () => {
  const directory = workspace()
  const [a, b] = [join(directory, 'a'), join(directory, 'b')]
  for (const args of [
    ['import', '--from-leveldb', a],
    ['import', '--from-leveldb', a, b, 'c'],
    ['import', '--from-leveldb', a, b, '--format', 'csv'],
    ['import', '--from-leveldb', a, b, '--key', 'id'],
    ['import', '--from-leveldb', a, b, '--no-create'],
    ['export', a, 'file', '--to-leveldb', b],
    ['export', a, '--to-leveldb', b, '--gte', 'x'],
    ['export', a, '--to-leveldb', b, '--format', 'csv'],
    ['export', a, '--to-leveldb', b, '--force'],
    ['import', a],
    ['import']
  ]) {
    const { code, error } = await kintsugiFailure(args)
    expect([code, error.code], args.join(' ')).toEqual([2, 'CLI_USAGE'])
  }
})

test('a LevelDB database that is not there is not to be created, and is said to be missing', async () => {
  const directory = workspace()
  const old = join(directory, 'old')
  const { code, stderr } = await kintsugi(['import', '--from-leveldb', old, join(directory, 'new')])
  expect(code).toBe(6)
  expect(stderr.toString()).toContain(`there is no LevelDB database in ${old}`)
  expect(stderr.toString()).not.toContain('init')
  expect(readdirSync(directory)).not.toContain('new')
})

test('import of a directory as if it were a file says how one of LevelDB is read', async () => {
  const directory = workspace()
  const { code, error } = await kintsugiFailure([
    'import',
    directory,
    join(directory, 'new'),
    '--key',
    'a'
  ])
  expect([code, error]).toMatchObject([1, { code: 'CLI_FILE', errno: 'EISDIR' }])
  expect(error.message).toContain('--from-leveldb')
})

test('a plain LevelDB database is no store, and every command says how to make one of it', async () => {
  const directory = workspace()
  const plain = join(directory, 'plain')
  const db = new ClassicLevel(plain)
  await db.put('k', 'v')
  await db.close()
  for (const args of [
    ['get', plain, 'k'],
    ['migrate', plain, join(directory, 'b'), '--backend', 'lsm']
  ]) {
    const { code, error } = await kintsugiFailure(args)
    expect([code, error.code]).toEqual([6, 'KINTSUGI_FOREIGN_DIRECTORY'])
    expect(error.message).toContain(`kintsugi import --from-leveldb ${plain} STORE`)
  }
  expect(existsSync(join(directory, 'b'))).toBe(false)
  const from = await sailingStore(directory)
  const taken = await kintsugiFailure(['export', from, '--to-leveldb', plain])
  expect([taken.code, taken.error.code]).toEqual([6, 'KINTSUGI_STORE_EXISTS'])
})
