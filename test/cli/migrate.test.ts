import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  commandFile,
  eventStore,
  kintsugi,
  kintsugiFailure,
  kintsugiJson,
  sailingStore,
  workspace
} from './workspace.js'

/** What a store holds, as one text. */
async function contentsOf(store: string): Promise<string> {
  return (await kintsugi(['export', store])).stdout.toString()
}

/** Starts a migration and ends it by a signal once it has copied something. */
async function interrupted(from: string, to: string): Promise<{ code: number; stderr: string }> {
  const args = ['migrate', from, to, '--backend', 'btree', '--progress', 'json']
  const child = spawn(process.execPath, [commandFile, ...args])
  let stderr = ''
  let asked = false
  child.stderr.on('data', (data) => {
    stderr += data
    if (asked || !/"done":[1-9]/.test(stderr)) return
    asked = child.kill('SIGINT')
  })
  const [code] = await once(child, 'close')
  return { code, stderr }
}

test('migrate copies a store into one of another backend and leaves the source as it is', async () => {
  const directory = workspace()
  const [from, to] = [await sailingStore(directory), join(directory, 'migrated')]
  const before = await contentsOf(from)
  const report = await kintsugiJson('migrate', from, to, '--backend', 'lsm')
  const { count } = await kintsugiJson('count', from)
  expect(report).toMatchObject({
    source: from,
    destination: to,
    entries: count,
    entriesWritten: count,
    resumed: false
  })
  expect(report.digest).toMatch(/^[0-9a-f]{64}$/)
  expect((await kintsugiJson('stats', to)).backend).toBe('lsm')
  expect(await contentsOf(to)).toBe(before)
  expect(await contentsOf(from)).toBe(before)
  const back = join(directory, 'back')
  expect((await kintsugiJson('migrate', to, back, '--backend', 'btree')).digest).toBe(report.digest)
})

test('migrate tells people how much it copied and that both sides are the same', async () => {
  const directory = workspace()
  const from = await sailingStore(directory)
  const { code, stdout } = await kintsugi([
    'migrate',
    from,
    join(directory, 'b'),
    '--backend',
    'lsm'
  ])
  expect(code).toBe(0)
  expect(stdout.toString()).toMatch(/^Copied \d+ entries, [\d.]+ \w+, from .+ to .+\n/)
  expect(stdout.toString()).toMatch(/ok both sides read back the same: SHA-256 [0-9a-f]{64}\n$/)
})

test('migrate says how to go on when it is interrupted, and goes on', async () => {
  const directory = workspace()
  const [from, to] = [await eventStore(directory, 'events', 'a longer note'), join(directory, 'to')]
  const { code, stderr } = await interrupted(from, to)
  expect(code).toBe(130)
  expect(stderr).toMatch(/interrupted after [\d,]+ entries; .*run the same command again/)
  for (const args of [
    ['get', to, 'k'],
    ['validate', to],
    ['repair', to],
    ['init', to]
  ]) {
    const failure = await kintsugiFailure(args)
    expect([failure.code, failure.error.code]).toEqual([6, 'KINTSUGI_UNFINISHED_COPY'])
  }
  const { stdout } = await kintsugi(['migrate', from, to, '--backend', 'btree'])
  expect(stdout.toString()).toMatch(/\d+ entries were there already\n/)
  expect(await contentsOf(to)).toBe(await contentsOf(from))
})

test('migrate refuses a destination that is taken', async () => {
  const directory = workspace()
  const from = await sailingStore(directory)
  const taken = await sailingStore(directory, 'taken')
  mkdirSync(join(directory, 'other'))
  writeFileSync(join(directory, 'other', 'letter.txt'), 'dear reader')
  for (const [name, expected] of [
    [taken, 'KINTSUGI_STORE_EXISTS'],
    [from, 'KINTSUGI_STORE_EXISTS'],
    [join(directory, 'other'), 'KINTSUGI_FOREIGN_DIRECTORY']
  ] as const) {
    const { code, error } = await kintsugiFailure(['migrate', from, name, '--backend', 'lsm'])
    expect([code, error.code]).toEqual([6, expected])
  }
})

test('migrate wants to be told the backend, and a source', async () => {
  const directory = workspace()
  const to = join(directory, 'to')
  const from = await sailingStore(directory)
  expect(await kintsugiFailure(['migrate', from, to])).toMatchObject({
    code: 2,
    error: { code: 'CLI_USAGE' }
  })
  rmSync(from, { recursive: true })
  const { code, error } = await kintsugiFailure(['migrate', from, to, '--backend', 'lsm'])
  expect([code, error.code]).toEqual([6, 'KINTSUGI_STORE_MISSING'])
  expect(existsSync(to)).toBe(false)
})
