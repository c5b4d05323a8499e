import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  commandFile,
  kintsugi,
  kintsugiFailure,
  kintsugiJson,
  lighthouseStore,
  sailingStore,
  samples,
  workspace
} from './workspace.js'

function file(directory: string, name: string, content: string | Buffer): string {
  const path = join(directory, name)
  writeFileSync(path, content)
  return path
}

async function contents(store: string): Promise<Record<string, string>> {
  const { stdout } = await kintsugi(['export', store])
  const lines = stdout.toString().split('\n').filter(Boolean)
  return Object.fromEntries(
    lines.map((line) => JSON.parse(line)).map(({ key, value }) => [key, value])
  )
}

describe('import of CSV', () => {
  test('keeps every row byte for byte, with its quotes and line breaks', async () => {
    const store = await lighthouseStore(workspace())
    const { stdout } = await kintsugi(['get', store, '801001'])
    expect(stdout.toString()).toBe(
      '"801001",Île sund,Brazil,25.358726,24.032132,32,"M. ""Red"" O\'Hara",' +
        '"lens by ""Barbier & Fenestre"",\nfirst order"'
    )
  })

  test('of composite keys keeps every row of a file without a unique column', async () => {
    const store = await sailingStore(workspace())
    expect(await kintsugiJson('count', store)).toEqual({ count: 360 })
  })

  test('pads numbers so that keys order as numbers', async () => {
    const directory = workspace()
    const input = file(directory, 'a.csv', 'id,name\n10,ten\n9,nine\n100,hundred\n')
    const store = join(directory, 'store')
    await kintsugiJson('import', input, store, '--key', 'id:4')
    expect(Object.keys(await contents(store))).toEqual(['0009', '0010', '0100'])
    const bad = file(directory, 'b.csv', 'id\n12345\n')
    expect((await kintsugiFailure(['import', bad, store, '--key', 'id:4'])).code).toBe(7)
  })

  test('by row number keeps the order of the file and all its bytes', async () => {
    const directory = workspace()
    const source = join(samples, 'sailings.dat')
    const store = join(directory, 'store')
    await kintsugiJson('import', source, store, '--no-header', '--key', '#', '--keep-eol')
    const { stdout } = await kintsugi(['export', store, '--format', 'raw', '--eol', 'none'])
    expect(stdout).toEqual(readFileSync(source))
  })

  test('stores JSON objects on request, with null where the file says so', async () => {
    const directory = workspace()
    const input = file(directory, 'a.tsv', 'id\tname\n1\t"a ""b"""\n2\t\\N\n3\t"\\N"\n')
    const store = join(directory, 'store')
    await kintsugiJson('import', input, store, '--key', 'id', '--as', 'json', '--null', '\\N')
    expect(await contents(store)).toEqual({
      1: '{"id":"1","name":"a \\"b\\""}',
      2: '{"id":"2","name":null}',
      3: '{"id":"3","name":"\\\\N"}'
    })
  })

  test('takes backslash escapes, other signs, and columns by name', async () => {
    const directory = workspace()
    const input = file(directory, 'a.dat', "1;'it\\'s; here';x\n")
    const store = join(directory, 'store')
    const signs = ['--delimiter', ';', '--quote', "'", '--escape', '\\', '--value-column', 'note']
    await kintsugiJson('import', input, store, '--columns', 'id,note,rest', '--key', 'id', ...signs)
    expect(await contents(store)).toEqual({ 1: "it's; here" })
  })

  test('reads standard input when told what it is', async () => {
    const store = join(workspace(), 'store')
    const input = 'id,v\na,1\nb,2\n'
    expect((await kintsugi(['import', '-', store, '--key', 'id'], input)).code).toBe(2)
    const args = ['import', '-', store, '--key', 'id', '--format', 'csv', '--json']
    const { code, stdout } = await kintsugi(args, input)
    expect([code, JSON.parse(stdout.toString()).added]).toEqual([0, 2])
  })

  test('tells a malformed row by its line, and a row that lacks the key', async () => {
    const directory = workspace()
    const store = join(directory, 'store')
    const open = file(directory, 'open.csv', 'id,v\na,"1\nb,2\n')
    const failure = await kintsugiFailure(['import', open, store, '--key', 'id'])
    expect(failure).toMatchObject({ code: 7, error: { code: 'CLI_BAD_INPUT', line: 2 } })
    const short = file(directory, 'short.csv', 'v,id\na,1\nb\n')
    const lacking = await kintsugiFailure(['import', short, store, '--key', 'id'])
    expect(lacking).toMatchObject({ code: 7, error: { record: 3, line: 3 } })
  })

  test('names the columns there are when --key names another or is missing', async () => {
    const directory = workspace()
    const input = file(directory, 'a.csv', 'id,v\na,1\n')
    for (const args of [['--key', 'ident'], [], ['--key', 'id', '--value-column', 'w']]) {
      const store = join(directory, 'store')
      const { code, error } = await kintsugiFailure(['import', input, store, ...args])
      expect(code).toBe(2)
      expect(error.message).toContain('id, v')
    }
  })

  test('of a file or into a store that is not there says so', async () => {
    const directory = workspace()
    const store = join(directory, 'store')
    const missing = await kintsugiFailure([
      'import',
      join(directory, 'no.csv'),
      store,
      '--key',
      'a'
    ])
    expect(missing).toMatchObject({ code: 1, error: { code: 'CLI_FILE', errno: 'ENOENT' } })
    expect(existsSync(store)).toBe(false)
    const input = file(directory, 'a.csv', 'id\n1\n')
    const args = ['import', input, store, '--key', 'id', '--no-create']
    expect((await kintsugiFailure(args)).code).toBe(6)
  })
})

describe('import of JSON Lines', () => {
  test('keeps lines as they are, under a key of their fields', async () => {
    const directory = workspace()
    const store = join(directory, 'store')
    const source = join(samples, 'tides.jsonl')
    const report = await kintsugiJson('import', source, store, '--key', 'station,at')
    expect(report).toMatchObject({ rows: 120, added: 120, overwritten: 0 })
    const { stdout } = await kintsugi(['export', store, '--format', 'raw'])
    const sorted = (text: string): string[] => text.split('\n').toSorted()
    expect(sorted(stdout.toString())).toEqual(sorted(readFileSync(source, 'utf8')))
  })

  test('refuses what would lose a key: rounded numbers, halves of surrogates, bad UTF-8', async () => {
    const directory = workspace()
    const store = join(directory, 'store')
    for (const line of [
      '{"id":12345678901234567890}',
      '{"id":"\\ud800"}',
      Buffer.from('7b226964223a22ff227d', 'hex'),
      '{"id":null}',
      '{"other":1}',
      '[1]',
      '{"id":1'
    ]) {
      const input = file(directory, 'a.jsonl', line)
      expect((await kintsugiFailure(['import', input, store, '--key', 'id'])).code).toBe(7)
    }
    expect(await kintsugiJson('count', store)).toEqual({ count: 0 })
  })
})

describe('import', () => {
  test('run again changes nothing and says that all is there', async () => {
    const directory = workspace()
    const store = await lighthouseStore(directory)
    const source = join(samples, 'lighthouses.csv')
    const again = await kintsugiJson('import', source, store, '--key', 'id')
    expect(again).toMatchObject({ rows: 360, added: 0, unchanged: 360, replaced: 0 })
  })

  test('reports rows that overwrite each other, and with --unique refuses them', async () => {
    const directory = workspace()
    const source = join(samples, 'sailings.dat')
    const args = ['import', source, join(directory, 'a'), '--no-header', '--key', '1,2']
    const report = await kintsugiJson(...args)
    expect(report).toMatchObject({ rows: 360, added: 24, overwritten: 336 })
    const { stdout } = await kintsugi(args)
    expect(stdout.toString()).toContain('overwrote an earlier row with the same key')
    args[2] = join(directory, 'b')
    const { code, error } = await kintsugiFailure([...args, '--unique'])
    expect([code, error.code]).toEqual([7, 'CLI_BAD_INPUT'])
    expect(error.message).toMatch(/earlier row has the key/)
  })

  test('interrupted closes the store, says how far it came, and can go on', async () => {
    const directory = workspace()
    const store = join(directory, 'store')
    const args = ['import', '-', store, '--format', 'csv', '--no-header', '--key', '1']
    args.push('--json', '--progress', 'json', '--batch-rows', '10')
    const child = spawn(process.execPath, [commandFile, ...args])
    child.stdin.on('error', () => {})
    child.stdin.write(Array.from({ length: 100 }, (_, i) => `${i},x\n`).join(''))
    let stderr = ''
    child.stderr.on('data', (data) => (stderr += data))
    while (!stderr.includes('"done":100')) await once(child.stderr, 'data')
    // Half a row has arrived and no more is coming; neither may be taken for the end of the file.
    child.stdin.write('half')
    child.kill('SIGINT')
    const [code] = await once(child, 'close')
    expect(code).toBe(130)
    expect(JSON.parse(stderr.trim().split('\n').at(-1) ?? '').error.code).toBe('CLI_INTERRUPTED')
    expect(await kintsugiJson('count', store)).toEqual({ count: 100 })
    const { recovery } = await kintsugiJson('stats', store)
    expect(recovery.clean).toBe(true)
  })
})
