import { describe, expect, it } from 'vitest'
import { Manifest } from '../../../../dist/backends/lsm/manifest/manifest.js'
import { settleTableFiles } from '../../../../dist/backends/lsm/manifest/table-files.js'
import {
  type TableMeta,
  tableName,
  temporaryName
} from '../../../../dist/backends/lsm/table-meta.js'
import { FaultVfs } from '../../../../dist/vfs/fault-vfs.js'
import { MemVfs } from '../../../../dist/vfs/mem-vfs.js'
import type { Vfs } from '../../../../dist/vfs/vfs.js'
import { codeOf, contextOf, created, directory, opened, tableOf } from './fixture.js'
import { footerReader, tableFile } from './manifest-user.js'

const sized = (table: TableMeta): TableMeta => ({ ...table, sizeBytes: 900 + table.number })
const job = (firstOutput: number, inputs: number[]) => ({ firstOutput, isLast: true, inputs })

async function put(vfs: MemVfs, name: string, content: Buffer): Promise<void> {
  const file = await vfs.open(`${directory}/${name}`, 'create')
  await file.writeAndDatasync(content, 0)
  await file.close()
  await vfs.syncDirectory(directory)
}

const putTable = (vfs: MemVfs, table: TableMeta) =>
  put(vfs, tableName(table.number), tableFile(table))

/** Tables 1 and 2 live, 3 obsolete, 4 retired, durable through 50; all files there. */
async function store(): Promise<MemVfs> {
  const { vfs, manifest } = await created()
  const tables = [1, 2, 3, 4].map((number) => sized(tableOf(number)))
  for (const table of tables) await putTable(vfs, table)
  await manifest.append({ added: tables, durableSeq: 50 })
  await manifest.append({ removed: [3, 4] })
  await manifest.append({ retired: [4] })
  await manifest.close(true)
  return vfs
}

async function settle(vfs: Vfs, more: { readOnly?: boolean; epoch?: number } = {}) {
  const context = contextOf(vfs, { epoch: 5, ...more })
  const manifest = await Manifest.open(context)
  return { manifest, files: await settleTableFiles(context, manifest, footerReader(vfs)) }
}

const present = (vfs: MemVfs) =>
  vfs.readdirSync(directory).filter((name) => name !== 'CURRENT' && name !== 'manifest')
const quarantined = (vfs: MemVfs) =>
  vfs.statSync('/quarantine/now') ? vfs.readdirSync('/quarantine/now') : []

describe('files at an opening', () => {
  it('that are live or obsolete stay, retired ones go and are forgotten', async () => {
    const vfs = await store()
    const { manifest, files } = await settle(vfs)
    expect(present(vfs.crashClone('nothing'))).toEqual([1, 2, 3].map(tableName))
    expect(files).toMatchObject({ damaged: [], quarantined: [], findings: [], nextTable: 5 })
    expect(files.removed).toEqual([tableName(4)])
    expect(manifest.version.leftovers.map(({ number }) => number)).toEqual([3])
  })

  it('are missing: the table is damaged, with its span, and the rest opens', async () => {
    const vfs = await store()
    vfs.unlinkSync(`${directory}/${tableName(2)}`)
    const { files } = await settle(vfs)
    expect(files.damaged.map(({ table }) => table.number)).toEqual([2])
    expect(files.findings).toMatchObject([
      {
        kind: 'missing-table',
        severity: 'error',
        path: `${directory}/${tableName(2)}`,
        lowKey: Buffer.from('a'),
        highKey: Buffer.from('z')
      }
    ])
  })

  it.each([0, 901, 903])('of another size, %i bytes, are damaged tables', async (sizeBytes) => {
    const vfs = await store()
    vfs.medium.resize(`${directory}/${tableName(2)}`, sizeBytes)
    const { files } = await settle(vfs)
    expect(files.damaged.map(({ table }) => table.number)).toEqual([2])
    expect(files.findings[0].kind).toBe('wrong-table-size')
    expect(present(vfs)).toContain(tableName(2))
  })

  it('that a job was writing are removed, unless they are of a later epoch', async () => {
    const vfs = await store()
    for (const epoch of [1, 4, 5, 6]) await put(vfs, temporaryName(20, epoch), Buffer.from('part'))
    const { files } = await settle(vfs)
    expect(files.removed).toEqual([tableName(4), ...[1, 4, 5].map((e) => temporaryName(20, e))])
    expect(files.quarantined).toEqual([temporaryName(20, 6)])
    expect(files.nextTable).toBe(21)
  })

  it('of a compaction that was not installed are removed when its inputs are known', async () => {
    const vfs = await store()
    await putTable(vfs, sized(tableOf(10, 1, 'a', 'z', { job: job(10, [1, 2]) })))
    await putTable(vfs, sized(tableOf(11, 1, 'a', 'z', { job: job(11, [2, 3]) })))
    await putTable(vfs, sized(tableOf(12, 1, 'a', 'z', { job: job(12, [2, 9]) })))
    const { files } = await settle(vfs)
    expect(files.removed).toEqual([4, 10, 11].map(tableName))
    expect(files.quarantined).toEqual([tableName(12)])
    expect(quarantined(vfs.crashClone('nothing'))).toEqual([tableName(12)])
    expect(files.findings).toMatchObject([{ kind: 'unexplained-file', severity: 'warning' }])
    expect(files.nextTable).toBe(13)
  })

  it('of a flush that was not installed are removed when the log has all of it', async () => {
    const vfs = await store()
    const flushed = (number: number, minSeq: number) =>
      sized(tableOf(number, 0, 'a', 'z', { minSeq, maxSeq: 90, job: job(number, []) }))
    await putTable(vfs, flushed(10, 51))
    await putTable(vfs, flushed(11, 50))
    const { files } = await settle(vfs)
    expect(files.removed).toContain(tableName(10))
    expect(files.quarantined).toEqual([tableName(11)])
  })

  it('that nothing explains go to quarantine, and nothing there is replaced', async () => {
    const vfs = await store()
    const strange = ['notes.txt', '000000000030.sst.bak', '0000000000030.sst', '000000000031.sst']
    for (const name of strange) await put(vfs, name, Buffer.from('not a table'))
    const other = sized(tableOf(33))
    await put(vfs, tableName(32), tableFile(other))
    vfs.mkdirSync(`${directory}/${tableName(34)}`)
    vfs.syncDirectorySync(directory)
    vfs.mkdirSync('/quarantine')
    vfs.mkdirSync('/quarantine/now')
    const file = vfs.openSync('/quarantine/now/notes.txt', 'create')
    file.closeSync()
    const { files } = await settle(vfs)
    expect([...files.quarantined].sort()).toEqual([...strange, tableName(32), tableName(34)].sort())
    expect(quarantined(vfs)).toEqual([...files.quarantined, 'notes.txt.1'].sort())
    expect(present(vfs)).toEqual([1, 2, 3].map(tableName))
  })

  it('are not touched by a read-only opening, which says what it found', async () => {
    const vfs = await store()
    await put(vfs, 'notes.txt', Buffer.from('hm'))
    await put(vfs, temporaryName(20, 1), Buffer.from('part'))
    vfs.medium.remove(`${directory}/${tableName(1)}`)
    const before = vfs.operationCount
    const { files } = await settle(vfs, { readOnly: true })
    expect(vfs.operationCount).toBe(before)
    expect(files.findings.map(({ kind }) => kind).sort()).toEqual([
      'leftover-file',
      'leftover-file',
      'missing-table',
      'unexplained-file'
    ])
    expect(files).toMatchObject({ removed: [], quarantined: [] })
  })

  it('that cannot be looked at for the moment fail the opening and are left alone', async () => {
    const vfs = await store()
    await putTable(vfs, sized(tableOf(10, 1, 'a', 'z', { job: job(10, [1, 2]) })))
    const faults = new FaultVfs(vfs, [
      { operation: 'open', path: '*10.sst', fault: { kind: 'error', errno: 'EMFILE' } }
    ])
    expect(await codeOf(() => settle(faults))).toBe('KINTSUGI_TOO_MANY_FILES')
    expect(present(vfs)).toContain(tableName(10))
  })

  it('end the same whenever the settling is cut off', async () => {
    for (let nth = 1, isCut = true; isCut; nth++) {
      const vfs = await store()
      await put(vfs, 'notes.txt', Buffer.from('hm'))
      await putTable(vfs, sized(tableOf(10, 1, 'a', 'z', { job: job(10, [1, 2]) })))
      const rule = { operation: 'mutation', nth, times: 0 } as const
      const faults = new FaultVfs(vfs, [{ ...rule, fault: { kind: 'error', errno: 'EIO' } }])
      await codeOf(() => settle(faults))
      isCut = faults.faults.fired.length > 0
      for (const fate of ['nothing', 'everything'] as const) {
        const state = vfs.crashClone(fate)
        const { files } = await settle(state, { epoch: 9 })
        expect(files.damaged).toEqual([])
        expect(present(state)).toEqual([1, 2, 3].map(tableName))
        expect(quarantined(state)).toEqual(['notes.txt'])
        expect((await opened(state)).version.tableCount).toBe(2)
      }
    }
  })
})
