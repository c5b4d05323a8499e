import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { open } from '../../dist/open.js'
import {
  commandFile,
  kintsugi,
  kintsugiFailure,
  kintsugiJson,
  sailingStore,
  workspace
} from './workspace.js'

const commands =
  'init import export migrate get put del scan count stats validate validate-wal validate-sstable export-manifest flush compact repair ' +
  'rebuild-manifest benchmark'

test('every command explains itself with examples', async () => {
  const { stdout } = await kintsugi(['--help'])
  for (const name of commands.split(' ')) {
    expect(stdout.toString()).toContain(`\n  ${name} `)
    const help = await kintsugi([name, '--help'])
    expect(help.code).toBe(0)
    expect(help.stdout.toString()).toMatch(/Examples:\n {2}\$ kintsugi /)
    expect(help.stdout.toString()).toContain('--json')
  }
})

test('wrong usage ends with 2 and says what is wrong', async () => {
  for (const [args, text] of [
    [['frobnicate'], /unknown command 'frobnicate'/],
    [['get'], /missing required argument 'store'/],
    [['scan', 'x', '--lmit', '1'], /unknown option '--lmit'\n.*--limit/],
    [['validate', 'x', '--level', 'deep'], /basic, standard, comprehensive/],
    [['count', 'x', 'y'], /too many arguments/],
    [['scan', 'x', '--limit', '-1'], /--limit takes a whole number/],
    [['init', 'x', '--page-bytes', 'abc'], /--page-bytes takes a power of two/]
  ] as const) {
    const { code, stderr } = await kintsugi(args)
    expect(code).toBe(2)
    expect(stderr).toMatch(text)
    const failure = await kintsugiFailure(args)
    expect(failure).toMatchObject({ code: 2, error: { code: 'CLI_USAGE' } })
  }
})

test('a store that another process has open ends with 4 and names the owner', async () => {
  const store = join(workspace(), 'store')
  const owner = await open(store)
  try {
    const { code, error } = await kintsugiFailure(['put', store, 'k', 'v'])
    expect([code, error.code]).toEqual([4, 'KINTSUGI_LOCKED'])
    const { stderr } = await kintsugi(['put', store, 'k', 'v'])
    expect(stderr).toContain(String(process.pid))
    expect(stderr).not.toMatch(/\n\s+at /)
  } finally {
    await owner.close()
  }
  await kintsugiJson('put', store, 'k', 'v')
})

test('a reader that goes away early is no error worth a message', async () => {
  const store = await sailingStore(workspace())
  const child = spawn(process.execPath, [commandFile, 'export', store])
  let stderr = ''
  child.stderr.on('data', (data) => (stderr += data))
  child.stdout.destroy()
  const [code] = await once(child, 'close')
  expect(stderr).toBe('')
  expect(code).toBe(141)
})
