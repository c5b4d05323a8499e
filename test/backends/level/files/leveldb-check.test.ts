import { beforeAll, describe, expect, it } from 'vitest'
import type { Finding, VerifyLevel } from '../../../../dist/backend/backend.js'
import type { SyncedFile } from '../../../../dist/backends/level/files/synced-file.js'
import { maskedCrc } from '../../../../dist/backends/level/files/crc.js'
import { checkLevelDb } from '../../../../dist/backends/level/files/leveldb-check.js'
import { readManifest } from '../../../../dist/backends/level/files/manifest-state.js'
import { SeededRandom } from '../../../../dist/base/random.js'
import {
  changed,
  directory,
  flipped,
  type LevelDirectory,
  makeLevelDirectory,
  namesOf,
  silent,
  smallShape,
  vfsOf
} from './level-directory.js'

type Files = ReadonlyMap<string, Buffer>

const tables = /\.ldb$/
const manifests = /^MANIFEST/
const logs = /\.log$/

function check(
  files: Files,
  level: VerifyLevel = 'standard',
  synced: readonly SyncedFile[] = allSynced(files)
): Promise<Finding[]> {
  return checkLevelDb(vfsOf(files), directory, synced, level, silent)
}

function allSynced(files: Files): SyncedFile[] {
  return [...files]
    .filter(([name]) => logs.test(name) || manifests.test(name))
    .map(([name, { length }]) => ({ name, sizeBytes: length }))
}

function concerns({ lowKey, highKey }: Finding, key: Buffer): boolean {
  const isAbove = lowKey === undefined || Buffer.compare(lowKey, key) <= 0
  return isAbove && (highKey === undefined || Buffer.compare(key, highKey) < 0)
}

/** A manifest with one bit of this key changed, its checksums made good again. */
function resealed(bytes: Buffer, key: Buffer): Buffer {
  const last = key.length - 8 - 1
  for (let at = bytes.indexOf(key); at >= 0; at = bytes.indexOf(key, at + 1))
    flipped(bytes, at + last)
  for (let at = 0; at + 7 < bytes.length;) {
    const end = at + 7 + bytes.readUInt16LE(at + 4)
    bytes.writeUInt32LE(maskedCrc(bytes.subarray(at + 6, end)), at)
    at = end
  }
  return bytes
}

/** Files that are no longer in use may lie about. */
async function liveTables(files: Files): Promise<string[]> {
  const [manifest] = namesOf(files, manifests)
  const reading = await readManifest(vfsOf(files), `${directory}/${manifest}`)
  const live = new Set(reading!.state!.tables.map(({ number }) => number))
  return namesOf(files, tables).filter((name) => live.has(Number.parseInt(name, 10)))
}

describe('the check of the files of LevelDB', () => {
  let raw: LevelDirectory
  let packed: LevelDirectory

  beforeAll(async () => {
    raw = await makeLevelDirectory(smallShape)
    packed = await makeLevelDirectory({ ...smallShape, seed: 2, compression: true })
  })

  it('sees tables of several levels, logs and a manifest, compressed and not', async () => {
    for (const { files } of [raw, packed]) {
      const [manifest] = namesOf(files, manifests)
      const reading = await readManifest(vfsOf(files), `${directory}/${manifest}`)
      const levels = new Set(reading!.state!.tables.map(({ level }) => level))
      expect(levels.size).toBeGreaterThan(1)
      // How many there are depends on when LevelDB compacted.
      expect(namesOf(files, tables).length).toBeGreaterThan(2)
      expect(files.get(namesOf(files, logs)[0])!.length).toBeGreaterThan(1000)
    }
  })

  it('finds nothing in sound directories', async () => {
    for (const { files } of [raw, packed]) {
      for (const level of ['basic', 'standard', 'comprehensive'] as const) {
        expect(await check(files, level)).toEqual([])
        expect(await check(files, level, [])).toEqual([])
      }
    }
  })

  it('finds every flipped bit of a table, and names its keys', async () => {
    for (const { files } of [raw, packed]) {
      for (const name of await liveTables(files)) {
        const { length } = files.get(name)!
        const random = new SeededRandom(length)
        for (let i = 0; i < 40; i++) {
          // Behind the handles the footer has padding, which says nothing.
          const inFooter = i % 8 === 0
          const offset = inFooter ? length - 8 + random.below(8) : random.below(length - 48)
          const mask = 1 << random.below(8)
          const findings = await check(changed(files, name, (b) => flipped(b, offset, mask)))
          expect(findings.map(({ path }) => path)).toEqual([`${directory}/${name}`])
          expect(findings[0].severity).toBe('error')
        }
      }
    }
  })

  it('finds every flipped bit of the manifest and of CURRENT', async () => {
    for (const pattern of [manifests, /^CURRENT$/]) {
      const { files } = raw
      const [name] = namesOf(files, pattern)
      const { length } = files.get(name)!
      for (let offset = 0; offset < length; offset += Math.ceil(length / 150)) {
        const findings = await check(changed(files, name, (bytes) => flipped(bytes, offset)))
        expect(findings.length, `${name} at ${offset}`).toBeGreaterThan(0)
      }
    }
  })

  it('finds every flipped bit of a log that is synced, and none behind', async () => {
    const { files } = raw
    const [name] = namesOf(files, logs)
    const { length } = files.get(name)!
    for (let offset = 0; offset < length; offset += Math.ceil(length / 150)) {
      const damaged = changed(files, name, (bytes) => flipped(bytes, offset))
      const findings = await check(damaged)
      expect(findings.map(({ kind }) => kind)).toContain('damaged-log')
      expect(findings[0].offset).toBeLessThanOrEqual(offset)
      expect(await check(damaged, 'standard', [{ name, sizeBytes: 0 }])).toEqual([])
    }
    const cut = changed(files, name, (bytes) => bytes.subarray(0, -1))
    expect(await check(cut, 'standard', allSynced(files))).toMatchObject([
      { kind: 'wrong-size', offset: length - 1 }
    ])
  })

  it('names the keys of a damaged block, and not many more', async () => {
    for (const { files, entries } of [raw, packed]) {
      const [name] = await liveTables(files)
      const { length } = files.get(name)!
      for (let offset = 100; offset < length * 0.8; offset += 5000) {
        const findings = await check(changed(files, name, (bytes) => flipped(bytes, offset)))
        const [finding] = findings
        expect(finding).toMatchObject({ kind: 'damaged-block' })
        expect(finding.offset).toBeLessThanOrEqual(offset)
        const keys = [...entries.keys()].filter((key) => concerns(finding, Buffer.from(key)))
        expect(keys.length).toBeLessThan(entries.size)
      }
    }
  })

  it('finds tables that are missing, cut, zeroed, empty, or swapped', async () => {
    const { files } = raw
    const [first, second] = await liveTables(files)
    const a = files.get(first)!
    const b = files.get(second)!
    const cases: [string, Map<string, Buffer>][] = [
      ['missing-file', changed(files, first, () => undefined)],
      ['wrong-size', changed(files, first, () => b)],
      ['wrong-size', changed(files, first, (bytes) => bytes.subarray(0, -1))],
      ['wrong-size', changed(files, first, () => Buffer.alloc(0))],
      ['damaged-table', changed(files, first, (bytes) => bytes.fill(0))]
    ]
    for (const [kind, damaged] of cases) {
      expect(await check(damaged)).toMatchObject([{ kind, path: `${directory}/${first}` }])
      expect(await check(damaged, 'basic')).toMatchObject([{ kind }])
    }
    expect(a.length).not.toBe(b.length)
  })

  it('finds a table of the right size with the bounds of another', async () => {
    const { files } = await makeLevelDirectory({ ...smallShape, batches: 4 })
    const [name] = await liveTables(files)
    const vfs = vfsOf(files)
    const state = (await readManifest(vfs, `${directory}/${namesOf(files, manifests)[0]}`))!.state!
    const { smallest, largest } = state.tables[0]
    const [manifest] = namesOf(files, manifests)
    for (const bound of [smallest, largest]) {
      const damaged = changed(files, manifest, (bytes) => resealed(bytes, bound))
      const findings = await check(damaged, 'standard', [])
      expect(findings).toMatchObject([{ path: `${directory}/${name}` }])
      expect(findings[0].message).toMatch(/key is not the one/)
    }
  })

  it('finds a missing log that was synced, and does not ask for one that is used up', async () => {
    const { files } = raw
    const [name] = namesOf(files, logs)
    const without = changed(files, name, () => undefined)
    expect(await check(without, 'basic', allSynced(files))).toMatchObject([
      { kind: 'missing-file' }
    ])
    expect(await check(files, 'basic', [{ name: '000001.log', sizeBytes: 10 }])).toEqual([])
    expect(await check(without, 'basic', [{ name, sizeBytes: 0 }])).toEqual([])
  })

  it('finds a CURRENT that names an older manifest than the one in use', async () => {
    const { files } = raw
    const [name] = namesOf(files, manifests)
    const older = new Map(files).set('MANIFEST-000001', files.get(name)!)
    older.set('CURRENT', Buffer.from('MANIFEST-000001\n'))
    expect(await check(older)).toMatchObject([{ kind: 'stale-current' }])
    // Before the newer one was synced in use, that is what a power cut leaves.
    const synced = [{ name: 'MANIFEST-000001', sizeBytes: 10 }]
    expect(await check(older, 'standard', synced)).toEqual([])
  })

  it('finds a missing CURRENT, manifest and directory', async () => {
    const { files } = raw
    expect(await check(changed(files, 'CURRENT', () => undefined))).toMatchObject([
      { kind: 'damaged-current' }
    ])
    const [manifest] = namesOf(files, manifests)
    expect(await check(changed(files, manifest, () => undefined))).toMatchObject([
      { kind: 'missing-file', path: `${directory}/${manifest}` }
    ])
    const nowhere = await checkLevelDb(vfsOf(files), '/nowhere', [], 'basic', silent)
    expect(nowhere).toMatchObject([{ kind: 'missing-file', path: '/nowhere' }])
  })

  it('takes a manifest that is torn behind its synced part, and none torn within', async () => {
    const { files } = raw
    const [name] = namesOf(files, manifests)
    const bytes = files.get(name)!
    const torn = changed(files, name, () => Buffer.concat([bytes, bytes.subarray(0, 20)]))
    expect(await check(torn, 'standard', allSynced(files))).toEqual([])
    expect(await check(torn)).toMatchObject([{ kind: 'damaged-manifest', offset: bytes.length }])
    const zeros = changed(files, name, () => Buffer.concat([bytes, Buffer.alloc(4096)]))
    expect(await check(zeros, 'standard', allSynced(files))).toEqual([])
  })

  it('asks about every value where it is thorough', async () => {
    const { files, entries } = packed
    const wrong = [...entries.keys()][17]
    const seen = new Set<string>()
    const findings = await checkLevelDb(
      vfsOf(files),
      directory,
      [],
      'comprehensive',
      silent,
      (key) => {
        seen.add(key.toString('latin1', 1))
        return key.toString('latin1', 1) !== wrong
      }
    )
    expect(seen.size).toBeGreaterThan(500)
    for (const finding of findings) {
      expect(finding).toMatchObject({ kind: 'damaged-value', lowKey: Buffer.from(wrong) })
    }
    expect(findings.length > 0).toBe(seen.has(wrong))
  })
})
