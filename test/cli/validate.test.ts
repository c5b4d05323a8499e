import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { damageLargestFile, directoryDigest, overwrite } from './damage.js'
import {
  eventStore,
  kintsugi,
  kintsugiJson,
  largeStore,
  lighthouseStore,
  workspace
} from './workspace.js'

test('validate finds nothing in a good store, at any level, and changes nothing', async () => {
  const store = await lighthouseStore(workspace())
  const before = directoryDigest(store)
  for (const level of ['basic', 'standard', 'comprehensive']) {
    const report = await kintsugiJson('validate', store, '--level', level)
    expect(report).toMatchObject({ ok: true, errors: 0, warnings: 0, findings: [] })
  }
  expect(directoryDigest(store)).toEqual(before)
})

test('validate ends with 3 where bytes are damaged, names the file and the way on', async () => {
  const store = await largeStore(workspace(), 'damaged')
  const damaged = damageLargestFile(store, 'btree-1')
  const { code, stdout, stderr } = await kintsugi(['validate', store, '--json'])
  expect(code).toBe(3)
  expect(stdout.toString() + stderr).toContain(damaged)
  const readable = await kintsugi(['validate', store])
  expect(readable.stdout.toString() + readable.stderr).toContain(`kintsugi repair ${store}`)
  expect(readable.stderr).not.toMatch(/\n\s+at /)
})

/** Harms every file of that ending in the middle; returns their names. */
function damageEach(directory: string, ending: string): string[] {
  const names = readdirSync(directory).filter((name) => name.endsWith(ending))
  for (const name of names) {
    const file = join(directory, name)
    overwrite(file, statSync(file).size >> 1, 16)
  }
  return names
}

interface Found {
  readonly errors: number
  readonly findings: readonly { readonly path: string; readonly message: string }[]
}

/** The report on a damaged store, after which it is as it was. */
async function validateDamaged(store: string): Promise<Found> {
  const before = directoryDigest(store)
  const { code, stdout } = await kintsugi(['validate', store, '--json'])
  expect(code).toBe(3)
  expect(directoryDigest(store)).toEqual(before)
  const readable = await kintsugi(['validate', store])
  expect(readable.stdout.toString()).toContain(`next: kintsugi repair ${store} --dry-run`)
  return JSON.parse(stdout.toString())
}

test('validate names all that is damaged in an LSM store that does not open', async () => {
  const store = await eventStore(workspace(), 'damaged')
  const data = join(store, 'lsm-1')
  const tables = damageEach(data, '.sst')
  expect(tables.length).toBeGreaterThan(1)
  rmSync(join(data, 'CURRENT'))
  const { errors, findings } = await validateDamaged(store)
  const paths = new Set(findings.map(({ path }) => path))
  expect(paths).toEqual(new Set(['CURRENT', ...tables].map((name) => join(data, name))))
  expect(errors).toBe(paths.size)
})

test('validate names all that is damaged in a level store, each once', async () => {
  const directory = workspace()
  const large = await largeStore(directory, 'large')
  const store = join(directory, 'damaged')
  await kintsugiJson('migrate', large, store, '--backend', 'level')
  await kintsugiJson('compact', store)
  const data = join(store, 'level-1', 'db')
  const [table] = damageEach(data, '.ldb')
  overwrite(join(data, table), 200, 16)
  const { errors, findings } = await validateDamaged(store)
  expect(errors).toBe(2)
  expect(new Set(findings.map(({ path }) => path))).toEqual(new Set([join(data, table)]))
  expect(findings.some(({ message }) => message.includes('more like this'))).toBe(false)
})

test('validate of a tree that does not open says why, as a finding', async () => {
  const store = await largeStore(workspace(), 'damaged')
  overwrite(join(store, 'btree-1', 'tree.pages'), 0, 32_768)
  const { errors, findings } = await validateDamaged(store)
  expect(errors).toBe(1)
  expect(findings[0]).toMatchObject({ kind: 'unopenable' })
  expect(findings[0].message).toContain('meta page')
})
