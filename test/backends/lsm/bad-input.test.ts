import { beforeAll, describe, expect, it } from 'vitest'
import { Checksum } from '../../../dist/codec/checksum.js'
import { open } from '../../../dist/index.js'
import type { MemVfs } from '../../../dist/vfs/mem-vfs.js'
import { MemVfs as MemoryFiles } from '../../../dist/vfs/mem-vfs.js'
import { CurrentField, currentVersion } from '../../../dist/backends/lsm/manifest/format.js'
import { Footer, footerBytes, formatVersion } from '../../../dist/backends/lsm/table/format.js'
import { tinyOptions } from '../../helpers/backends.js'
import { restoreStaleFile } from '../../helpers/damage.js'
import { deterministic, failure, fingerprint, storePath } from '../../helpers/store.js'

const backend = 'lsm'
const directory = `${storePath}/lsm-1`
let checksum: Checksum

beforeAll(async () => {
  checksum = await Checksum.create()
})

const openAt = (vfs: MemVfs, seed = 1) =>
  open(storePath, { ...tinyOptions, backend, ...deterministic(vfs, seed) })

const keyOf = (i: number) => `key${String(i).padStart(4, '0')}`

/** A closed store whose data lies in several tables; another seed gives it another identity. */
async function closedStore(seed = 1): Promise<MemVfs> {
  const vfs = new MemoryFiles()
  const store = await openAt(vfs, seed)
  for (let i = 0; i < 300; i++) {
    await store.put(keyOf(i), Buffer.alloc(150, i), { durability: 'memory' })
  }
  await store.persist()
  await store.close()
  return vfs
}

const tablesOf = (vfs: MemVfs) => vfs.medium.paths().filter((path) => path.endsWith('.sst'))

/** How many keys answer, and the codes of what the others fail with; nothing may be missing. */
function readAll(store: Awaited<ReturnType<typeof openAt>>) {
  const codes = new Set<string>()
  let read = 0
  for (let i = 0; i < 300; i++) {
    try {
      expect(store.getSync(keyOf(i)), keyOf(i)).toEqual(Buffer.alloc(150, i))
      read++
    } catch (error) {
      const { code } = error as { code?: string }
      if (code === undefined) throw error
      codes.add(code)
    }
  }
  return { read, codes: [...codes] }
}

describe('a store written by a newer version', () => {
  it('is refused by what CURRENT says, and nothing is changed', async () => {
    const vfs = await closedStore()
    const path = `${directory}/CURRENT`
    for (const [field, value] of [
      [CurrentField.version, currentVersion + 1],
      [CurrentField.features, 4]
    ] as const) {
      const clone = vfs.crashClone('everything')
      const bytes = clone.medium.read(path)
      bytes.writeUInt32LE(value, field)
      checksum.hash(bytes.subarray(0, CurrentField.checksum), 0x43555252, 0)
      bytes.writeUInt32LE(checksum.low, CurrentField.checksum)
      bytes.writeUInt32LE(checksum.high, CurrentField.checksum + 4)
      clone.medium.overwrite(path, bytes, 0)
      const before = fingerprint(clone)
      const error = await failure(() => openAt(clone))
      expect(error.code).toBe('KINTSUGI_UNSUPPORTED_VERSION')
      expect(error.facts.path ?? error.message).toContain('CURRENT')
      const after = fingerprint(clone)
      for (const files of [before, after]) delete files[`${storePath}/LOCK`]
      expect(after).toEqual(before)
    }
  })

  it('serves what is in tables of this version, and says of the others why not', async () => {
    const vfs = await closedStore()
    const tables = tablesOf(vfs)
    expect(tables.length).toBeGreaterThan(1)
    const [path] = tables
    const at = vfs.medium.read(path!).length - footerBytes
    const footer = vfs.medium.read(path!).subarray(at)
    footer.writeUInt32LE(formatVersion + 1, Footer.version)
    checksum.hash(footer.subarray(Footer.storeId, Footer.number), 0, 0)
    checksum.hash(footer.subarray(Footer.storeId), checksum.low, checksum.high)
    footer.writeUInt32LE(checksum.low, Footer.sum)
    footer.writeUInt32LE(checksum.high, Footer.sum + 4)
    vfs.medium.overwrite(path!, footer, at)
    const store = await openAt(vfs)
    const { read, codes } = readAll(store)
    expect(read).toBeLessThan(300)
    expect(codes).toEqual(['KINTSUGI_UNSUPPORTED_VERSION'])
    const findings = await store.verify('basic')
    expect(findings.map((finding) => finding.path)).toContain(path)
    await store.close()
  })
})

describe('a table of another store', () => {
  it('in place of one’s own is told by its store, and the rest is served', async () => {
    const vfs = await closedStore(1)
    const other = await closedStore(2)
    const path = tablesOf(vfs).find((name) => other.statSync(name) !== undefined)!
    restoreStaleFile(vfs, other, path)
    const store = await openAt(vfs)
    const { read, codes } = readAll(store)
    expect(read).toBeLessThan(300)
    expect(codes).toEqual(['KINTSUGI_CORRUPTION'])
    const findings = await store.verify('basic')
    expect(findings.some((finding) => finding.path === path)).toBe(true)
    expect(findings.map(({ message }) => message).join()).toContain('another store')
    await store.close()
  })

  it('beside one’s own is set aside, kept and reported, and changes nothing', async () => {
    const vfs = await closedStore(1)
    const other = await closedStore(2)
    const [foreign] = tablesOf(other)
    const stray = `${directory}/000000009999.sst`
    const bytes = other.medium.read(foreign!)
    const file = vfs.openSync(stray, 'create')
    file.writeSync(bytes, 0)
    file.datasyncSync()
    file.closeSync()
    vfs.syncDirectorySync(directory)
    const store = await openAt(vfs)
    expect(readAll(store)).toEqual({ read: 300, codes: [] })
    expect(vfs.statSync(stray)).toBeUndefined()
    const kept = vfs.medium.paths().find((path) => path.includes('/quarantine'))
    expect(kept && vfs.medium.read(kept).equals(bytes)).toBe(true)
    const findings = await store.verify('comprehensive')
    expect(findings.map(({ severity, kind }) => [severity, kind])).toEqual([
      ['warning', 'unexplained-file']
    ])
    await store.put('after', 'all')
    await store.close()
    const again = await openAt(vfs)
    expect(again.getSync('after')?.toString()).toBe('all')
    await again.close()
  })
})
