import { describe, expect, it } from 'vitest'
import {
  checkTableFile,
  checkTableFiles,
  describeVersion
} from '../../../../dist/backends/lsm/check/table-inspection.js'
import { Manifest } from '../../../../dist/backends/lsm/manifest/manifest.js'
import { tableName, type TableMeta } from '../../../../dist/backends/lsm/table-meta.js'
import { MemVfs } from '../../../../dist/vfs/mem-vfs.js'
import { contextOf, directory, newDirectory } from '../manifest/fixture.js'
import { checksum, storeId, writeTable, type Version } from '../table/table-harness.js'

const silent = { report: () => undefined, signal: undefined }
const shape = { blockBytes: 1024, compression: 'none' } as const
const pathOf = (number: number) => `${directory}/${tableName(number)}`

function versions(from: number, to: number, seq: number): Version[] {
  return Array.from({ length: to - from }, (_, i) => ({
    key: Buffer.from(`k${String(from + i).padStart(4, '0')}`),
    seq,
    value: Buffer.alloc(50, i)
  }))
}

/** A manifest with tables 1 and 2 in level 1. */
async function directoryOfTwo(): Promise<{ vfs: MemVfs; tables: TableMeta[] }> {
  const vfs = new MemVfs()
  newDirectory(vfs)
  const manifest = await Manifest.create(contextOf(vfs))
  const tables = [
    await writeTable(vfs, versions(0, 100, 5), { ...shape, number: 1 }, pathOf(1)),
    await writeTable(vfs, versions(100, 200, 6), { ...shape, number: 2 }, pathOf(2))
  ]
  await manifest.append({ added: tables, durableSeq: 6, nextTable: 3 })
  await manifest.close(true)
  return { vfs, tables }
}

const readOnly = (vfs: MemVfs) => contextOf(vfs, { readOnly: true, epoch: 2 })
const contentsOf = (vfs: MemVfs) =>
  new Map(vfs.medium.paths().map((path) => [path, Buffer.from(vfs.medium.read(path))]))

function damage(vfs: MemVfs, path: string, offset: number): void {
  const file = vfs.openSync(path, 'readwrite')
  const byte = Buffer.alloc(1)
  file.readSync(byte, offset)
  byte[0] ^= 0x10
  file.writeSync(byte, offset)
  file.closeSync()
}

describe('the report of a version', () => {
  it('is what the manifest says, and changes nothing', async () => {
    const { vfs, tables } = await directoryOfTwo()
    const before = contentsOf(vfs)
    const report = await describeVersion(readOnly(vfs))
    expect(report).toMatchObject({ source: 'manifest', durableSeq: 6, nextTable: 3, findings: [] })
    expect(report.levels.flat().map(({ number }) => number)).toEqual([1, 2])
    expect(report.levels[1]).toEqual(tables)
    expect(contentsOf(vfs)).toEqual(before)
  })

  it('names a table that is missing', async () => {
    const { vfs } = await directoryOfTwo()
    vfs.unlinkSync(pathOf(2))
    const { source, findings } = await describeVersion(readOnly(vfs))
    expect(source).toBe('manifest')
    expect(findings).toMatchObject([{ severity: 'error', kind: 'missing-table', path: pathOf(2) }])
  })

  it.each(['CURRENT', 'manifest'])('comes from footers where %s is lost', async (name) => {
    const { vfs, tables } = await directoryOfTwo()
    for (const path of vfs.medium.paths()) {
      if (path.startsWith(`${directory}/${name}`)) vfs.unlinkSync(path)
    }
    damage(vfs, pathOf(2), tables[1].sizeBytes - 1)
    const before = contentsOf(vfs)
    const report = await describeVersion(readOnly(vfs))
    expect(report).toMatchObject({ source: 'footers', durableSeq: undefined, leftovers: [] })
    expect(report.levels).toEqual([[], [tables[0]]])
    expect(report.findings.map(({ severity, path }) => [severity, path])).toEqual([
      ['error', expect.stringContaining(directory)],
      ['error', pathOf(2)]
    ])
    expect(contentsOf(vfs)).toEqual(before)
  })
})

describe('a check of table files', () => {
  it.each(['basic', 'standard', 'comprehensive'] as const)(
    'finds nothing in whole ones at level %s',
    async (level) => {
      const { vfs, tables } = await directoryOfTwo()
      const { tables: reports, findings } = await checkTableFiles(readOnly(vfs), level, silent)
      expect(findings).toEqual([])
      expect(reports).toEqual(
        tables.map((meta) => ({ path: pathOf(meta.number), meta, findings: [] }))
      )
    }
  )

  it('names the keys of a damaged block, with and without a manifest', async () => {
    const { vfs } = await directoryOfTwo()
    damage(vfs, pathOf(1), 2000)
    for (const hasManifest of [true, false]) {
      if (!hasManifest) vfs.unlinkSync(`${directory}/CURRENT`)
      const { tables, findings } = await checkTableFiles(readOnly(vfs), 'standard', silent)
      expect(findings).toHaveLength(hasManifest ? 0 : 1)
      expect(tables[0].findings).toMatchObject([{ severity: 'error', path: pathOf(1) }])
      expect(tables[0].findings[0].lowKey?.toString()).toMatch(/^k00/)
      expect(tables[1].findings).toEqual([])
    }
    const { tables } = await checkTableFiles(readOnly(vfs), 'basic', silent)
    expect(tables.flatMap((one) => one.findings)).toEqual([])
  })

  it('tells a stale table from the one that the manifest means', async () => {
    const { vfs } = await directoryOfTwo()
    vfs.unlinkSync(pathOf(2))
    await writeTable(vfs, versions(100, 200, 4), { ...shape, number: 2 }, pathOf(2))
    const { tables } = await checkTableFiles(readOnly(vfs), 'basic', silent)
    expect(tables[1].findings).toMatchObject([{ severity: 'error', path: pathOf(2) }])
    expect(tables[1].findings[0].message).toContain('stale')
  })
})

describe('a check of one file', () => {
  const fileOf = (vfs: MemVfs, path: string, id: Uint8Array | undefined) => ({
    vfs,
    path,
    checksum,
    storeId: id
  })

  it('knows the table of another store, and its own without one', async () => {
    const { vfs, tables } = await directoryOfTwo()
    const own = await checkTableFile(fileOf(vfs, pathOf(1), undefined), 'comprehensive', silent)
    expect(own).toEqual({ path: pathOf(1), meta: tables[0], findings: [] })
    const foreign = fileOf(vfs, pathOf(1), Buffer.alloc(16, 9))
    const { meta, findings } = await checkTableFile(foreign, 'basic', silent)
    expect(meta).toBeUndefined()
    expect(findings[0].message).toContain('another store')
  })

  it('tells a table under another name, and what is no table', async () => {
    const { vfs } = await directoryOfTwo()
    await vfs.rename(pathOf(2), pathOf(9))
    const moved = await checkTableFile(fileOf(vfs, pathOf(9), storeId), 'basic', silent)
    expect(moved.findings).toMatchObject([{ kind: 'misplaced-table' }])
    for (const sizeBytes of [0, 10, 5000]) {
      const path = `${directory}/letter-${sizeBytes}`
      const file = vfs.openSync(path, 'create')
      file.writeSync(Buffer.alloc(sizeBytes, 0x41), 0)
      file.closeSync()
      for (const id of [storeId, undefined]) {
        const { meta, findings } = await checkTableFile(fileOf(vfs, path, id), 'basic', silent)
        expect(meta).toBeUndefined()
        expect(findings).toMatchObject([{ severity: 'error', path }])
      }
    }
  })
})
