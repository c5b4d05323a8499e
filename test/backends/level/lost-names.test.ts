import fs from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  findManifestFlaws,
  settleCopiedManifest
} from '../../../dist/backends/level/settle-manifest.js'
import { StateFile } from '../../../dist/backends/level/state-file.js'
import type { DiskVfs } from '../../helpers/disk-vfs.js'
import {
  apply,
  create,
  contextOn,
  databasePath,
  directory,
  emptyDisk,
  forThisTest,
  persist,
  progress,
  put,
  reopen,
  statePath,
  textOf
} from './level-harness.js'

// LevelDB leaves it to the file system in which order names become durable, as long as it has not
// synced a directory. A file system without that order may keep a later one and lose an earlier one.

const manifestPattern = /^MANIFEST-/
const logPattern = /\.log$/
const tablePattern = /\.ldb$/

const namesIn = (disk: DiskVfs, pattern: RegExp): string[] =>
  fs.readdirSync(join(disk.root, databasePath)).filter((name) => pattern.test(name))

function take(from: DiskVfs, to: DiskVfs, name: string): void {
  fs.copyFileSync(join(from.root, databasePath, name), join(to.root, databasePath, name))
}

function remove(disk: DiskVfs, names: readonly string[]): void {
  for (const name of names) fs.rmSync(join(disk.root, databasePath, name))
}

async function filled(): Promise<DiskVfs> {
  const disk = emptyDisk()
  const backend = await create(disk.vfs)
  for (let seq = 1; seq <= 4; seq++) {
    apply(backend, seq, put('a', `${seq}`), put(`b${seq}`, 'x'.repeat(20_000)))
    await persist(backend)
  }
  const crashed = forThisTest(disk.copy())
  await backend.close()
  return crashed
}

async function expectEverything(disk: DiskVfs, warning: RegExp): Promise<void> {
  // As a reader does, in a copy of its own.
  const copy = forThisTest(disk.copy())
  const { storeId, checksum } = await contextOn(copy.vfs)
  const state = await StateFile.open(copy.vfs, directory, storeId, checksum, true)
  const flaws = await findManifestFlaws(copy.vfs, databasePath, state.state.files)
  await state.close()
  await settleCopiedManifest(copy.vfs, databasePath, flaws!)
  const reader = await reopen(copy.vfs)
  expect(reader.openingWarnings).toEqual([])
  expect(textOf(reader, 'a')).toBe('4')
  await reader.close()
  const backend = await reopen(disk.vfs)
  expect(backend.openingWarnings).toHaveLength(1)
  expect(backend.openingWarnings?.[0]).toMatch(warning)
  expect(textOf(backend, 'a')).toBe('4')
  for (let seq = 1; seq <= 4; seq++) expect(textOf(backend, `b${seq}`)).toHaveLength(20_000)
  expect(await backend.verify('comprehensive', progress)).toEqual([])
  await backend.close()
  const again = await reopen(disk.vfs)
  expect(again.openingWarnings).toEqual([])
  await again.close()
}

describe('a power cut that LevelDB was not made for', () => {
  it('keeps a record of the manifest and loses the name of its table: the record is left out', async () => {
    const before = await filled()
    const after = forThisTest(before.copy())
    // LevelDB makes a table of its log and says so; this is synced, but not for us.
    const busy = await reopen(after.vfs)
    const opened = forThisTest(after.copy())
    await busy.compact({}, progress)
    const compacted = forThisTest(after.copy())
    await busy.close()
    const [manifest] = namesIn(opened, manifestPattern)
    expect(namesIn(compacted, manifestPattern)).toEqual([manifest])
    const kept = new Set(namesIn(opened, tablePattern))
    const lost = namesIn(compacted, tablePattern).filter((name) => !kept.has(name))
    expect(lost.length).toBeGreaterThan(0)
    take(compacted, opened, manifest)
    await expectEverything(opened, /puts table \d+ in use, which is not there.*kept in/)
  })

  it('keeps removals of an opening and loses its new CURRENT: the new manifest counts', async () => {
    const before = await filled()
    const opened = forThisTest(before.copy())
    const backend = await reopen(opened.vfs)
    const [old] = namesIn(before, manifestPattern)
    const cut = forThisTest(opened.copy())
    await backend.close()
    expect(namesIn(cut, manifestPattern)).not.toContain(old)
    take(before, cut, 'CURRENT')
    // STATE as it was, since the opening had not come to it.
    fs.copyFileSync(join(before.root, statePath), join(cut.root, statePath))
    await expectEverything(cut, /CURRENT named a manifest of which files were gone/)
  })

  it('keeps the removal of the log alone: the new manifest counts', async () => {
    const before = await filled()
    const opened = forThisTest(before.copy())
    const backend = await reopen(opened.vfs)
    const cut = forThisTest(opened.copy())
    await backend.close()
    take(before, cut, 'CURRENT')
    for (const name of namesIn(before, manifestPattern)) take(before, cut, name)
    const logs = namesIn(before, logPattern)
    expect(namesIn(cut, logPattern)).not.toContain(logs[0])
    fs.copyFileSync(join(before.root, statePath), join(cut.root, statePath))
    await expectEverything(cut, /CURRENT named a manifest of which files were gone/)
  })

  it('is told from a table that was lost in another way', async () => {
    const disk = await filled()
    const backend = await reopen(disk.vfs)
    await backend.compact({}, progress)
    await backend.close()
    // Everything is in tables now, and what they were made from is gone.
    remove(disk, namesIn(disk, tablePattern).slice(-1))
    await expect(reopen(disk.vfs)).rejects.toMatchObject({ code: 'KINTSUGI_CORRUPTION' })
  })
})
