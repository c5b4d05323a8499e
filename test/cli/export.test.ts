import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { open } from '../../dist/open.js'
import {
  kintsugi,
  kintsugiFailure,
  kintsugiJson,
  lighthouseStore,
  sailingStore,
  samples,
  workspace
} from './workspace.js'

test('export of raw rows gives back every line of the file, in key order', async () => {
  const directory = workspace()
  const store = await sailingStore(directory)
  const out = join(directory, 'out.dat')
  await kintsugiJson('export', store, out, '--format', 'raw', '--eol', 'crlf')
  const lines = (path: string): string[] => readFileSync(path, 'latin1').split('\r\n').toSorted()
  expect(lines(out)).toEqual(lines(join(samples, 'sailings.dat')))
})

test('export of raw rows keeps records that span lines whole', async () => {
  const directory = workspace()
  const store = await lighthouseStore(directory)
  const out = join(directory, 'out.csv')
  const header = 'id,name,country,latitude,longitude,height,keeper,notes'
  await kintsugiJson('export', store, out, '--format', 'raw', '--header', header)
  // Imported again by row number of the sorted file, the records are the same ones.
  const again = join(directory, 'again')
  const report = await kintsugiJson('import', out, again, '--key', 'id')
  expect(report).toMatchObject({ rows: 360, added: 360, header })
  const [first, second] = await Promise.all(
    [store, again].map((path) => kintsugi(['export', path]))
  )
  expect(second.stdout).toEqual(first.stdout)
})

/** Entries that are hard on every text format. */
async function awkwardStore(path: string): Promise<void> {
  const store = await open(path)
  const values = ['', 'a', '"q", ☂', 'l1\r\nl2', '\0', '\ufeffbom', ' pad ']
  for (const [i, value] of values.entries()) await store.put(`k${i},"${value}"`, value)
  for (let i = 0; i < 256; i++) await store.put(Buffer.from([i]), Buffer.from([255 - i, i]))
  await store.put('', 'of the empty key')
  await store.close()
}

test('export and import bring arbitrary bytes across, in each format', async () => {
  const directory = workspace()
  const store = join(directory, 'store')
  await awkwardStore(store)
  const reference = (await kintsugi(['export', store, '--encoding', 'hex'])).stdout
  for (const args of [
    ['--format', 'jsonl'],
    ['--format', 'jsonl', '--encoding', 'base64'],
    ['--format', 'jsonl', '--encoding', 'hex'],
    ['--format', 'csv', '--encoding', 'base64', '--eol', 'crlf'],
    ['--format', 'csv', '--encoding', 'hex']
  ]) {
    const name = args.join('').replaceAll('-', '')
    const exported = join(directory, `${name}.${args[1]}`)
    const copy = join(directory, name)
    await kintsugiJson('export', store, exported, ...args)
    await kintsugiJson('import', exported, copy)
    expect((await kintsugi(['export', copy, '--encoding', 'hex'])).stdout).toEqual(reference)
  }
})

test('export as text says so when something is not text', async () => {
  const directory = workspace()
  const store = join(directory, 'store')
  await awkwardStore(store)
  const out = join(directory, 'out.csv')
  const { code, error } = await kintsugiFailure(['export', store, out, '--format', 'csv'])
  expect(code).toBe(2)
  expect(error.message).toContain('--encoding base64')
  // Neither half a file under its name nor the beginnings of one beside it.
  expect(readdirSync(directory).filter((name) => name.startsWith('out'))).toEqual([])
})

test('export takes ranges, and the CSV of text needs no encoding', async () => {
  const directory = workspace()
  const store = await sailingStore(directory)
  const out = join(directory, 'a.csv')
  const prefix = ['--prefix', 'A', '--parts']
  const { entries } = await kintsugiJson('export', store, out, '--format', 'csv', ...prefix)
  const { count } = await kintsugiJson('count', store, ...prefix)
  expect(entries).toBe(count)
  const copy = join(directory, 'copy')
  expect((await kintsugiJson('import', out, copy)).added).toBe(count)
  const limited = await kintsugi(['export', store, '-', '--limit', '3', '--reverse'])
  expect(limited.stdout.toString().trim().split('\n')).toHaveLength(3)
})

test('export does not replace a file unless told to', async () => {
  const directory = workspace()
  const store = await sailingStore(directory)
  const out = join(directory, 'out.jsonl')
  writeFileSync(out, 'precious')
  expect((await kintsugiFailure(['export', store, out])).error.message).toContain('--force')
  expect(readFileSync(out, 'utf8')).toBe('precious')
  await kintsugiJson('export', store, out, '--force')
  expect(readFileSync(out, 'utf8')).not.toContain('precious')
})

test('export into a directory that is not there says so', async () => {
  const directory = workspace()
  const store = await sailingStore(directory)
  const { code, error } = await kintsugiFailure(['export', store, join(directory, 'no', 'x')])
  expect([code, error.code]).toEqual([1, 'CLI_FILE'])
  expect(existsSync(join(directory, 'no'))).toBe(false)
})

test('export leaves alone what it cannot look at', async () => {
  const directory = workspace()
  const store = await sailingStore(directory)
  const loop = join(directory, 'loop')
  symlinkSync(loop, loop)
  const { error } = await kintsugiFailure(['export', store, loop])
  expect(error).toMatchObject({ code: 'CLI_FILE', message: expect.stringContaining(loop) })
  expect(lstatSync(loop).isSymbolicLink()).toBe(true)
})
