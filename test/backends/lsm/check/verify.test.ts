import { beforeAll, describe, expect, it } from 'vitest'
import type { MemVfs } from '../../../../dist/vfs/mem-vfs.js'
import * as damage from '../../../helpers/damage.js'
import { dataPath, filesOf, makeSpecimen, openAt, path, type Specimen } from './repair-harness.js'

let specimen: Specimen
let tables: string[]

beforeAll(async () => {
  specimen = await makeSpecimen({ seed: 21, commits: 900, closed: true })
  tables = filesOf(specimen.vfs, /\.sst$/)
})

async function findingsOf(vfs: MemVfs, readOnly: boolean, inflict?: (vfs: MemVfs) => void) {
  const store = await openAt(vfs, readOnly)
  inflict?.(vfs)
  const findings = await store.verify('basic')
  const all = await store.verify('comprehensive')
  await store.close().catch(() => undefined)
  return { basic: findings.map(({ kind }) => kind), all: all.map(({ kind }) => kind), findings }
}

const copy = () => specimen.vfs.crashClone('everything')

describe.each([true, false])('a check of an LSM store opened read-only: %s', (readOnly) => {
  it('finds nothing where nothing is wrong', async () => {
    expect(await findingsOf(copy(), readOnly)).toMatchObject({ basic: [], all: [] })
  })

  it('names a missing table once, with its keys', async () => {
    const vfs = copy()
    damage.remove(vfs, tables[2]!)
    const { basic, all, findings } = await findingsOf(vfs, readOnly)
    expect([basic, all]).toEqual([['missing-table'], ['missing-table']])
    expect(findings[0]).toMatchObject({ severity: 'error', path: tables[2] })
    expect(findings[0]!.lowKey).toBeDefined()
    expect(findings[0]!.highKey).toBeDefined()
  })

  it('names a table of another size, of another store, and one in another’s place', async () => {
    const foreign = await makeSpecimen({ seed: 22, commits: 300, closed: true })
    const [other] = filesOf(foreign.vfs, /\.sst$/)
    for (const bytes of [
      specimen.vfs.medium.read(tables[1]!).subarray(0, 700),
      specimen.vfs.medium.read(tables[0]!),
      foreign.vfs.medium.read(other!)
    ]) {
      const vfs = copy()
      vfs.medium.resize(tables[1]!, 0)
      vfs.medium.overwrite(tables[1]!, bytes, 0)
      const { basic } = await findingsOf(vfs, readOnly)
      expect(basic).toEqual(['damaged-table'])
    }
  })

  it('names files that nothing explains', async () => {
    const vfs = copy()
    for (const name of ['notes.txt', '000000000999.sst']) {
      vfs.openSync(`${dataPath}/${name}`, 'create').closeSync()
    }
    const { basic } = await findingsOf(vfs, readOnly)
    expect(basic).toEqual(['unexplained-file', 'unexplained-file'])
    expect(vfs.medium.paths().some((file) => file.includes(`${path}/quarantine/`))).toBe(!readOnly)
  })

  it('names what happened to the manifest since the opening', async () => {
    for (const file of filesOf(specimen.vfs, /CURRENT|manifest\/0*1\.wal/)) {
      const { basic } = await findingsOf(copy(), readOnly, (vfs) => damage.zeroBlock(vfs, file, 0))
      expect(basic).toEqual(['damaged-manifest'])
    }
  })
})

describe('a store whose manifest cannot be read', () => {
  it('does not open, and the error names what helps', async () => {
    for (const pattern of [/CURRENT/, /manifest\//]) {
      const vfs = copy()
      for (const file of filesOf(vfs, pattern)) damage.remove(vfs, file)
      await expect(openAt(vfs)).rejects.toMatchObject({
        code: 'KINTSUGI_CORRUPTION',
        message: expect.stringContaining('kintsugi rebuild-manifest')
      })
    }
  })
})
