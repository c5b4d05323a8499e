import { expect, it } from 'vitest'
import { apply, clear, create, databasePath, directory, emptyDisk, put } from './level-harness.js'

// Rule B4: what LevelDB was given, then every file of its directory, then the directory, then the
// number outside; rule W8: all of it after the log.
it('a persist syncs the log, LevelDB’s files, its directory and the state, in this order', async () => {
  const disk = emptyDisk()
  const backend = await create(disk.vfs)
  for (let seq = 1; seq <= 40; seq++) apply(backend, seq, put(`k${seq}`, 'v'.repeat(900)))
  apply(backend, 41, clear('k1', 'k2'))
  const steps: string[] = []
  disk.onBeforeOperation(({ kind, path }) => steps.push(`${kind} ${path.split('/').at(-1)}`))
  await backend.persist(async (seq) => {
    steps.push(`log ${seq}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
    steps.push('log synced')
  })
  expect(steps.slice(0, 2)).toEqual(['log 41', 'log synced'])
  const synced = (name: RegExp) =>
    steps.findIndex((step) => step.startsWith('datasync') && name.test(step))
  const lastOfLevel = steps.findLastIndex((step) =>
    /^datasync .*(log|ldb|MANIFEST|CURRENT)/.test(step)
  )
  const names = disk.vfs.readdirSync(databasePath)
  const expected = names.filter((name) => /^(CURRENT|MANIFEST-\d+|\d+\.(log|ldb))$/.test(name))
  expect(expected.length).toBeGreaterThan(2)
  for (const name of expected) expect(synced(new RegExp(name)), name).toBeGreaterThan(1)
  const directorySynced = steps.indexOf(`syncDirectory db`)
  expect(directorySynced).toBeGreaterThan(lastOfLevel)
  expect(steps.slice(directorySynced + 1)).toEqual(['write STATE', 'datasync STATE'])
  // Closing a descriptor of it would end LevelDB's lock.
  expect(steps.filter((step) => step.endsWith('LOCK'))).toEqual([])
  expect(disk.vfs.readdirSync(directory)).toEqual(['STATE', 'db'])
})

it('nothing is written before the log is synced, and nothing where it cannot be', async () => {
  const disk = emptyDisk()
  const backend = await create(disk.vfs)
  apply(backend, 1, put('a', 'x'.repeat(5000)))
  const before = disk.vfs.readdirSync(databasePath).map((name) => sizeOf(name))
  const failed = new Error('no log')
  let seen: unknown
  await expect(
    backend.persist(async () => {
      await new Promise((resolve) => setTimeout(resolve, 20))
      seen = disk.vfs.readdirSync(databasePath).map((name) => sizeOf(name))
      throw failed
    })
  ).rejects.toBe(failed)
  expect(seen).toEqual(before)
  expect(await backend.persist(async () => undefined)).toBe(1)
  expect(disk.vfs.readdirSync(databasePath).map((name) => sizeOf(name))).not.toEqual(before)

  function sizeOf(name: string): string {
    return `${name} ${disk.vfs.statSync(`${databasePath}/${name}`)?.sizeBytes}`
  }
})
