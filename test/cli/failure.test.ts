import { cpSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { open } from '../../dist/open.js'
import { damageLargestFile } from './damage.js'
import { kintsugi, kintsugiFailure, kintsugiJson, largeStore, workspace } from './workspace.js'

const optionsOfPrograms = /createIfMissing|errorIfExists|readOnly|read-only|pageBytes|blockBytes/

test('a mistake is told in words of the command line, not of the programming interface', async () => {
  const directory = workspace()
  const store = join(directory, 'store')
  await kintsugiJson('init', store, '--backend', 'btree')
  const absent = join(directory, 'absent')
  for (const [args, code, text] of [
    [['init', store], 6, /there is a store in .* already/],
    [['get', absent, 'k'], 6, /there is no store in/],
    [['repair', absent], 6, /there is no store in/],
    [['init', absent, '--page-bytes', '5000'], 2, /--page-bytes takes a power of two from 4096/],
    [['init', absent, '--page-bytes', '131072'], 2, /power of two from 4096 to 65536/],
    [['init', absent, '--block-bytes', 'x', '--backend', 'lsm'], 2, /--block-bytes takes a power/],
    [['compact', store, '--level', '1'], 1, /option '--level'/]
  ] as const) {
    const failure = await kintsugiFailure(args)
    expect(failure.code, args.join(' ')).toBe(code)
    expect(failure.error.message).toMatch(text)
    expect(failure.error.message).not.toMatch(optionsOfPrograms)
    const { stderr } = await kintsugi(args)
    expect(stderr).toMatch(text)
    expect(stderr).not.toMatch(optionsOfPrograms)
  }
})

test('init refuses an option of another backend than the one it makes', async () => {
  const store = join(workspace(), 'store')
  for (const [backend, option] of [
    ['btree', '--block-bytes'],
    ['lsm', '--page-bytes'],
    ['level', '--page-bytes']
  ]) {
    const failure = await kintsugiFailure(['init', store, '--backend', backend, option, '8192'])
    expect(failure).toMatchObject({ code: 2, error: { code: 'CLI_USAGE' } })
    expect(failure.error.message).toContain(`the new store has ${backend}`)
  }
})

test('what to do next fits the command: init is for those that would have written', async () => {
  const directory = workspace()
  const absent = join(directory, 'absent')
  const file = join(directory, 'rows.csv')
  writeFileSync(file, 'id\n1\n')
  const hint = `kintsugi init ${absent} creates a store there`
  for (const args of [
    ['put', absent, 'k', 'v'],
    ['import', file, absent, '--key', 'id', '--no-create']
  ]) {
    expect((await kintsugi(args)).stderr, args[0]).toContain(hint)
  }
  for (const args of [
    ['get', absent, 'k'],
    ['scan', absent],
    ['export', absent],
    ['stats', absent],
    ['validate', absent],
    ['repair', absent],
    ['migrate', absent, join(directory, 'new'), '--backend', 'lsm']
  ]) {
    const { code, stderr } = await kintsugi(args)
    expect(code, args[0]).toBe(6)
    expect(stderr, args[0]).not.toContain('kintsugi init')
  }
})

test('a repair is proposed for what is damaged in the store, and for nothing else', async () => {
  const directory = workspace()
  const store = await largeStore(directory, 'damaged')
  damageLargestFile(store, 'btree-1')
  const copy = await kintsugi([
    'migrate',
    store,
    join(directory, 'damaged-new'),
    '--backend',
    'lsm'
  ])
  expect(copy.code).toBe(3)
  expect(copy.stderr).toContain(`next: kintsugi repair ${store} --dry-run`)
  for (const slot of ['STORE-A', 'STORE-B']) writeFileSync(join(store, slot), 'x'.repeat(4096))
  const headless = await kintsugi(['get', store, 'k'])
  expect(headless.code).toBe(3)
  expect(headless.stderr).toContain('backup')
  expect(headless.stderr).not.toContain('next:')
})

test('damage in a LevelDB database is nothing that a repair of a store would mend', async () => {
  const directory = workspace()
  const store = await largeStore(directory, 'large')
  const source = join(directory, 'damaged-level')
  await kintsugiJson('export', store, '--to-leveldb', source)
  damageLargestFile(source, '.')
  const { code, stderr } = await kintsugi([
    'import',
    '--from-leveldb',
    source,
    join(directory, 'n')
  ])
  expect(code).toBe(3)
  expect(stderr).toContain('nothing was changed')
  expect(stderr).not.toContain('next:')
})

test('a lock is told once, with its owner and what to do', async () => {
  const store = join(workspace(), 'store')
  const owner = await open(store)
  try {
    const { stderr } = await kintsugi(['get', store, 'k'])
    expect(stderr.split(String(process.pid))).toHaveLength(2)
    expect(stderr).toContain('close the store there')
  } finally {
    await owner.close()
  }
})

test('a file of a store with another backend is no damaged table', async () => {
  const directory = workspace()
  const store = await largeStore(directory, 'large')
  const [tree] = readdirSync(join(store, 'btree-1'))
  const file = join(store, 'btree-1', tree)
  const { code, error } = await kintsugiFailure(['validate-sstable', file])
  expect([code, error.code]).toEqual([6, 'KINTSUGI_BACKEND_MISMATCH'])
  expect(error.message).toContain(`kintsugi validate ${store}`)
  // By itself nothing tells what it was.
  mkdirSync(join(directory, 'elsewhere'))
  cpSync(file, join(directory, 'elsewhere', tree))
  expect((await kintsugi(['validate-sstable', join(directory, 'elsewhere', tree)])).code).toBe(3)
})
